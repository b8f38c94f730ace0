/** What an owner has is stored: every leader decides as the one before it would have, whatever was edited, renamed, vanished or deleted. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { DIRECT_ACCESS, EXISTING_LOAD_BALANCER, INTERNAL_SUBNET, listenerName, RECORD_PREFIX } from "../../../common/names.ts";
import { CLUSTER } from "../../builders.ts";
import { uidOf } from "./cluster.ts";
import { assertNothingWrong, aWorld, type World } from "./world.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

/** Another process takes over, with what is stored. */
async function replace(world: World): Promise<void> {
  await world.kill();
  await world.clock.sleep(1_500);
  world.start();
  await world.clock.sleep(3_000);
}
const loadBalancer = ({ cloud }: World, id = "lb-one") => cloud.state().loadBalancers.find((one) => one.id === id);
const listeners = (world: World, id = "lb-one") => loadBalancer(world, id)?.listeners ?? [];
const targets = (world: World, id = "lb-one") => listeners(world, id).flatMap((listener) => listener.targets);
const reasons = ({ cluster }: World, app = "one"): string[] => [
  ...new Set(
    cluster.told.flatMap(({ object, reason, message }) =>
      object === app && reason !== "EnsureServiceSuccess" ? [`${reason} ${message.length > 0}`.split(" ")[0] ?? ""] : [],
    ),
  ),
];
const messages = ({ cluster }: World, reason: string): string[] =>
  cluster.told.flatMap((told) => (told.reason === reason ? told.message : []));
const isOpen = ({ cluster }: World, uid: string): boolean => cluster.pods.get(uid)?.gate === "True";

/** Ends the oldest Pod of "one": how long until its weight is 0, milliseconds; Infinity: not within eight seconds. */
async function drainOf({ cluster, clock, cloud }: World, among = cluster.alive("one")): Promise<number> {
  const [pod] = among;
  assert.ok(pod, "no Pod is left");
  const endedMs = clock.now();
  cluster.end([pod.uid]);
  await clock.sleep(7_900);
  const off = cloud.journal
    .of("target")
    .find((entry) => pod.ips.includes(entry.ip) && entry.timeMs >= endedMs && (entry.change === "unbound" || entry.weight === 0));
  return off === undefined ? Number.POSITIVE_INFINITY : Math.round(off.timeMs - endedMs);
}

/** Where nothing is in the way a drain takes effect so soon: the call and its task take half a second each in the emulated cloud. */
const SOON_MS = 2_000;

/** A Pod ends and another one comes: the one is drained and unbound, the other bound, and its gate opens. */
async function assertServed(world: World): Promise<void> {
  const { cluster } = world;
  const took = await drainOf(world);
  assert.ok(took < SOON_MS, `the drain took ${took} ms`);
  const [fresh = ""] = cluster.start("one", 1);
  await world.until(
    () => `the gate of ${fresh} opens`,
    () => isOpen(world, fresh),
    30_000,
  );
  await world.until(
    () => "what has ended is unbound",
    () => targets(world).length === cluster.alive("one").length,
    30_000,
  );
}

suite("an edit that is refused is refused by every leader, and what the Service has is looked after:", () => {
  const EDITS: readonly (readonly [title: string, edit: (world: World) => void, reason: string])[] = [
    [
      "another load balancer",
      ({ cluster }) => cluster.annotate("one", { [EXISTING_LOAD_BALANCER]: "lb-two" }),
      "LoadBalancerChangeRefused",
    ],
    [
      "none, so that one would be made",
      ({ cluster }) => {
        const { [EXISTING_LOAD_BALANCER]: _, ...annotations } = cluster.service("one")?.annotations ?? {};
        cluster.edit("one", { annotations });
      },
      "LoadBalancerChangeRefused",
    ],
    [
      "a mistyped load balancer",
      ({ cluster }) => cluster.annotate("one", { [EXISTING_LOAD_BALANCER]: "lb-one," }),
      "InvalidLoadBalancerId",
    ],
    [
      "direct access that is neither true nor false",
      ({ cluster }) => cluster.annotate("one", { [DIRECT_ACCESS]: "True" }),
      "InvalidDirectAccess",
    ],
  ];
  for (const [title, edit, reason] of EDITS)
    for (const when of ["before the leader changes", "while no leader is there"])
      test(`${title}, ${when}`, async (t) => {
        const world = aWorld(t, { apps: ["one", "two"], pods: 4 });
        await world.run(async () => {
          world.start();
          for (const app of world.apps) await world.converged(app);
          if (when === "before the leader changes") {
            edit(world);
            await world.clock.sleep(2_000);
          }
          await world.kill();
          edit(world);
          world.start();
          await world.clock.sleep(3_000);
          await assertServed(world);
          await world.clock.sleep(2 * MINUTE);
          await replace(world);
          await assertServed(world);
          assert.deepEqual(
            [world.cloud.state().loadBalancers.length, listeners(world, "lb-two").length],
            [2, 1],
            "nothing was made for it",
          );
          assert.deepEqual(reasons(world), [reason]);
          assert.equal(new Set(messages(world, reason)).size, 1);
          await world.kill();
        });
        assertNothingWrong(world);
      });
});

