/** The brake in a group of Ingresses: that another member asks for a Pod says nothing about the rules of this one. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { memberIngress, memberPod as pod, memberService as service } from "./group.ts";
import { type ManifestWorld, manifestWorld } from "./world.ts";

const ingress = (name: string, paths: readonly string[]) => memberIngress(name, paths, { host: "www.example.com" });

/** So many Pods of "shop", of which so many are relabelled; "blog" has two. */
const PODS = 8;
const AMISS = 6;
const ips = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, at) => `10.244.1.${from + at + 1}`).sort();

/** By path what serves there, e.g. { "/shop": ["10.244.1.1"] }. */
const serving = ({ cloud }: ManifestWorld): Record<string, readonly string[]> =>
  Object.fromEntries(
    (cloud.state().loadBalancers[0]?.listeners ?? [])
      .flatMap(({ rules }) => rules)
      .map(({ url, targets }) => [url, targets.flatMap(({ ip, weight }) => (weight > 0 ? ip : [])).sort()]),
  );
const parked = ({ store }: ManifestWorld): string[] =>
  store.list("events").flatMap((event) => (Reflect.get(event, "reason") === "RemovalParked" ? String(Reflect.get(event, "message")) : []));

async function inGroup(story: (world: ManifestWorld) => Promise<void>): Promise<void> {
  const world = await manifestWorld({ given: [{ id: "lb-user", vip: "198.18.0.50" }], settings: {}, certificates: [] });
  await world.run(
    (async () => {
      world.start();
      for (const name of ["shop", "blog"]) await world.apply(service(name));
      for (let at = 0; at < PODS; at++) await world.applyPod(pod(`shop-${at}`, "shop"), at);
      await story(world);
      await world.kill();
    })(),
  );
  await world.end();
}

suite("Pods that are relabelled to those of another member stay in the rules of the former one", () => {
  const relabel = async (world: ManifestWorld) =>
    await Promise.all(Array.from({ length: AMISS }, (_, at) => world.applyPod(pod(`shop-${at}`, "blog"), at)));
  const begin = async (world: ManifestWorld) => {
    for (const at of [0, 1]) await world.applyPod(pod(`blog-${at}`, "blog"), PODS + at);
    await world.apply(ingress("shop", ["/shop"]));
    await world.apply(ingress("blog", ["/blog"]));
    await world.settle();
    assert.deepEqual(serving(world), { "/shop": ips(0, PODS), "/blog": ips(PODS, PODS + 2) });
  };
  const check = (world: ManifestWorld, before: string) => {
    const { "/shop": shop = [], "/blog": blog = [] } = serving(world);
    assert.ok(shop.length >= PODS / 2, `${before}: ${shop.join()}`);
    assert.deepEqual(blog, [...ips(0, AMISS), ...ips(PODS, PODS + 2)].sort());
    assert.match(parked(world).join("\n"), /Ingress demo\/shop/);
  };

  test("while nobody leads", async () => {
    await inGroup(async (world) => {
      await begin(world);
      await world.kill();
      await relabel(world);
      world.start();
      await world.settle();
      check(world, "at the next leader");
    });
  });

  test("and the leader changes again and again after it", async () => {
    await inGroup(async (world) => {
      await begin(world);
      await relabel(world);
      for (let turn = 0; turn < 3; turn++) {
        await world.settle();
        check(world, `at leader ${turn}`);
        await world.kill();
        world.start();
      }
      await world.settle();
      check(world, "at last");
    });
  });
});

test("a rule that is given up to another member, whose Pods come late and under another leader, needs nobody's word", async () => {
  await inGroup(async (world) => {
    await world.applyPod(pod("blog-0", "blog", false), PODS);
    await world.apply(ingress("shop", ["/shop", "/"]));
    await world.clock.sleep(1_100); // creation times have whole seconds
    await world.apply(ingress("blog", ["/"]));
    await world.settle();
    await world.apply(ingress("shop", ["/shop"]));
    await world.clock.sleep(400_000);
    assert.deepEqual(serving(world), { "/shop": ips(0, PODS), "/": ips(0, PODS) });
    await world.kill();
    world.start();
    await world.clock.sleep(400_000);
    assert.deepEqual(serving(world), { "/shop": ips(0, PODS), "/": ips(0, PODS) });
    await world.applyPod(pod("blog-0", "blog"), PODS);
    await world.settle();
    assert.deepEqual(serving(world), { "/shop": ips(0, PODS), "/": ips(PODS, PODS + 1) });
    assert.deepEqual(parked(world), []);
  });
});
