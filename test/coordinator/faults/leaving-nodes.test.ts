/** Whole nodes that leave, and Pods that end by themselves: what is written for them, in how many calls, and when. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../common/vocabulary.ts";
import { assertNothingWrong, aWorld, type Options, type World } from "./world.ts";

const APPS = ["one", "two"] as const;
const NODE = "node-a";

const weightsOf = ({ cloud }: World, pods: readonly PodFact[]): readonly number[] => {
  const ips = new Set(pods.flatMap((pod) => pod.ips));
  const targets = cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
  return targets.filter(({ ip }) => ips.has(ip)).map(({ weight }) => weight);
};
const onNode = ({ cluster }: World, node = NODE): readonly PodFact[] =>
  APPS.flatMap((app) => cluster.alive(app)).filter(({ nodeName }) => nodeName === node);
const uidsOf = (pods: readonly PodFact[]): readonly string[] => pods.map(({ uid }) => uid);
/** Writes of each load balancer since then, e.g. ["drain 4", "unbind 4"]. */
const writesSince = (world: World, atMs: number): readonly (readonly string[])[] =>
  APPS.map((app) =>
    world
      .coordinator()
      .controllers.writeLog.of(`lb-${app}`)
      .filter((write) => write.atMs >= atMs)
      .map(({ lane, items }) => `${lane} ${items}`),
  );

const inWorld = (name: string, options: Options, work: (world: World) => Promise<void>): void =>
  void test(name, async (t) => {
    const world = aWorld(t, { apps: APPS, pods: 16, ...options });
    await world.run(async () => {
      world.start();
      for (const app of world.apps) await world.converged(app);
      await world.clock.sleep(15_000);
      await work(world);
      await world.kill();
    });
  });

inWorld("a node that is drained costs each load balancer one call for weight 0 and one for the end", {}, async (world) => {
  const { cluster, clock } = world;
  const leaving = onNode(world);
  const atMs = clock.now();
  cluster.end(uidsOf(leaving)); // evicted at once, as `kubectl drain` and a spot reclaim with a warning do
  for (const { uid } of leaving) world.agentOf(uid).dial(uid);
  await world.until(
    () => "all of it is lowered",
    () => weightsOf(world, leaving).every((weight) => weight === 0),
    5_000,
  );
  assert.equal(weightsOf(world, leaving).length, leaving.length, "none is unbound while it is held");
  for (const { uid } of leaving) world.agentOf(uid).release(uid);
  await world.until(
    () => "all of it is unbound",
    () => weightsOf(world, leaving).length === 0,
    60_000,
  );
  assert.deepEqual(
    writesSince(world, atMs),
    APPS.map(() => ["drain 4", "unbind 4"]),
  );
  assertNothingWrong(world);
});

inWorld(
  "a node that shuts down calls the hooks without a deletion: weight 0 at once, unbound when its Pods have ended",
  {},
  async (world) => {
    const { cluster, clock } = world;
    const leaving = onNode(world);
    const atMs = clock.now();
    for (const { uid } of leaving) world.agentOf(uid).dial(uid);
    await world.until(
      () => "all are answered",
      () => leaving.every(({ uid }) => world.agentOf(uid).answers.get(uid)?.state === "lowered"),
      4_000,
    );
    assert.deepEqual(new Set(weightsOf(world, leaving)), new Set([0]));
    for (const { uid } of leaving) world.agentOf(uid).release(uid);
    await clock.sleep(1_000);
    cluster.finish(uidsOf(leaving), "Failed"); // "Pod was terminated in response to imminent node shutdown"
    await world.until(
      () => "all of it is unbound",
      () => weightsOf(world, leaving).length === 0,
      5_000,
    );
    assert.deepEqual(
      writesSince(world, atMs).map((writes) => writes.at(-1)),
      APPS.map(() => "unbind 4"),
    );
  },
);