test("a created load balancer goes with its Service, although that names another one since", async (t) => {
  const world = aWorld(t, { apps: ["one", "two"], pods: 2 });
  const { cluster, cloud, clock } = world;
  const { [EXISTING_LOAD_BALANCER]: _, ...annotations } = cluster.service("one")?.annotations ?? {};
  cluster.edit("one", { annotations });
  const created = () => cloud.state().loadBalancers.filter(({ id }) => id !== "lb-one" && id !== "lb-two");
  await world.run(async () => {
    world.start();
    await world.until(
      () => "a load balancer is made and serves",
      () => created()[0]?.listeners[0]?.targets.length === 2,
    );
    cluster.annotate("one", { [EXISTING_LOAD_BALANCER]: "lb-two" });
    await clock.sleep(2_000);
    await replace(world);
    cluster.remove("one");
    await replace(world);
    await world.until(
      () => "the Service is gone",
      () => cluster.service("one") === undefined,
    );
    assert.deepEqual(created(), []);
    assert.equal(listeners(world, "lb-two").length, 1, "the other Service's listener stays");
    await world.kill();
  });
});

suite("a Service that vanishes without a deletion", () => {
  for (const leader of ["the same leader", "another leader"])
    test(`keeps what it has, its Pods are drained, and one of the same name takes it over in place: ${leader}`, async (t) => {
      const world = aWorld(t, { apps: ["one", "two"], pods: 4 });
      const { cluster, clock, cloud } = world;
      await world.run(async () => {
        world.start();
        for (const app of world.apps) await world.converged(app);
        const [before] = listeners(world);
        cluster.vanish("one");
        await clock.sleep(2_000);
        if (leader === "another leader") await replace(world);
        assert.deepEqual(reasons(world), ["OrphanedListener"]);
        const took = await drainOf(world);
        assert.ok(took < SOON_MS, `the drain took ${took} ms`);
        await clock.sleep(10_000);
        assert.equal(targets(world).length, 3, "what has ended is unbound");
        if (leader === "another leader") await replace(world);
        const fromMs = clock.now();
        cluster.recreate("one");
        await world.converged("one");
        const uid = cluster.service("one")?.uid ?? "";
        await world.until(
          () => "the listener has the new Service's name",
          () => listeners(world)[0]?.name === listenerName(CLUSTER, uid, "TCP", 80),
          10_000,
        );
        assert.deepEqual(
          listeners(world).map(({ id }) => id),
          [before?.id],
        );
        assert.deepEqual(
          cloud.journal.of("target").filter(({ timeMs, loadBalancerId }) => timeMs >= fromMs && loadBalancerId === "lb-one"),
          [],
          "targets were touched",
        );
        assert.deepEqual(messages(world, "ListenerRenamed"), []);
        await assertServed(world);
        await replace(world);
        await assertServed(world);
        await world.kill();
      });
      assertNothingWrong(world);
    });

  test("and comes back as another one with other Pods: the former ones leave when the new ones serve", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster } = world;
    await world.run(async () => {
      world.start();
      await world.converged("one");
      cluster.vanish("one");
      await replace(world);
      for (const { uid } of cluster.alive("one").slice(2)) cluster.relabel(uid, { app: "one", tier: "new" });
      cluster.recreate("one", { selector: { app: "one", tier: "new" } });
      await world.until(
        () => "only the new ones are bound",
        () => targets(world).length === 2,
      );
      assert.equal(listeners(world).length, 1);
      await world.kill();
    });
  });

  for (const leader of ["the same leader", "another leader"])
    test(`and whose load balancer we made: one of the same name takes it over, and it goes with that one: ${leader}`, async (t) => {
      const world = aWorld(t, { apps: ["one"], pods: 4 });
      const { cluster, clock, cloud } = world;
      const made = () => cloud.state().loadBalancers.filter(({ id }) => id !== "lb-one");
      const { [EXISTING_LOAD_BALANCER]: _, ...annotations } = cluster.service("one")?.annotations ?? {};
      const serves = (): boolean => made()[0]?.listeners[0]?.targets.filter(({ weight }) => weight > 0).length === 4;
      const change = async (): Promise<void> => (leader === "the same leader" ? undefined : await replace(world));
      cluster.edit("one", { annotations });
      await world.run(async () => {
        world.start();
        await world.until(() => "a load balancer is made and serves", serves);
        await clock.sleep(2_000); // its listener is on record
        const fromMs = clock.now();
        const [before] = made();
        for (const round of ["once", "and once more"]) {
          cluster.vanish("one");
          if (round === "once") await clock.sleep(2_000); // else the new one comes with the same breath
          await change();
          cluster.recreate("one", { annotations });
          const name = listenerName(CLUSTER, cluster.service("one")?.uid ?? "", "TCP", 80);
          await world.until(
            () => `${round}: the listener has the new Service's name`,
            () => made()[0]?.listeners[0]?.name === name,
            30_000,
          );
          await change();
          await clock.sleep(2 * MINUTE);
          assert.deepEqual(
            made().map(({ id, listeners: [listener] }) => [id, listener?.id]),
            [[before?.id, before?.listeners[0]?.id]],
          );
          assert.ok(serves());
          assert.ok((cluster.service("one")?.ingress.length ?? 0) > 0, "its address is not published");
        }
        assert.deepEqual(
          cloud.journal.of("target").filter(({ timeMs }) => timeMs >= fromMs),
          [],
          "targets were touched",
        );
        assert.deepEqual(
          reasons(world).filter((reason) => reason !== "OrphanedListener"),
          [],
        );
        cluster.remove("one");
        await world.until(
          () => "the Service is gone",
          () => cluster.service("one") === undefined,
        );
        assert.deepEqual(made(), [], "what we made goes with the Service that has it");
        await world.kill();
      });
    });

  test("and comes back for another network: what was made for the other one is left alone", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 2 });
    const { cluster, clock, cloud } = world;
    const { [EXISTING_LOAD_BALANCER]: _, ...annotations } = cluster.service("one")?.annotations ?? {};
    const made = () => cloud.state().loadBalancers.filter(({ id }) => id !== "lb-one");
    cluster.edit("one", { annotations });
    await world.run(async () => {
      world.start();
      await world.until(
        () => "a load balancer is made and serves",
        () => made()[0]?.listeners[0]?.targets.length === 2,
      );
      await clock.sleep(2_000);
      cluster.vanish("one");
      cluster.recreate("one", { annotations: { ...annotations, [INTERNAL_SUBNET]: "subnet-12345678" } });
      await clock.sleep(MINUTE);
      const [listener] = made()[0]?.listeners ?? [];
      assert.equal(listener?.name, listenerName(CLUSTER, uidOf(0), "TCP", 80), "it was taken over");
      await world.kill();
    });
  });

  test("and whose listener was renamed before: the leader falls before it has stored that the vanished one has it no more", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock } = world;
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await clock.sleep(2_000);
      await world.byHand("one", "ModifyListener", { ListenerId: listeners(world)[0]?.id, ListenerName: "mine" });
      const ownName = (): string => listenerName(CLUSTER, cluster.service("one")?.uid ?? "", "TCP", 80);
      const isNamed = (): boolean => listeners(world)[0]?.name === ownName();
      await world.until(() => "the listener is named back", isNamed, 2 * MINUTE);
      await clock.sleep(MINUTE);
      const before = cluster.service("one")?.uid ?? "";
      cluster.vanish("one");
      cluster.recreate("one");
      await world.until(() => "the listener has the new Service's name", isNamed, 10_000);
      assert.ok(
        cluster.records.entries("lb-one").some(([key]) => key.includes(before)),
        "what the vanished one had is still on record",
      );
      await replace(world);
      await clock.sleep(2 * MINUTE);
      assert.deepEqual(
        listeners(world).map(({ name }) => name),
        [ownName()],
      );
      assert.doesNotMatch(messages(world, "ListenerRenamed").join(" "), /given up/);
      await assertServed(world);
      assert.ok(!cluster.records.entries("lb-one").some(([key]) => key.includes(before)), "it is forgotten");
      await world.kill();
    });
  });

  test("is forgotten when a person has deleted its listener", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 2 });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      world.cluster.vanish("one");
      await world.clock.sleep(1_000);
      await world.byHand("one", "DeleteListener", { ListenerId: listeners(world)[0]?.id });
      await world.clock.sleep(2 * MINUTE);
      const owners = world.cluster.records.entries("lb-one").filter(([key]) => key.startsWith("owner."));
      assert.deepEqual(owners, []);
      await world.kill();
    });
  });
});

