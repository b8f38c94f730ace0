import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { PROFILES } from "../../cloud/runtime/options.ts";
import { assertNothingWrong, aWorld, type World } from "./world.ts";

/** Refuses every call of these actions that names the address, as the cloud refuses what it will never take. */
const refusing =
  (ip: string, actions: readonly string[], code: string) =>
  (action: string, request: object): string | undefined =>
    actions.includes(action) && JSON.stringify(request).includes(`"${ip}"`) ? code : undefined;
const targetsOf = (world: World, id: string) =>
  world.cloud
    .state()
    .loadBalancers.filter((one) => one.id === id)
    .flatMap(({ listeners }) => listeners.flatMap(({ targets }) => targets));
const toldOf = (world: World, reason: string): string[] =>
  world.cluster.told.filter((told) => told.reason === reason).map(({ object, message }) => `${object} ${message}`);

const UNBIND = ["BatchDeregisterTargets"];
const REFUSALS = [
  { title: "drain, conflict and unbind", actions: ["BatchModifyTargetWeight", ...UNBIND], code: "InvalidParameterValue" },
  { title: "unbind", actions: UNBIND, code: "InvalidParameterValue" },
  { title: "unbind, by a failure that may pass", actions: UNBIND, code: "FailedOperation" },
];

suite("a rollout ends where the cloud refuses for ever to unbind one target:", () => {
  for (const { title, actions, code } of REFUSALS)
    test(title, async (t) => {
      const world = aWorld(t, { apps: ["one"] });
      const ip = world.cluster.alive("one")[0]?.ips[0] ?? "";
      await world.run(async () => {
        world.start();
        await world.converged("one");
        world.intercept.by = refusing(ip, actions, code);
        await world.rollOut("one");
        await world.until(
          () => `one old target: ${targetsOf(world, "lb-one").length - 8}`,
          () => targetsOf(world, "lb-one").length === 9,
          60_000,
        );
        await world.clock.sleep(60_000);
        assert.equal(targetsOf(world, "lb-one").filter((target) => target.ip === ip).length, 1);
        world.intercept.by = () => undefined;
        await world.until(
          () => "it is unbound when the cloud takes the call",
          () => targetsOf(world, "lb-one").length === 8,
          40_000,
        );
        await world.converged("one");
        await world.kill();
      });
      const told = toldOf(world, "WriteRefused");
      assert.ok(told.length > 0, "nobody was told");
      for (const line of told) assert.ok(line.startsWith("one Service demo/one: ") && line.includes(`${ip}:8080`), line);
      assertNothingWrong(world);
    });
});

test("a listener that the cloud refuses to create is named and costs few calls; rollouts at the other load balancer go on", async (t) => {
  const world = aWorld(t);
  let refused = 0;
  await world.run(async () => {
    world.intercept.by = (action, request) => {
      if (action !== "CreateListener" || !JSON.stringify(request).includes("lb-one")) return undefined;
      refused++;
      return "InvalidParameterValue";
    };
    world.start();
    await world.converged("two");
    await world.clock.sleep(60_000);
    await world.rollOut("two");
  });
  assert.ok(refused >= 5 && refused <= 12, `${refused} tries`);
  assert.match(
    toldOf(world, "WriteRefused").join("\n"),
    /one Service demo\/one: load balancer lb-one refused 1 listener: TCP:80 .*injected refusal/,
  );
  await world.run(async () => {
    world.intercept.by = () => undefined;
    await world.converged("one");
    await world.kill();
  });
  assertNothingWrong(world);
});

test("a quota that stays full is met ever more rarely, and its end is noticed when a Pod leaves", async (t) => {
  const world = aWorld(t, { apps: ["one"], limits: { targetsPerPlace: 8 } });
  const met = (): number => world.cloud.journal.of("call").filter(({ code }) => code === "LimitExceeded").length;
  await world.run(async () => {
    world.start();
    await world.converged("one");
    const old = world.cluster.alive("one").map(({ uid }) => uid);
    const more = world.cluster.start("one", 4);
    await world.clock.sleep(120_000);
    assert.ok(met() >= 5 && met() <= 12, `the quota was met ${met()} times in 120 s`);
    const beganMs = world.clock.now();
    world.cluster.end(old.slice(0, 4));
    const isOpen = (uid: string): boolean => world.cluster.pods.get(uid)?.gate === "True";
    await world.until(
      () => `the gates of ${more.join()}`,
      () => more.every(isOpen),
      // Stop 8 s, unbind and bind about 1 s each with their tails, check 10 s.
      25_000,
    );
    assert.ok(world.clock.now() - beganMs < 25_000);
    await world.converged("one");
    await world.kill();
  });
  assertNothingWrong(world);
});

