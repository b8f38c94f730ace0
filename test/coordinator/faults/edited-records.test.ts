/** What somebody made of a record while no leader remembered it: what can be known elsewhere is not believed, and nothing that lives loses its target. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { member } from "../../../common/kubernetes/json-member.ts";
import { EXISTING_LOAD_BALANCER, listenerName, RECORD_LABEL, RECORD_PREFIX } from "../../../common/names.ts";
import { CLUSTER } from "../../builders.ts";
import { uidOf } from "./cluster.ts";
import { assertNothingWrong, aWorld, type ByHand, type World } from "./world.ts";

const MINUTE = 60_000;
const SOON_MS = 2_000;

const nameOf = (loadBalancerId: string): string => `${RECORD_PREFIX}${loadBalancerId}-0`;
const dataOf = ({ cluster }: World, loadBalancerId: string): Readonly<Record<string, string>> =>
  cluster.records.all.get(nameOf(loadBalancerId))?.data ?? {};
const edit = ({ cluster }: World, loadBalancerId: string, data: Readonly<Record<string, string | null>>): void =>
  void cluster.records.patch(`/${nameOf(loadBalancerId)}`, { data });
/** The record has these entries and no other. */
const replaceBy = (world: World, loadBalancerId: string, data: Readonly<Record<string, string>>): void => {
  const gone = Object.keys(dataOf(world, loadBalancerId)).map((key) => [key, null] as const);
  edit(world, loadBalancerId, { ...Object.fromEntries(gone), ...data });
};
const ownerKey = (at: number): string => `owner.${uidOf(at)}`;
const listeners = ({ cloud }: World, id = "lb-one") => cloud.state().loadBalancers.find((one) => one.id === id)?.listeners ?? [];
const listenerAt = (world: World, port: number) => listeners(world).find((one) => one.port === port);
const messages = ({ cluster }: World, reason: string): string[] =>
  cluster.told.flatMap((told) => (told.reason === reason ? told.message : []));