suite("a listener that somebody renames in the console", () => {
  const rename = async (world: World, ListenerName: string): Promise<void> => {
    await world.byHand("one", "ModifyListener", { ListenerId: listeners(world)[0]?.id, ListenerName });
    await world.clock.sleep(MINUTE + 5_000); // the resync sees it
  };
  const names = (world: World): string[] => listeners(world).map(({ name }) => name);
  const given = (world: World): string => listenerName(CLUSTER, world.cluster.service("one")?.uid ?? "", "TCP", 80);

  for (const leader of ["the same leader", "another leader each time"])
    test(`is known by its id, told, and named back once; renamed again within a day it is given up: ${leader}`, async (t) => {
      const world = aWorld(t, { apps: ["one"], pods: 4 });
      const change = async (): Promise<void> => (leader === "the same leader" ? undefined : await replace(world));
      await world.run(async () => {
        world.start();
        await world.converged("one");
        await rename(world, "mine");
        await change();
        await assertServed(world);
        assert.deepEqual(names(world), [given(world)]);
        assert.equal(new Set(messages(world, "ListenerRenamed")).size, 1);
        await rename(world, "mine, I said");
        await change();
        await world.clock.sleep(MINUTE);
        assert.deepEqual(names(world), ["mine, I said"]);
        const before = targets(world).length;
        assert.equal(await drainOf(world), Number.POSITIVE_INFINITY, "its targets stay as they are");
        assert.equal(targets(world).length, before);
        assert.match(
          messages(world, "ListenerRenamed").at(-1) ?? "",
          /given up with its targets as they are, because it was renamed again within a day/,
        );
        await change();
        await rename(world, given(world));
        await world.converged("one");
        await world.kill();
      });
    });

  test("and whose record somebody deletes while no leader is there, is nobody's: the condition says so, and an Event who has the port", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 2 });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await world.clock.sleep(2_000);
      assert.equal(world.cluster.service("one")?.ready?.status, "True");
      await world.kill();
      await world.byHand("one", "ModifyListener", { ListenerId: listeners(world)[0]?.id, ListenerName: "mine" });
      world.cluster.records.removeOf("lb-one");
      world.start();
      await world.clock.sleep(10_000);
      assert.deepEqual(names(world), ["mine"]);
      assert.equal(targets(world).length, 2);
      const { status, reason } = world.cluster.service("one")?.ready ?? {};
      assert.deepEqual([status, reason], ["False", "ListenersPending"]);
      assert.match(messages(world, "ListenerPortTaken")[0] ?? "", /mine/);
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("after more than a day is named back once more", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 1, resyncMs: DAY / 4 });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      for (const name of ["mine", "yours"]) {
        await world.byHand("one", "ModifyListener", { ListenerId: listeners(world)[0]?.id, ListenerName: name });
        await replace(world);
        await world.clock.sleep(10_000);
        assert.deepEqual(names(world), [given(world)]);
        await world.kill();
        if (name === "mine") await world.clock.sleep(DAY);
        world.start();
        await world.clock.sleep(10_000);
      }
      await world.kill();
    }, 4 * DAY);
  });

  test("to a name that carries another owner's mark is given up, and that owner does not delete it", async (t) => {
    const world = aWorld(t, { apps: ["one", "two"], pods: 2 });
    await world.run(async () => {
      world.start();
      for (const app of world.apps) await world.converged(app);
      world.cluster.edit("two", {
        annotations: world.cluster.service("one")?.annotations ?? {},
        ports: [{ name: "", protocol: "TCP", port: 81, targetPort: 8080 }],
      });
      await rename(world, listenerName(CLUSTER, world.cluster.service("two")?.uid ?? "", "TCP", 80));
      await replace(world);
      await world.clock.sleep(2 * MINUTE);
      assert.deepEqual(
        listeners(world).map(({ targets: all }) => all.length),
        [2],
      );
      assert.match(messages(world, "ListenerRenamed").at(-1) ?? "", /because the new name carries the mark of another owner/);
      await world.kill();
    });
  });
});

