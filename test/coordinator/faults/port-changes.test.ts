/** Ports of Services change: what serves goes only when what replaces it serves. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { RELEASE } from "../../../common/names.ts";
import type { ServiceRecord } from "../../../coordinator/domain/intent/service.ts";
import type { World } from "./world.ts";
import { aWorld } from "./world.ts";

const MINUTE = 60_000;
const POD_COUNT = 4;

type Ports = ServiceRecord["ports"];
/** E.g. ports("TCP80", "SCTP81"); all lead to 8080. */
const ports = (...texts: string[]): Ports =>
  texts.map((text) => ({ name: text, protocol: text.replace(/\d+/, ""), port: Number(text.replace(/\D+/, "")), targetPort: 8080 }));

/** E.g. { TCP80: 4, TCP81: 0 }: how many backends serve at each listener of "lb-one". */
const listening = ({ cloud }: World): Record<string, number> =>
  Object.fromEntries(
    (cloud.state().loadBalancers.find(({ id }) => id === "lb-one")?.listeners ?? []).map(({ protocol, port, targets }) => [
      `${protocol}${port}`,
      targets.filter(({ weight, health }) => weight > 0 && health === "Alive").length,
    ]),
  );
const isSo = (world: World, expected: Record<string, number>) => (): boolean => {
  const now = listening(world);
  return Object.keys(now).length === Object.keys(expected).length && Object.entries(expected).every(([key, count]) => now[key] === count);
};
const becomes = (world: World, expected: Record<string, number>): Promise<void> =>
  world.until(() => `${JSON.stringify(expected)}, not ${JSON.stringify(listening(world))}`, isSo(world, expected));
const told = ({ cluster }: World, reason: string): readonly string[] =>
  cluster.told.flatMap((one) => (one.reason === reason ? [`${one.object}: ${one.message}`] : []));

/** Since a moment: listeners that were made and deleted, and the first drain of each, in their order, e.g. ["created TCP81", "drain TCP80"]. */
function story({ cloud }: World, sinceMs: number): string[] {
  const names = new Map(cloud.journal.of("listener").map(({ listenerId, protocol, port }) => [listenerId, `${protocol}${port}`]));
  const lines = cloud.journal.since(0).flatMap((entry) => {
    if (entry.timeMs < sinceMs) return [];
    if (entry.kind === "listener" && entry.change !== "modified") return [`${entry.change} ${names.get(entry.listenerId)}`];
    if (entry.kind === "target" && entry.change === "weight" && entry.weight === 0) return [`drain ${names.get(entry.listenerId)}`];
    return [];
  });
  return [...new Set(lines)];
}

/** Since a moment: the fewest backends with a weight that the best listener of "lb-one" had at any time. */
function fewest({ cloud }: World, sinceMs: number): number {
  const weights = new Map<string, Map<string, number>>();
  let least = Number.POSITIVE_INFINITY;
  for (const entry of cloud.journal.since(0)) {
    if (entry.kind === "listener" && entry.change === "deleted") weights.delete(entry.listenerId);
    if (entry.kind === "target") {
      const here = weights.get(entry.listenerId) ?? new Map<string, number>();
      weights.set(entry.listenerId, here);
      here.set(entry.ip, entry.change === "unbound" ? 0 : entry.weight);
    }
    if (entry.timeMs < sinceMs) continue;
    least = Math.min(least, Math.max(0, ...[...weights.values()].map((here) => [...here.values()].filter((weight) => weight > 0).length)));
  }
  return least;
}

/** "one" with these ports, converged; `edit` gives the moment of the change. */
async function begin(world: World, ...texts: string[]): Promise<(...to: string[]) => number> {
  world.cluster.edit("one", { ports: ports(...texts) });
  world.start();
  await becomes(world, Object.fromEntries(texts.map((text) => [text, POD_COUNT])));
  await world.clock.sleep(5_000);
  return (...to) => {
    world.cluster.edit("one", { ports: ports(...to) });
    return world.clock.now();
  };
}

/** A second Service on the same load balancer, with the same Pods. */
const second = ({ cluster }: World, texts: readonly string[]): ServiceRecord => {
  const [first] = cluster.services.values();
  assert.ok(first !== undefined);
  const record = { ...first, uid: "f7077e57-0000-0000-0000-000000000000", name: "two", ports: ports(...texts) };
  cluster.putService(record);
  return record;
};

