import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { parseFaultScript } from "../../cloud/faults/script.ts";
import { assertNothingWrong, aWorld, type ByHand, type Options, type Steps, type World } from "./world.ts";

type Scenario = {
  readonly name: string;
  readonly world?: Options;
  /** As in a fault script; times count from the moment the rollout begins. */
  readonly faults?: readonly string[];
  readonly steps?: Steps;
  /** The load balancers whose rollout comes to its end; default all. */
  readonly ends?: readonly string[];
  /** What else happens during the rollout. */
  readonly during?: (world: World, rollouts: ReadonlyMap<string, Promise<void>>) => Promise<ByHand[]>;
  /** A write that hangs is given up at last, and its lock met. */
  readonly stuck?: boolean;
  /** What else must be true at the end; `beganMs` is when the rollout began. */
  readonly also?: (world: World, beganMs: number) => void;
};

const SCENARIOS: readonly Scenario[] = [
  { name: "a throttling storm", faults: ['kind: throttled, from: "3s", for: "30s", probability: 0.5'] },
  {
    name: "a task that never ends: the other load balancer goes on, this one when the task is over",
    faults: ["kind: task-stuck, loadBalancerId: lb-one, count: 1"],
    stuck: true,
    during: async (world, rollouts) => {
      await rollouts.get("two");
      const boundMeanwhile = changes(world, "lb-one", "bound");
      await world.clock.sleep(120_000);
      assert.equal(changes(world, "lb-one", "bound"), boundMeanwhile);
      const tries = callsTo(world, "lb-one").filter(({ code }) => code === "FailedOperation.ResourceInOperating").length;
      assert.ok(tries > 10 && tries < 200, `${tries} tries against the lock of the stuck task`);
      world.cloud.faults.clear();
      return [];
    },
  },
  { name: "tasks that fail", faults: ["kind: task-failed, message: no reason given, count: 4, probability: 0.5"] },
  {
    name: "answers lost after the write took effect: it is looked at, and nothing is bound or unbound twice",
    faults: ["kind: lost-response, count: 6, probability: 0.5"],
    also: (world) => {
      const named = (action: string): number =>
        world.cloud.journal
          .of("call")
          .filter((call) => call.action === action && (call.code === "OK" || call.code === "LostResponse"))
          .reduce((sum, { targets }) => sum + targets, 0);
      const [bound, unbound] = ["bound", "unbound"].map((what) => changes(world, "lb-one", what) + changes(world, "lb-two", what));
      assert.deepEqual([named("BatchRegisterTargets"), named("BatchDeregisterTargets")], [bound, unbound]);
      assert.deepEqual([bound, unbound], [32, 16]);
    },
  },
  {
    name: "a quota that is full: what is drained makes room",
    world: { limits: { targetsPerPlace: 8 } },
    steps: { unavailable: 4 },
    also: (world, beganMs) => {
      const binds = callsTo(world, "lb-one").filter(({ action, startMs }) => action === "BatchRegisterTargets" && startMs >= beganMs);
      const full = binds.filter(({ code }) => code.startsWith("LimitExceeded")).length;
      assert.ok(full > 0 && full < 30, `the quota was met ${full} times`);
      // Two rounds of four Pods each: when there is room again, all who wait are bound together.
      assert.equal(binds.filter(({ code }) => code === "OK").length, 2);
    },
  },
  {
    name: "another writer that holds the lock for 20 s: the other load balancer goes on",
    faults: ['kind: locked, hold: "20s", loadBalancerId: lb-one, count: 1'],
    also: (world, beganMs) => {
      const ofOne = boundAt(world, "lb-one").filter((atMs) => atMs >= beganMs);
      const ofTwo = boundAt(world, "lb-two").filter((atMs) => atMs >= beganMs);
      assert.ok(Math.min(...ofOne) >= beganMs + 20_000 && Math.min(...ofTwo) < beganMs + 5_000, `${ofOne[0]}, ${ofTwo[0]}, ${beganMs}`);
    },
  },
  { name: "reads that are 30 s old, for 30 s", faults: ['kind: stale, age: "30s", from: "5s", for: "30s"'] },
  {
    name: "reads that lag by 8 s while another writer comes between: nothing of ours is called foreign, or changed by somebody else",
    faults: ["kind: stale, age: 8s, for: 120s", "kind: locked, hold: 3s, every: 3"],
    also: ({ cluster }) => {
      const told = cluster.told.filter(({ reason }) => reason === "ForeignBackend" || reason === "ListenerDrift");
      assert.deepEqual(told, []);
    },
  },
  {
    name: "credentials that have expired and are renewed after 20 s",
    faults: ['kind: expired-credentials, from: "3s", for: "20s"'],
  },
  {
    name: "a load balancer that somebody deletes: it is reported, the other one goes on",
    ends: ["two"],
    during: async (world) => {
      await world.clock.sleep(4_000);
      return [await world.byHand("one", "DeleteLoadBalancer", {})];
    },
    also: ({ cluster }) => {
      const told = cluster.told.filter(({ object }) => object === "one").map(({ reason }) => reason);
      assert.ok(told.includes("LoadBalancerNotFound"), `told: ${told.join()}`);
    },
  },
  {
    name: "a listener that somebody edits: it is put back and reported",
    during: edit,
    also: ({ cluster }) => {
      const told = cluster.told
        .filter(({ reason }) => reason === "ListenerDrift")
        .map(({ message }) => message)
        .join("\n");
      assert.match(told, /Service demo\/one, load balancer lb-one: somebody else changed listener/);
    },
  },
  {
    name: "binds that succeed and leave targets out",
    faults: ["kind: not-bound, share: 0.4, count: 3"],
    also: ({ cluster }) =>
      assert.ok(
        cluster.told.some(({ reason }) => reason === "ListenerDrift"),
        "nobody was told",
      ),
  },
  {
    name: "a gateway that fails, and connections that are reset",
    faults: ['kind: http, status: 503, probability: 0.3, for: "60s"', 'kind: reset, probability: 0.3, for: "60s"'],
  },
  { name: "calls that take 20 s longer now and then", faults: ['kind: latency, delay: "20s", probability: 0.1, for: "60s"'] },
];