inWorld("a machine that is reclaimed without a word is unbound when its Pods are deleted, not when its Node is", {}, async (world) => {
  const { cluster, clock } = world;
  const leaving = onNode(world);
  world.coordinator().agents[0]?.disconnect();
  world.deleteNode(0);
  await clock.sleep(120_000);
  assert.equal(weightsOf(world, leaving).length, leaving.length, "the Node object alone says nothing of its Pods");
  const atMs = clock.now();
  cluster.collect(uidsOf(leaving));
  await world.until(
    () => `all of it is unbound: ${JSON.stringify(weightsOf(world, leaving))} ${JSON.stringify(writesSince(world, atMs))}`,
    () => weightsOf(world, leaving).length === 0,
    60_000,
  );
  const unbinds = writesSince(world, atMs).map((writes) => writes.filter((write) => write.startsWith("unbind")));
  assert.deepEqual(
    unbinds,
    APPS.map(() => ["unbind 4"]),
  );
});

/** A Node's spec after `kubectl cordon`, and as cloud, node problem detector and node controller taint one that is about to go. */
const cordoned = { unschedulable: true, taints: [{ key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" }] };
const tainted = (key: string, effect: string, more = {}): object => ({ taints: [{ key, effect, ...more }] });
const LEAVING: Readonly<Record<string, object>> = {
  cordoned,
  "tainted as it shuts down": tainted("node.cloudprovider.kubernetes.io/shutdown", "NoSchedule", { timeAdded: "2026-01-02T03:04:05Z" }),
  "tainted before it is reclaimed": tainted("example.com/spot-termination", "NoExecute", { value: "true" }),
  "tainted as unreachable": tainted("node.kubernetes.io/unreachable", "NoExecute", { timeAdded: "2026-01-02T03:04:05Z" }),
};

for (const [what, spec] of Object.entries(LEAVING))
  inWorld(`a node that is ${what} keeps its traffic until its Pods are to end, and they are drained then`, {}, async (world) => {
    const { cluster, clock } = world;
    const there = onNode(world);
    const atMs = clock.now();
    world.editNode(0, spec);
    assert.ok(cluster.objects.nodes.records.get(NODE)?.taints.length === 1, "the coordinator sees the taint");
    await clock.sleep(60_000);
    assert.deepEqual(
      [weightsOf(world, there).every((weight) => weight === 10), writesSince(world, atMs)],
      [true, APPS.map((): string[] => [])],
    );
    cluster.end(uidsOf(there)); // evicted by a drain, or by the taint
    for (const { uid } of there) world.agentOf(uid).dial(uid);
    await world.until(
      () => "all of it is lowered",
      () => weightsOf(world, there).every((weight) => weight === 0),
      5_000,
    );
    for (const { uid } of there) world.agentOf(uid).release(uid);
    world.editNode(0, {}); // it stays after all
    await world.until(
      () => "all of it is unbound",
      () => weightsOf(world, there).length === 0,
      60_000,
    );
    assertNothingWrong(world);
  });

inWorld("a Job that is done gives its address back at once: nothing of it is left to drain", {}, async (world) => {
  const { cluster, clock } = world;
  const [done] = cluster.alive("one");
  assert.ok(done !== undefined);
  const atMs = clock.now();
  cluster.finish([done.uid], "Succeeded");
  await world.until(
    () => "it is unbound",
    () => weightsOf(world, [done]).length === 0,
    2_500,
  );
  assert.deepEqual(writesSince(world, atMs), [["conflict 1"], []]);
});

inWorld(
  "a StatefulSet that is rolled one by one never loses the place of a Pod whose successor has its name",
  { pods: 3 },
  async (world) => {
    const { cluster } = world;
    for (const former of cluster.alive("one")) {
      cluster.end([former.uid]); // OrderedReady: the next one comes when this one is gone
      world.agentOf(former.uid).dial(former.uid);
      await world.until(
        () => "it is lowered",
        () => weightsOf(world, [former]).every((weight) => weight === 0),
        5_000,
      );
      world.agentOf(former.uid).release(former.uid);
      await world.until(
        () => "it is gone",
        () => cluster.pods.get(former.uid) === undefined,
        20_000,
      );
      const [uid = ""] = cluster.start("one", 1, former.ips[0]); // its network gives the same address again
      await world.until(
        () => `the gate of ${uid} opens`,
        () => cluster.pods.get(uid)?.gate === "True",
        60_000,
      );
    }
    await world.converged("one");
    assertNothingWrong(world);
  },
);