suite("a port becomes", () => {
  for (const to of ["TCP81", "UDP80"])
    test(`${to}, which is free: it serves before TCP80 drains and goes; the write log says why`, async (t) => {
      const world = aWorld(t, { apps: ["one"], pods: POD_COUNT });
      await world.run(async () => {
        const edit = await begin(world, "TCP80");
        const sinceMs = edit(to);
        await becomes(world, { [to]: POD_COUNT });
        assert.deepEqual(story(world, sinceMs), [`created ${to}`, "drain TCP80", "deleted TCP80"]);
        assert.equal(fewest(world, sinceMs), POD_COUNT);
        const { writeLog } = world.coordinator().controllers;
        const why = (lane: string) => writeLog.of("lb-one").findLast((entry) => entry.lane === lane)?.because;
        assert.deepEqual(why("delete"), ["Service demo/one asks for TCP:80 no more"]);
        assert.match(why("drain")?.[0] ?? "", /^Pod demo\/one-\d is not asked for any more$/);
        await world.converged("one");
        await world.kill();
      });
    });

  test("SCTP: what it was stays, through a rollout and a change of the leader", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: POD_COUNT });
    await world.run(async () => {
      const edit = await begin(world, "TCP80", "TCP81");
      const sinceMs = edit("TCP80", "SCTP81");
      await world.clock.sleep(MINUTE);
      assert.deepEqual(listening(world), { TCP80: POD_COUNT, TCP81: POD_COUNT });
      assert.match(told(world, "UnsupportedProtocol")[0] ?? "", /^one: Service demo\/one: port 81 has protocol SCTP/);
      await world.kill();
      world.start();
      await world.rollOut("one", { surge: 2 });
      await becomes(world, { TCP80: POD_COUNT, TCP81: POD_COUNT });
      await world.converged("one");
      assert.deepEqual(
        story(world, sinceMs).filter((line) => !line.startsWith("drain")),
        [],
      );
      edit("TCP80", "TCP82");
      await becomes(world, { TCP80: POD_COUNT, TCP82: POD_COUNT });
      await world.kill();
    });
  });

  test("one that a foreign listener has, while there is no Pod: the old one takes those that come", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: POD_COUNT });
    const { cluster, clock } = world;
    await world.run(async () => {
      const edit = await begin(world, "TCP80");
      await world.byHand("one", "CreateListener", { Ports: [81], Protocol: "TCP", ListenerNames: ["by hand"] });
      cluster.end(cluster.alive("one").map(({ uid }) => uid));
      await clock.sleep(MINUTE + 5_000);
      edit("TCP81");
      await clock.sleep(5_000);
      cluster.start("one", 2);
      await becomes(world, { TCP80: 2, TCP81: 0 });
      await world.kill();
    });
  });

  test("one that a foreign listener has: the old one is looked after until the port is free, also by the next leader", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: POD_COUNT });
    const { cluster } = world;
    await world.run(async () => {
      const edit = await begin(world, "TCP80");
      await world.byHand("one", "CreateListener", { Ports: [81], Protocol: "TCP", ListenerNames: ["by hand"] });
      await world.clock.sleep(MINUTE + 5_000); // a resync sees it
      const sinceMs = edit("TCP81");
      await world.clock.sleep(MINUTE);
      assert.deepEqual(listening(world), { TCP80: POD_COUNT, TCP81: 0 });
      const [event = ""] = told(world, "ListenerPortTaken");
      assert.match(event, /^one: .*TCP:81 is taken by foreign listener lbl-\w+ \("by hand"\)/);
      await world.kill();
      world.start();
      cluster.start("one", 1);
      await becomes(world, { TCP80: POD_COUNT + 1, TCP81: 0 });
      cluster.end([cluster.alive("one")[0]?.uid ?? ""]);
      await becomes(world, { TCP80: POD_COUNT, TCP81: 0 });
      const id = /lbl-\w+/.exec(event)?.[0];
      await world.byHand("one", "DeleteListener", { ListenerId: id });
      await becomes(world, { TCP81: POD_COUNT });
      assert.deepEqual(story(world, sinceMs), ["drain TCP80", "deleted TCP81", "created TCP81", "deleted TCP80"]);
      assert.ok(fewest(world, sinceMs) >= POD_COUNT);
      await world.converged("one");
      await world.kill();
    });
  });

  test("one that a foreign listener has: what a person sets at the old one meanwhile is put back, as long as it serves", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: POD_COUNT });
    const { cloud, clock } = world;
    await world.run(async () => {
      const edit = await begin(world, "TCP80");
      await world.byHand("one", "CreateListener", { Ports: [81], Protocol: "TCP", ListenerNames: ["by hand"] });
      edit("TCP81");
      const [old] = cloud.state().loadBalancers[0]?.listeners ?? [];
      await world.byHand("one", "ModifyListener", { ListenerId: old?.id, HealthCheck: { HealthSwitch: 0 } });
      await clock.sleep(2 * MINUTE);
      assert.deepEqual(listening(world), { TCP80: POD_COUNT, TCP81: 0 }); // unchecked ones would not count
      await world.kill();
    });
  });

  test("one that another Service has: the old one stays; it changes over when that one goes", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: POD_COUNT });
    await world.run(async () => {
      const edit = await begin(world, "TCP80");
      const other = second(world, ["TCP81"]);
      await becomes(world, { TCP80: POD_COUNT, TCP81: POD_COUNT });
      const sinceMs = edit("TCP81");
      await world.clock.sleep(MINUTE);
      assert.deepEqual([listening(world), story(world, sinceMs)], [{ TCP80: POD_COUNT, TCP81: POD_COUNT }, []]);
      assert.match(told(world, "ListenerConflict")[0] ?? "", /^one: .*TCP:81 of lb-one belongs to Service demo\/two.* stays/);
      world.cluster.putService({ ...other, ports: ports("TCP82") });
      await becomes(world, { TCP81: POD_COUNT, TCP82: POD_COUNT });
      assert.deepEqual(story(world, sinceMs), [
        "created TCP82",
        "drain TCP81",
        "deleted TCP81",
        "created TCP81",
        "drain TCP80",
        "deleted TCP80",
      ]);
      await world.kill();
    });
  });

  test("that of another Service, whose port becomes this one's: both change over with the shortest gap, and are told", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: POD_COUNT });
    await world.run(async () => {
      const edit = await begin(world, "TCP80");
      const other = second(world, ["TCP81"]);
      await becomes(world, { TCP80: POD_COUNT, TCP81: POD_COUNT });
      const sinceMs = edit("TCP81");
      await world.clock.sleep(MINUTE);
      assert.deepEqual(story(world, sinceMs), []);
      world.cluster.putService({ ...other, ports: ports("TCP80") });
      await world.until(
        () => "both are new",
        () => story(world, sinceMs).filter((line) => line.startsWith("created")).length === 2,
      );
      await becomes(world, { TCP80: POD_COUNT, TCP81: POD_COUNT });
      assert.deepEqual(story(world, sinceMs).toSorted(), ["created TCP80", "created TCP81", "deleted TCP80", "deleted TCP81"]);
      assert.deepEqual(
        told(world, "ListenerInterrupted")
          .map((text) => text.slice(0, 4))
          .toSorted(),
        ["one:", "two:"],
      );
      await world.kill();
    });
  });
});