/** The owner's entry with another id for its listener of port 80. */
function withListenerId(world: World, id: string): string {
  const text = dataOf(world, "lb-one")[ownerKey(0)] ?? "";
  assert.match(text, /"TCP\/80":\{"id":"lbl-/);
  return text.replace(/("TCP\/80":\{"id":")[^"]+/, `$1${id}`);
}

/** The owner's entry with something of another shape in it than any version of ours writes. */
function withOdd(world: World, before: string, odd: string): Readonly<Record<string, string>> {
  const text = dataOf(world, "lb-one")[ownerKey(0)] ?? "";
  assert.ok(text.includes(before));
  return { [ownerKey(0)]: text.replace(before, `${odd}${before}`) };
}

const EDITS: readonly (readonly [title: string, edit: (world: World) => void])[] = [
  ["claims for nobody, and without one", (world) => edit(world, "lb-one", { "ip.10.244.0.1": "somebody", "ip.10.244.0.2": null })],
  [
    "claims of two Pods swapped",
    (world) => {
      const { "ip.10.244.0.1": first = "", "ip.10.244.0.2": second = "" } = dataOf(world, "lb-one");
      edit(world, "lb-one", { "ip.10.244.0.1": second, "ip.10.244.0.2": first });
    },
  ],
  ["an empty claim", (world) => edit(world, "lb-one", { "ip.10.244.0.1": "" })],
  ["the owner's entry gone", (world) => edit(world, "lb-one", { [ownerKey(0)]: null })],
  [
    "the owner's entry cut off",
    (world) => edit(world, "lb-one", { [ownerKey(0)]: (dataOf(world, "lb-one")[ownerKey(0)] ?? "").slice(0, 99) }),
  ],
  ["rules that are none", (world) => edit(world, "lb-one", withOdd(world, '"protocol":"TCP"', '"rules":{"a":1},'))],
  ["weights that are none", (world) => edit(world, "lb-one", withOdd(world, '"unserved"', '"weights":7,'))],
  ["a listener's rules that are none", (world) => edit(world, "lb-one", withOdd(world, '"id":"lbl-', '"rules":7,'))],
  ["all of it deleted", ({ cluster }) => cluster.records.removeOf("lb-one")],
  [
    "all of it another cluster's",
    ({ cluster }) => void cluster.records.patch(`/${nameOf("lb-one")}`, { metadata: { labels: { [RECORD_LABEL]: "another" } } }),
  ],
  ["the record of another load balancer", (world) => replaceBy(world, "lb-one", dataOf(world, "lb-two"))],
  [
    "the records of two load balancers swapped",
    (world) => {
      const [one, two] = [dataOf(world, "lb-one"), dataOf(world, "lb-two")];
      replaceBy(world, "lb-one", two);
      replaceBy(world, "lb-two", one);
    },
  ],
  ["the id of a listener that does not exist", (world) => edit(world, "lb-one", { [ownerKey(0)]: withListenerId(world, "lbl-nobodys") })],
  [
    "the id of a listener that a person made",
    (world) => edit(world, "lb-one", { [ownerKey(0)]: withListenerId(world, listenerAt(world, 90)?.id ?? "") }),
  ],
];

/** A Pod of each app ends and another one comes: the one is drained and unbound, the other bound, and its gate opens. */
async function assertServed(world: World): Promise<void> {
  const { cluster, clock, cloud } = world;
  for (const app of world.apps) {
    const [pod] = cluster.alive(app);
    assert.ok(pod, "no Pod is left");
    const endedMs = clock.now();
    cluster.end([pod.uid]);
    cluster.start(app, 1);
    await world.converged(app);
    const off = cloud.journal
      .of("target")
      .find((entry) => pod.ips.includes(entry.ip) && entry.timeMs >= endedMs && (entry.change === "unbound" || entry.weight === 0));
    const tookMs = (off?.timeMs ?? Number.POSITIVE_INFINITY) - endedMs;
    assert.ok(tookMs < SOON_MS, `the drain took ${Math.round(tookMs)} ms`);
  }
}

/** Which owners each load balancer has on record, and for whom the addresses are claimed that are bound there. */
const onRecord = (world: World) =>
  world.apps.map((app) => {
    const owners = world.cluster.records
      .entries(`lb-${app}`)
      .flatMap(([key, value]) => (key.startsWith("owner.") ? [[key, JSON.parse(value)]] : []));
    const claims = world.cluster.addressClaims(`lb-${app}`);
    const bound = listeners(world, `lb-${app}`).flatMap(({ targets }) => targets.map(({ ip }) => [ip, claims.get(ip)] as const));
    return [app, owners, bound.sort(([a], [b]) => (a < b ? -1 : 1))];
  });

suite("a record that somebody edits is put right by the next leader, and nothing that lives loses its target:", () => {
  for (const [title, change] of EDITS)
    for (const when of ["while no leader is there", "just before the leader is killed"])
      test(`${title}, ${when}`, async (t) => {
        const world = aWorld(t, { apps: ["one", "two"], pods: 4 });
        const byHand: ByHand[] = [];
        await world.run(async () => {
          world.start();
          for (const app of world.apps) await world.converged(app);
          byHand.push(await world.byHand("one", "CreateListener", { Ports: [90], Protocol: "TCP", ListenerNames: ["by hand"] }));
          await world.clock.sleep(MINUTE + 5_000);
          const before = onRecord(world);
          const [foreign] = [listenerAt(world, 90)];
          if (when === "just before the leader is killed") {
            change(world);
            await world.kill();
          } else {
            await world.kill();
            change(world);
          }
          world.start();
          await world.clock.sleep(10_000);
          assert.deepEqual(onRecord(world), before, "the record is as it was");
          await world.clock.sleep(2 * MINUTE);
          for (const app of world.apps) await world.converged(app);
          await assertServed(world);
          await world.kill();
          world.start();
          await assertServed(world);
          assert.deepEqual(listenerAt(world, 90), foreign);
          assert.deepEqual(
            world.cluster.told.filter(({ reason }) => reason !== "EnsureServiceSuccess"),
            [],
          );
          for (const app of world.apps) assert.equal(world.cluster.service(app)?.ready?.status, "True");
          await world.kill();
        });
        assertNothingWrong(world, { byHand });
      });

  test("claims of Pods that have no gate", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster } = world;
    for (const [uid, pod] of cluster.pods) cluster.pods.set(uid, { ...pod, hasGate: false, gate: "absent" });
    await world.run(async () => {
      world.start();
      await world.until(
        () => "all are bound",
        () => listeners(world)[0]?.targets.length === 4,
      );
      await world.clock.sleep(MINUTE);
      await world.kill();
      edit(world, "lb-one", { "ip.10.244.0.1": "somebody", "ip.10.244.0.2": "one-2 node-c demo/one-2" });
      world.start();
      await world.clock.sleep(MINUTE);
      assert.deepEqual(cluster.addressClaims("lb-one"), new Map([1, 2, 3, 4].map((n) => [`10.244.0.${n}`, `one-${n - 1}`])));
      await world.kill();
    });
    assertNothingWrong(world);
  });
});

test("a listener that was renamed, and whose record somebody edits elsewhere just before the leader is killed, is named back", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 4 });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    await world.clock.sleep(2_000);
    await world.byHand("one", "ModifyListener", { ListenerId: listeners(world)[0]?.id, ListenerName: "mine" });
    edit(world, "lb-one", { "ip.10.244.0.1": "somebody", "ip.10.244.0.2": null });
    await world.kill();
    world.start();
    await world.clock.sleep(MINUTE);
    assert.deepEqual(
      listeners(world).map(({ name }) => name),
      [listenerName(CLUSTER, uidOf(0), "TCP", 80)],
    );
    assert.equal(new Set(messages(world, "ListenerRenamed")).size, 1);
    await world.kill();
  });
  assertNothingWrong(world);
});