async function settings({ cloud }: World): Promise<unknown> {
  const answer = await cloud.call("clb", "DescribeListeners", { LoadBalancerId: "lb-one" }, { name: "a person" });
  const [listener] = answer["Listeners"] as { HealthCheck: object; Scheduler: string }[];
  return [listener?.HealthCheck, listener?.Scheduler];
}

suite("what a person sets in the console at a listener of a Service without TkeServiceConfig", () => {
  for (const leader of ["the same leader", "another leader"])
    test(`is put back as the Event says, and no gate opens on checks that are off: ${leader}`, async (t) => {
      const world = aWorld(t, { apps: ["one"], pods: 4 });
      const { cluster, clock } = world;
      await world.run(async () => {
        world.start();
        await world.converged("one");
        const ListenerId = listeners(world)[0]?.id;
        const before = await settings(world);
        await world.byHand("one", "ModifyListener", { ListenerId, Scheduler: "LEAST_CONN", HealthCheck: { HealthSwitch: 0 } });
        if (leader === "another leader") await replace(world);
        const [fresh = ""] = cluster.start("one", 1);
        await clock.sleep(2 * MINUTE);
        assert.deepEqual(await settings(world), before);
        assert.ok(isOpen(world, fresh));
        assert.deepEqual(world.tooEarly, []);
        await world.kill();
      });
      assertNothingWrong(world);
    });
});

