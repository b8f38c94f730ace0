import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { memberIngress, memberPod as pod, memberService as service } from "./group.ts";
import { type ManifestWorld, manifestWorld } from "./world.ts";

const ingress = (name: string, paths: readonly string[]) => memberIngress(name, paths, { host: "shop.example.com" });

/** So many Pods of the one that goes, against one of the one that takes over: far below what the brake lets go without a reason. */
const PODS = 8;

/** Rules of the first listener with what serves there, e.g. { "/": ["10.244.1.9"] }. */
function serving({ cloud }: ManifestWorld): Record<string, readonly string[]> {
  const rules = cloud.state().loadBalancers[0]?.listeners[0]?.rules ?? [];
  return Object.fromEntries(
    rules.map(({ url, targets }) => [url, [...targets.values()].flatMap(({ ip, weight }) => (weight > 0 ? ip : [])).sort()]),
  );
}

async function twoThatWantOneRule(): Promise<ManifestWorld> {
  const world = await manifestWorld({ given: [{ id: "lb-user", vip: "198.18.0.50" }], settings: {}, certificates: [] });
  const begin = async (): Promise<void> => {
    world.start();
    for (const name of ["shop", "blog"]) await world.apply(service(name));
    await world.apply(ingress("shop", ["/", "/shop"]));
    await world.clock.sleep(1_100); // creation times have whole seconds
    await world.apply(ingress("blog", ["/", "/blog"]));
    for (let at = 0; at < PODS; at++) await world.applyPod(pod(`shop-${at}`, "shop"), at);
    await world.applyPod(pod("blog-0", "blog"), PODS);
    await world.settle();
  };
  await world.run(begin());
  return world;
}

suite("a rule passes from a deleted Ingress to another one of its group, and the leader falls meanwhile", () => {
  for (const afterMs of [0, 300, 900, 1_500, 2_500, 4_000, 6_000, 9_000, 14_000])
    test(`after ${afterMs} ms`, async () => {
      const world = await twoThatWantOneRule();
      const { clock, cloud, store } = world;
      const empty: string[] = [];
      const over = new AbortController();
      const look = async (): Promise<void> => {
        for (; !over.signal.aborted; await clock.sleep(50))
          for (const path of ["/", "/blog"]) if ((serving(world)[path] ?? []).length === 0) empty.push(`${path} at ${clock.now()}`);
      };
      await world.run(
        (async () => {
          assert.deepEqual(Object.keys(serving(world)).sort(), ["/", "/blog", "/shop"]);
          assert.equal(serving(world)["/"]?.length, PODS);
          const looking = look();
          await world.remove("Ingress/shop");
          await clock.sleep(afterMs);
          await world.kill();
          world.start();
          await clock.sleep(90_000);
          await world.settle();
          over.abort();
          await looking;
          await world.kill();
        })(),
      );
      assert.deepEqual(empty, [], "a rule that serves was empty");
      assert.deepEqual(serving(world), { "/": [`10.244.1.${PODS + 1}`], "/blog": [`10.244.1.${PODS + 1}`] });
      const reasons = new Set(store.list("events").map((event) => String(Reflect.get(event, "reason"))));
      assert.ok(!reasons.has("RemovalParked"), "that its Pods leave needs nobody's word");
      assert.equal(store.get("ingresses", "demo", "shop"), undefined, "the Ingress is gone");
      const deleted = cloud.journal.of("call").filter(({ action, code }) => action === "DeleteRule" && code === "OK");
      assert.equal(deleted.length, 1, "only the rule that nobody asks for goes");
      await world.end();
    });
});

test("a rule made by hand in the listener of a group stays, also when the last Ingress goes", async () => {
  const world = await twoThatWantOneRule();
  const { clock, cloud, store } = world;
  await world.run(
    (async () => {
      const listener = cloud.state().loadBalancers[0]?.listeners[0];
      const request = { LoadBalancerId: "lb-user", ListenerId: listener?.id, Rules: [{ Domain: "hand.example.com", Url: "/hand" }] };
      await cloud.call("clb", "CreateRule", request, { name: "the user" });
      await clock.sleep(130_000); // a re-read
      const told = store.list("events").map((event) => `${String(Reflect.get(event, "reason"))} ${String(Reflect.get(event, "message"))}`);
      assert.match(told.join("\n"), /OrphanedListener .*its rules hand\.example\.com\/hand belong to nobody who is known/);
      for (const name of ["shop", "blog"]) await world.remove(`Ingress/${name}`);
      await clock.sleep(60_000);
      await world.settle();
      assert.deepEqual(Object.keys(serving(world)), ["/hand"]);
      for (const name of ["shop", "blog"]) assert.equal(store.get("ingresses", "demo", name), undefined, `${name} is gone`);
      await world.kill();
    })(),
  );
  await world.end();
});
