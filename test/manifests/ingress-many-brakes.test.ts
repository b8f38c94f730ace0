/** 50 rules of one Ingress, half of them for each of two Services: each rule has its own brake, and what happens to one Service is nothing to the other one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ManifestWorld, manifestWorld } from "./world.ts";

const RULES = 50;
const HALF = RULES / 2;
/** Pods of each Service at the beginning, how many of the first one's go amiss at once, and how many have to stay. */
const PODS = 8;
const AMISS = 6;
const FLOOR = PODS / 2;

const pathsOf = (name: string, from: number) =>
  Array.from({ length: HALF }, (_, at) => ({
    path: `/p${from + at}`,
    pathType: "Prefix",
    backend: { service: { name, port: { number: 80 } } },
  }));
const INGRESS = {
  kind: "Ingress",
  metadata: { name: "shop", annotations: { "ingress.cloud.tencent.com/direct-access": "true" } },
  spec: {
    ingressClassName: "qcloud",
    rules: [{ host: "a.example.com", http: { paths: [...pathsOf("web", 0), ...pathsOf("blog", HALF)] } }],
  },
};
const service = (name: string) => ({
  kind: "Service",
  metadata: { name },
  spec: { selector: { app: name }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
});
const pod = (app: string, at: number, { labels = { app }, ready = true } = {}) => ({
  name: `${app}-${at}`,
  labels,
  annotations: {},
  ready,
  hostNetwork: false,
  ports: [{ containerPort: 8080 }],
});
const addressAt = (app: string, at: number): number => (app === "web" ? at : 100 + at);
const ipOf = (app: string, at: number): string => `10.244.1.${addressAt(app, at) + 1}`;

const rulesOf = ({ cloud }: ManifestWorld) => cloud.state().loadBalancers[0]?.listeners[0]?.rules ?? [];
/** What serves in the rules of one Service, each set once: one set, as long as all rules have the same. */
function serving(world: ManifestWorld, app: string): readonly (readonly string[])[] {
  const own = rulesOf(world).filter(({ url }) => Number(url.slice(2)) < HALF === (app === "web"));
  assert.equal(own.length, HALF);
  const sets = own.map(({ targets }) => targets.flatMap(({ ip, weight }) => (weight > 0 ? ip : [])).sort());
  return [...new Map(sets.map((ips) => [ips.join(), ips])).values()];
}
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, at) => from + at);
const ips = (app: string, from: number, to: number): string[] =>
  numbers(from, to)
    .map((at) => ipOf(app, at))
    .sort();
const parked = ({ store }: ManifestWorld): string[] =>
  store.list("events").flatMap((event) => (Reflect.get(event, "reason") === "RemovalParked" ? String(Reflect.get(event, "message")) : []));

type Probe = NonNullable<NonNullable<Parameters<typeof manifestWorld>[0]["cloud"]>["probe"]>;

async function inWorld(story: (world: ManifestWorld) => Promise<void>, probe?: Probe): Promise<void> {
  const world = await manifestWorld({ given: [], settings: {}, certificates: [], ...(probe && { cloud: { probe } }) });
  await world.run(
    (async () => {
      world.start();
      for (const app of ["web", "blog"]) {
        await world.apply(service(app));
        for (const at of numbers(0, PODS)) await world.applyPod(pod(app, at), addressAt(app, at));
      }
      await world.apply(INGRESS);
      await world.settle();
      assert.deepEqual([serving(world, "web"), serving(world, "blog")], [[ips("web", 0, PODS)], [ips("blog", 0, PODS)]]);
      await story(world);
      await world.kill();
    })(),
  );
  await world.end();
}

/** Half of the other Service's Pods are replaced. */
async function rollOutBlog(world: ManifestWorld): Promise<void> {
  for (const at of numbers(PODS, PODS + FLOOR)) await world.applyPod(pod("blog", at), addressAt("blog", at));
  await world.settle();
  for (const at of numbers(0, FLOOR)) await world.remove(`Pod/blog-${at}`);
  await world.settle();
  assert.deepEqual(serving(world, "blog"), [ips("blog", FLOOR, PODS + FLOOR)]);
}

test("Pods that lost their labels stay in each of 25 rules until a person lets them go; the other 25 rules go on", async () => {
  await inWorld(async (world) => {
    const lose = (at: number) => world.applyPod(pod("web", at, { labels: { app: "lost" } }), addressAt("web", at));
    await Promise.all(numbers(0, AMISS).map(lose));
    await world.settle();
    const [left = [], ...others] = serving(world, "web"); // the first ones that were heard of were no mistake of many yet
    assert.ok(left.length >= FLOOR && others.length === 0, `${left.length} ${others.length}`);
    await rollOutBlog(world);
    assert.deepEqual(serving(world, "web"), [left]);
    const ids = parked(world).map((message) => /release: (r-[0-9a-f]+)/.exec(message)?.[1] ?? "");
    assert.equal(new Set(ids).size, HALF, parked(world).join("\n"));
    await world.apply({ kind: "Ingress", metadata: { name: "shop", annotations: { "clb-direct.io/release": ids.join(",") } } });
    await world.settle();
    assert.deepEqual(serving(world, "web"), [ips("web", AMISS, PODS)]);
  });
});

test("Pods that are not ready lose their weight down to the floor of each of 25 rules, the same ones in each", async () => {
  await inWorld(async (world) => {
    const before = world.cloud.journal.of("call").length;
    for (const at of numbers(0, AMISS)) await world.applyPod(pod("web", at, { ready: false }), addressAt("web", at));
    await world.settle();
    const [left, ...others] = serving(world, "web");
    assert.deepEqual([left?.length, others], [FLOOR, []]);
    for (const ip of ips("web", AMISS, PODS)) assert.ok(left?.includes(ip), `${ip} is ready`);
    await rollOutBlog(world);
    assert.deepEqual(serving(world, "web"), [left]);
    for (const at of numbers(0, AMISS)) await world.applyPod(pod("web", at), addressAt("web", at));
    await world.settle();
    assert.deepEqual(serving(world, "web"), [ips("web", 0, PODS)]);
    assert.deepEqual(parked(world), []);
    const calls = world.cloud.journal.of("call").slice(before);
    assert.ok(calls.filter(({ action }) => action === "BatchModifyTargetWeight").length <= 8, "no call for each rule");
  });
});

test("Pods that were gone when a leader came stay in each of 25 rules as long as they are healthy there", async () => {
  const dead = new Set<string>();
  const probe: Probe = async ({ ip }) => !dead.has(ip);
  await inWorld(async (world) => {
    await world.kill();
    for (const at of numbers(0, AMISS)) {
      const gone = world.store.get("pods", "demo", `web-${at}`);
      if (gone !== undefined) world.store.remove("pods", gone);
    }
    world.start();
    await world.settle();
    await rollOutBlog(world);
    assert.deepEqual(serving(world, "web"), [ips("web", 0, PODS)]);
    assert.equal(parked(world).length, HALF);
    for (const at of numbers(0, AMISS)) dead.add(ipOf("web", at));
    await world.clock.sleep(60_000);
    await world.settle();
    assert.deepEqual(serving(world, "web"), [ips("web", AMISS, PODS)]);
  }, probe);
});