suite("the ConfigMaps of a load balancer's record that somebody deletes", () => {
  test("are written again at once", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock } = world;
    await world.run(async () => {
      world.start();
      await world.converged("one");
      const before = new Map(cluster.records.entries("lb-one"));
      assert.equal(before.size, 5);
      cluster.records.removeOf("lb-one");
      assert.equal(cluster.records.entries("lb-one").length, 0);
      await clock.sleep(100);
      assert.deepEqual(new Map(cluster.records.entries("lb-one")), before);
      const [victim] = cluster.alive("one");
      await world.kill();
      cluster.end([victim?.uid ?? ""]);
      await clock.sleep(10_000);
      world.start();
      await world.converged("one");
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("while no leader is there: targets of live Pods that the Service selects are ours, and nobody is told to remove them", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 8 });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await world.kill();
      world.cluster.records.removeOf("lb-one");
      world.start();
      await assertServed(world);
      await world.clock.sleep(2 * MINUTE);
      assert.deepEqual(messages(world, "ForeignBackend"), []);
      await assertServed(world);
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("or edits, are put back", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock } = world;
    await world.run(async () => {
      world.start();
      await world.converged("one");
      const before = new Map(cluster.records.entries("lb-one"));
      const data = { "ip.10.244.0.1": null, "ip.10.244.0.2": "somebody", "ip.1.2.3.4": "somebody" };
      cluster.records.patch(`/${RECORD_PREFIX}lb-one-0`, { data });
      await clock.sleep(100);
      assert.deepEqual(new Map(cluster.records.entries("lb-one")), before);
      await world.kill();
    });
  });
});