test("a port becomes another one and its leader is killed at any moment: some listener always serves all", async (t) => {
  for (let killMs = 0; killMs < 12_000; killMs += 750) {
    const world = aWorld(t, { apps: ["one"], pods: POD_COUNT });
    await world.run(async () => {
      const edit = await begin(world, "TCP80");
      const sinceMs = edit("TCP81");
      await world.clock.sleep(killMs);
      await world.kill();
      world.start();
      await becomes(world, { TCP81: POD_COUNT });
      assert.equal(fewest(world, sinceMs), POD_COUNT, `killed after ${killMs} ms`);
      await world.kill();
    });
  }
});

suite("where the load balancer has as many listeners as it may", () => {
  test("the old one stays, a person is told; it changes over when there is room", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: POD_COUNT, limits: { listenersPerLoadBalancer: 2 } });
    await world.run(async () => {
      const edit = await begin(world, "TCP80");
      const other = second(world, ["TCP90"]);
      await becomes(world, { TCP80: POD_COUNT, TCP90: POD_COUNT });
      const sinceMs = edit("TCP81");
      await world.clock.sleep(2 * MINUTE);
      assert.deepEqual([listening(world), story(world, sinceMs)], [{ TCP80: POD_COUNT, TCP90: POD_COUNT }, []]);
      assert.match(told(world, "WriteRefused").concat(told(world, "QuotaExceeded")).join("\n"), /one: /);
      world.cluster.putService({ ...other, deleting: true });
      await becomes(world, { TCP81: POD_COUNT });
      assert.deepEqual(story(world, sinceMs), ["deleted TCP90", "created TCP81", "drain TCP80", "deleted TCP80"]);
      await world.kill();
    });
  });

  test("an empty one makes room for what replaces it", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: POD_COUNT, limits: { listenersPerLoadBalancer: 1 } });
    await world.run(async () => {
      world.cluster.edit("one", { selector: { app: "nobody" } });
      world.start();
      await becomes(world, { TCP80: 0 });
      world.cluster.edit("one", { ports: ports("TCP81"), selector: { app: "one" } });
      await becomes(world, { TCP81: POD_COUNT });
      await world.kill();
    });
  });
});

test("a listener that is left with a target which somebody else bound is parked like any removal; a person lets it go", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: POD_COUNT });
  const { cluster, cloud } = world;
  await world.run(async () => {
    const edit = await begin(world, "TCP80");
    const old = cloud.state().loadBalancers[0]?.listeners[0]?.id;
    await world.byHand("one", "RegisterTargets", { ListenerId: old, Targets: [{ EniIp: "10.244.9.9", Port: 8080, Weight: 10 }] });
    await world.clock.sleep(MINUTE + 15_000);
    edit("TCP81");
    await world.until(
      () => "the removal is parked",
      () => told(world, "RemovalParked").length > 0,
    );
    await world.clock.sleep(MINUTE);
    assert.deepEqual(listening(world), { TCP80: 1, TCP81: POD_COUNT });
    const id = /removal (r-[0-9a-f]{8})/.exec(told(world, "RemovalParked")[0] ?? "")?.[1] ?? "";
    cluster.annotate("one", { [RELEASE]: id });
    await becomes(world, { TCP81: POD_COUNT });
    await world.kill();
  });
});
