/** What a change costs in a group of Ingresses, by how many share the load balancer: CPU of the whole product in virtual time. */
import { type ManifestWorld, manifestWorld } from "../../test/manifests/world.ts";

/** Services with two Pods each; the last one is that of one member only, the others are those of all other members. */
const SERVICES = 10;
const CHANGES = 10;

const serviceOf = (member: number): number => (member === 0 ? SERVICES - 1 : member % (SERVICES - 1));
const service = (at: number) => ({
  kind: "Service",
  metadata: { name: `web-${at}` },
  spec: { selector: { app: `web-${at}` }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
});
const ingress = (at: number, path = "/") => ({
  kind: "Ingress",
  metadata: {
    name: `web-${at}`,
    annotations: {
      "ingress.cloud.tencent.com/direct-access": "true",
      "ingress.cloud.tencent.com/enable-group": "true",
      "kubernetes.io/ingress.existLbId": "lb-group",
    },
  },
  spec: {
    ingressClassName: "qcloud",
    rules: [
      {
        host: `web-${at}.example.com`,
        http: { paths: [{ path, pathType: "Prefix", backend: { service: { name: `web-${serviceOf(at)}`, port: { number: 80 } } } }] },
      },
    ],
  },
});
const aPod = (name: string, app: string) => ({
  name,
  labels: { app },
  annotations: {},
  ready: true,
  hostNetwork: false,
  ports: [{ name: "http", containerPort: 8080 }],
});

/** Milliseconds of CPU for each of so many changes, each with what comes of it. */
async function costOf(world: ManifestWorld, change: (at: number) => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  for (let at = 0; at < CHANGES; at += 1) {
    await change(at);
    await world.clock.sleep(20_000);
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000 / CHANGES;
}

/** What a Pod that joins, one that leaves, an edited rule and as much time without any change cost. */
export async function costsInGroup(members: number) {
  const world = await manifestWorld({
    given: [{ id: "lb-group", vip: "198.18.0.50" }],
    certificates: [],
    settings: { healthPollMs: 10_000, healthIdleMs: 3_600_000, resyncMs: 3_600_000 },
    cloud: { limits: { rulesPerListener: members + 10 }, journalSize: 1_000 },
  });
  const { clock } = world;
  const costs = await world.run(
    (async () => {
      world.start();
      for (let at = 0; at < SERVICES; at += 1) {
        await world.apply(service(at));
        for (const one of [0, 1]) await world.applyPod(aPod(`web-${at}-${one}`, `web-${at}`), 2 * at + one);
      }
      for (let at = 0; at < members; at += 1) await world.apply(ingress(at));
      const rules = () => world.cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((one) => one.rules));
      while (rules().length < members || rules().some(({ targets }) => targets.length < 2)) await clock.sleep(1_000);
      await clock.sleep(60_000);
      const idle = await costOf(world, async () => undefined);
      const only = SERVICES - 1;
      const joins = await costOf(world, (at) => world.applyPod(aPod(`more-${at}`, `web-${only}`), 100 + at));
      const leaves = await costOf(world, (at) => world.remove(`Pod/more-${at}`));
      const edits = await costOf(world, (at) => world.apply(ingress(0, `/v${at}`)));
      await world.kill();
      return { idle, joins, leaves, edits };
    })(),
  );
  await world.end();
  return costs;
}