suite("where the cloud answers batch calls before they are done", () => {
  const profile = { ...PROFILES.fast, batchTargets: { mode: "async", busyAfterReturnMs: 500 } } as const;

  test("nothing is believed that has not taken effect: a failed batch is repeated at once and is nobody's drift", async (t) => {
    const world = aWorld(t, { apps: ["one"], profile });
    await world.run(async () => {
      world.start();
      await world.converged("one");
    });
    const beganMs = world.clock.now();
    await world.run(async () => {
      for (const action of ["BatchRegisterTargets", "BatchDeregisterTargets"])
        world.cloud.faults.add({ kind: "task-failed", message: "device busy", action, count: 2 });
      await world.rollOut("one");
      await world.converged("one");
      await world.kill();
    });
    assert.ok(world.clock.now() - beganMs < 60_000, `took ${world.clock.now() - beganMs} ms`);
    assert.deepEqual([toldOf(world, "ListenerDrift"), toldOf(world, "ForeignBackend")], [[], []]);
    assertNothingWrong(world);
  });

  test("one bad target among many is named, the others are bound", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 60, profile });
    const bad = "10.244.0.23";
    await world.run(async () => {
      world.cloud.faults.add({ kind: "partial", ips: [bad], message: `EniIp ${bad} is no attached ENI` });
      world.cluster.readyTogether();
      world.start();
      await world.converged("one", ["one-22"]);
      await world.kill();
    });
    assert.deepEqual([...new Set(toldOf(world, "BindRefused").map((line) => line.split(" ")[0]))], ["one-22", "one"]); // the Pod, and its Service
    assertNothingWrong(world);
  });

  /** A batch whose task fails; how long from then until all is well. */
  const repaired = async (t: TestContext, action: string, { knowsTasks }: { readonly knowsTasks: boolean }): Promise<number> => {
    const world = aWorld(t, { apps: ["one"], profile: { ...profile, apiLatencyMs: { default: 30, write: 600, jitterPct: 0 } } });
    const isOfBatch = (request: object): boolean =>
      world.cloud.journal.of("task").some((task) => task.taskId === Reflect.get(request, "TaskId") && task.action.startsWith("Batch"));
    if (!knowsTasks)
      world.intercept.by = (asked, request) => (asked === "DescribeTaskStatus" && isOfBatch(request) ? "InvalidParameterValue" : undefined);
    const tookMs = await world.run(async () => {
      world.cluster.readyTogether();
      world.cloud.faults.add({ kind: "task-failed", message: "device busy", action, count: 1 });
      world.start();
      if (action === "BatchDeregisterTargets") {
        await world.converged("one");
        world.cluster.end(["one-0"]);
      }
      await world.until(
        () => "the batch failed",
        () => world.cloud.journal.of("task").some(({ change }) => change === "failed"),
      );
      const failedMs = world.clock.now();
      await world.clock.sleep(5_000);
      await world.converged("one");
      const passedMs = world.clock.now() - failedMs;
      await world.kill();
      return passedMs;
    });
    assertNothingWrong(world);
    return tookMs;
  };
  for (const action of ["BatchRegisterTargets", "BatchDeregisterTargets"]) {
    test(`each as late as a whole write: a ${action} that never took effect is heard of by its task`, async (t) => {
      const tookMs = await repaired(t, action, { knowsTasks: true });
      assert.ok(tookMs < 25_000, `took ${tookMs} ms`); // a write, the check window
    });

    test(`and knows no task of a batch, the audit tells: a ${action} that never took effect is repaired within its time`, async (t) => {
      const tookMs = await repaired(t, action, { knowsTasks: false });
      assert.ok(tookMs > 5_000 && tookMs < 85_000, `took ${tookMs} ms`); // the audit, a write, the check window
    });
  }
});
