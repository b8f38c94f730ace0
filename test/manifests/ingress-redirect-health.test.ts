/** A redirect while the health of what it leads to is not known: nothing is taken away for it, and nobody's gate opens by the lack of data. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { type ManifestWorld, manifestWorld } from "./world.ts";

const SERVICE = {
  kind: "Service",
  metadata: { name: "shop" },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
};
const SECRET = { kind: "Secret", metadata: { name: "one" }, stringData: { qcloud_cert_id: "cert-1" } };
const RULES = JSON.stringify([{ host: "shop.example.com", path: "/", backend: { serviceName: "shop", servicePort: "80" } }]);
/** Served at HTTP:80 and HTTPS:443, or with `rewrite` redirected from the one to the other. */
const ingress = (rewrite: "true" | "false") => ({
  kind: "Ingress",
  metadata: {
    name: "shop",
    annotations: {
      "ingress.cloud.tencent.com/direct-access": "true",
      "kubernetes.io/ingress.rule-mix": "true",
      "kubernetes.io/ingress.http-rules": RULES,
      "kubernetes.io/ingress.https-rules": RULES,
      "ingress.cloud.tencent.com/auto-rewrite": rewrite,
    },
  },
  spec: {
    ingressClassName: "qcloud",
    tls: [{ secretName: "one" }],
    rules: [
      {
        host: "shop.example.com",
        http: { paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "shop", port: { number: 80 } } } }] },
      },
    ],
  },
});
const pod = (at: number) => ({
  name: `web-${at}`,
  labels: { app: "web" },
  annotations: {},
  ready: true,
  hostNetwork: false,
  ports: [{ containerPort: 8080 }],
});

type Health = "Alive" | "Unknown";
/** By port what the cloud says of every target. */
type Said = Record<number, Health>;

/** By port what serves, and the writes of redirects so far. */
const standing = ({ cloud }: ManifestWorld) => ({
  ...Object.fromEntries(
    (cloud.state().loadBalancers[0]?.listeners ?? []).map(({ port, rules }) => [
      port,
      rules.flatMap(({ targets }) => targets.flatMap(({ ip, weight }) => (weight > 0 ? ip : []))).sort(),
    ]),
  ),
  redirects: cloud.journal
    .of("call")
    .flatMap(({ action, code }) => (action.endsWith("Rewrite") && !action.startsWith("Describe") && code === "OK" ? action : [])),
});
function gateOf({ store }: ManifestWorld, at: number): { readonly status?: string; readonly message?: string } {
  const conditions: unknown = Object(store.get("pods", "demo", `web-${at}`)).status?.conditions;
  return Object((Array.isArray(conditions) ? conditions : []).find(({ type }) => type === DEFAULT_GATE_TYPE));
}

async function inWorld(story: (world: ManifestWorld, said: Said) => Promise<void>): Promise<void> {
  const world = await manifestWorld({ given: [], settings: {}, certificates: ["cert-1"], cloud: { health: "scripted" } });
  const said: Said = { 80: "Alive", 443: "Alive" };
  const over = new AbortController();
  const speak = async (): Promise<void> => {
    for (; !over.signal.aborted; await world.clock.sleep(1_000))
      for (const { id: loadBalancerId, listeners } of world.cloud.state().loadBalancers)
        for (const { id: listenerId, port: listens, rules } of listeners)
          for (const { id: locationId, targets } of rules)
            for (const { ip, port } of targets)
              world.cloud.setHealth({ loadBalancerId, listenerId, locationId, ip, port }, said[listens] ?? "Unknown");
  };
  await world.run(
    (async () => {
      const speaking = speak();
      world.start();
      for (const one of [SERVICE, SECRET]) await world.apply(one);
      for (const at of [0, 1]) await world.applyPod(pod(at), at);
      await story(world, said);
      over.abort();
      await speaking;
      await world.kill();
    })(),
  );
  await world.end();
}
const two = ["10.244.1.1", "10.244.1.2"];
const three = [...two, "10.244.1.3"];
const MADE = "ManualRewrite";
const ENDED = "DeleteRewrite";

test("what is to redirect serves until that is known to serve, also in a rollout and under another leader, and a new Pod's gate waits", async () => {
  await inWorld(async (world, said) => {
    said[443] = "Unknown";
    await world.apply(ingress("false"));
    await world.settle();
    assert.deepEqual(standing(world), { 80: two, 443: two, redirects: [] });
    await world.apply(ingress("true"));
    await world.clock.sleep(400_000);
    assert.deepEqual(standing(world), { 80: two, 443: two, redirects: [] });
    await world.applyPod(pod(2), 2);
    await world.clock.sleep(60_000);
    await world.kill();
    world.start();
    await world.clock.sleep(60_000);
    assert.deepEqual(standing(world), { 80: three, 443: three, redirects: [] });
    assert.equal(gateOf(world, 2).status, "False");
    assert.match(gateOf(world, 2).message ?? "", /HTTPS:443 shop\.example\.com\/: bound, waiting for the load balancer's health check/);
    said[443] = "Alive";
    await world.clock.sleep(60_000);
    assert.deepEqual(standing(world), { 80: [], 443: three, redirects: [MADE] });
    assert.equal(gateOf(world, 2).status, "True");
  });
});

test("a redirect stays when nothing is known of what it leads to any more, and as long as nothing is known of what is to serve instead", async () => {
  await inWorld(async (world, said) => {
    await world.apply(ingress("true"));
    await world.settle();
    assert.deepEqual(standing(world), { 80: [], 443: two, redirects: [MADE] });
    said[443] = "Unknown";
    await world.clock.sleep(60_000);
    await world.applyPod(pod(2), 2);
    await world.clock.sleep(60_000);
    assert.deepEqual(standing(world), { 80: [], 443: three, redirects: [MADE] });
    assert.equal(gateOf(world, 2).status, "False");
    said[443] = "Alive";
    said[80] = "Unknown";
    await world.clock.sleep(60_000);
    assert.equal(gateOf(world, 2).status, "True");
    await world.apply(ingress("false"));
    await world.clock.sleep(600_000);
    assert.deepEqual(standing(world), { 80: three, 443: three, redirects: [MADE] });
    said[80] = "Alive";
    await world.clock.sleep(60_000);
    assert.deepEqual(standing(world), { 80: three, 443: three, redirects: [MADE, ENDED] });
  });
});