test("a listener that was renamed, and of which the record has lost the id, keeps its targets, and is told", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 4 });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    await world.clock.sleep(2_000);
    await world.kill();
    await world.byHand("one", "ModifyListener", { ListenerId: listeners(world)[0]?.id, ListenerName: "mine" });
    edit(world, "lb-one", { [ownerKey(0)]: withListenerId(world, "lbl-nobodys") });
    world.start();
    await world.clock.sleep(2 * MINUTE);
    assert.deepEqual(
      listeners(world).map(({ name, targets }) => [name, targets.filter(({ weight }) => weight > 0).length]),
      [["mine", 4]],
    );
    assert.match(messages(world, "ListenerPortTaken")[0] ?? "", /mine/);
    await world.kill();
  });
  assertNothingWrong(world);
});

test("an address of which the record names another Pod, and that really has passed on, is bound anew for a Pod whose gate is closed", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 4 });
  const { cluster, clock } = world;
  await world.run(async () => {
    world.start();
    await world.converged("one");
    await clock.sleep(2_000);
    await world.kill();
    const [pod] = cluster.alive("one");
    cluster.end([pod?.uid ?? ""]);
    await clock.sleep(10_000);
    const [heir = ""] = cluster.start("one", 1, pod?.ips[0]);
    await clock.sleep(2_000);
    const fromMs = clock.now();
    world.start();
    await world.converged("one");
    const seen = world.cloud.journal.of("target").filter(({ ip, timeMs }) => timeMs >= fromMs && ip === pod?.ips[0]);
    assert.deepEqual(
      seen.map((entry) => entry.change),
      ["unbound", "bound"],
    );
    assert.equal(cluster.pods.get(heir)?.gate, "True");
    await world.kill();
  });
});

test("an address that passed on leaves the listener of another Service at once, though its Pod's gate is open", async (t) => {
  const world = aWorld(t, { apps: ["one", "two"], pods: 4 });
  const { cluster, clock, cloud } = world;
  cluster.annotate("two", { [EXISTING_LOAD_BALANCER]: "lb-one" });
  cluster.edit("two", { ports: [{ name: "", protocol: "TCP", port: 81, targetPort: 8080 }] });
  await world.run(async () => {
    world.start();
    await world.until(
      () => "both serve",
      () => listeners(world).every(({ targets }) => targets.length === 4) && listeners(world).length === 2,
    );
    await clock.sleep(MINUTE);
    await world.kill();
    const [pod] = cluster.alive("two");
    const ip = pod?.ips[0] ?? "";
    cluster.end([pod?.uid ?? ""]);
    await clock.sleep(10_000);
    const [heir = ""] = cluster.start("one", 1, ip);
    await clock.sleep(2_000);
    const known = cluster.pods.get(heir);
    assert.ok(known);
    cluster.pods.set(heir, { ...known, gate: "True" });
    const [served, strange] = [listenerAt(world, 80), listenerAt(world, 81)];
    await world.byHand("one", "RegisterTargets", { ListenerId: served?.id, Targets: [{ EniIp: ip, Port: 8080, Weight: 10 }] });
    const fromMs = clock.now();
    world.start();
    await clock.sleep(MINUTE);
    const first = cloud.journal.of("target").find((one) => one.timeMs >= fromMs && one.ip === ip && one.listenerId === strange?.id);
    assert.equal(first?.change, "unbound");
    assert.ok(first.timeMs - fromMs < 3 * SOON_MS, `it took ${first.timeMs - fromMs} ms`);
    await world.kill();
  });
  assertNothingWrong(world, { byHand: [{ loadBalancerId: "lb-one", fromMs: 0, untilMs: Number.POSITIVE_INFINITY }] });
});

test("what the Service asked for is another load balancer's word there: an edit that is refused stays refused", async (t) => {
  const world = aWorld(t, { apps: ["one", "two"], pods: 4 });
  await world.run(async () => {
    world.start();
    for (const app of world.apps) await world.converged(app);
    await world.clock.sleep(2_000);
    await world.kill();
    const owner = JSON.parse(dataOf(world, "lb-two")[ownerKey(1)] ?? "{}");
    assert.equal(member(member(member(owner, "intent"), "source"), "loadBalancerId"), "lb-two");
    edit(world, "lb-one", { [ownerKey(1)]: JSON.stringify(owner) });
    world.cluster.annotate("two", { [EXISTING_LOAD_BALANCER]: "lb-two," });
    world.start();
    await world.clock.sleep(MINUTE);
    await assertServed(world);
    assert.deepEqual([listeners(world).length, listeners(world, "lb-two").length], [1, 1]);
    assert.equal(new Set(messages(world, "InvalidLoadBalancerId")).size, 1);
    assert.equal(world.cluster.records.entries("lb-one").filter(([key]) => key === ownerKey(1)).length, 0);
    await world.kill();
  });
  assertNothingWrong(world);
});