suite("a rollout on two load balancers ends well with", () => {
  for (const scenario of SCENARIOS) test(scenario.name, (t) => rollOutWith(t, scenario));
});

test("one bad target among 500 is named, the others are bound by at most twelve calls", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 500 });
  const bad = "10.244.1.122";
  await world.run(async () => {
    world.cloud.faults.add({ kind: "partial", ips: [bad], message: `EniIp ${bad} is no attached ENI` });
    world.cluster.readyTogether();
    world.start();
    await world.converged("one", ["one-321"]);
    await world.kill();
  });
  const binds = callsTo(world, "lb-one").filter(({ action, code }) => action === "BatchRegisterTargets" && code === "OK");
  const lastBoundMs = Math.max(...boundAt(world, "lb-one"));
  const needed = binds.filter(({ startMs }) => startMs <= lastBoundMs).length;
  assert.ok(needed <= 12, `${needed} binds`);
  const blamed = world.cluster.told.filter(({ reason }) => reason === "BindRefused").map(({ object }) => object);
  assert.deepEqual([...new Set(blamed)], ["one-321", "one"], "the Pod, and its Service");
  assertNothingWrong(world);
});

/** Both load balancers are in use before the faults begin; then all Pods of both are replaced. */
async function rollOutWith(t: TestContext, scenario: Scenario): Promise<void> {
  const { faults = [], during, steps, also, stuck = false } = scenario;
  const script = parseFaultScript(`faults: [${faults.map((fault) => `{ ${fault} }`).join()}]`, "scenario");
  const world = aWorld(t, scenario.world);
  const ends = scenario.ends ?? world.apps;
  await world.run(async () => {
    world.start();
    for (const app of world.apps) await world.converged(app);
  });
  const beganMs = world.clock.now();
  const byHand = await world.run(async () => {
    world.cloud.faults.replace(script);
    const rollouts = new Map(world.apps.map((app) => [app, world.rollOut(app, steps)]));
    for (const over of rollouts.values()) over.catch(() => undefined);
    const byPerson = await during?.(world, rollouts);
    for (const app of ends) await rollouts.get(app);
    for (const app of ends) await world.converged(app);
    await world.kill();
    return byPerson ?? [];
  });
  for (const { kind } of script)
    assert.ok(
      world.cloud.journal.of("call").some((call) => call.faults.includes(kind)),
      `no call met ${kind}`,
    );
  assertNothingWrong(world, { byHand, stuck });
  also?.(world, beganMs);
}

/** Health check, a weight and a target of lb-one. */
async function edit(world: World): Promise<ByHand[]> {
  await world.clock.sleep(4_000);
  const [listener] = world.cloud.state().loadBalancers.find(({ id }) => id === "lb-one")?.listeners ?? [];
  const ListenerId = listener?.id ?? "";
  const [light, gone] = world.cluster
    .alive("one")
    .slice(-2)
    .map(({ ips }) => ips[0]);
  const edits: readonly (readonly [action: string, request: object])[] = [
    ["ModifyListener", { ListenerId, HealthCheck: { HealthSwitch: 1, TimeOut: 5, IntervalTime: 30, HealthNum: 5, UnHealthNum: 5 } }],
    ["ModifyTargetWeight", { ListenerId, Weight: 0, Targets: [{ EniIp: light, Port: 8080 }] }],
    ["DeregisterTargets", { ListenerId, Targets: [{ EniIp: gone, Port: 8080 }] }],
  ];
  const done: ByHand[] = [];
  for (const [action, request] of edits) done.push(await world.byHand("one", action, request));
  return done;
}

const callsTo = (world: World, id: string) => world.cloud.journal.of("call").filter(({ loadBalancerIds }) => loadBalancerIds.includes(id));
const boundAt = (world: World, id: string): number[] =>
  world.cloud.journal
    .of("target")
    .filter(({ change, loadBalancerId }) => change === "bound" && loadBalancerId === id)
    .map(({ timeMs }) => timeMs);
const changes = (world: World, id: string, change: string): number =>
  world.cloud.journal.of("target").filter((entry) => entry.change === change && entry.loadBalancerId === id).length;
