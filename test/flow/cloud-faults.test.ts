import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Fault } from "../cloud/faults/script.ts";
import { becomesIdle, checkSafety, converged, disturbedRollouts, pause, trackPods } from "./disturbed-rollout.ts";
import { changedExample, scaleTo } from "./examples.ts";
import { loadBalancer } from "./look.ts";
import { applyExample, boundTargets, startWorld, until, type World } from "./world.ts";

const AWAY_MS = 5_000;
const AWAY: Readonly<Record<string, Fault>> = {
  "an internal error": { kind: "error", code: "InternalError" },
  "HTTP 503": { kind: "http", status: 503 },
  "a connection reset": { kind: "reset" },
  "that the rate limit is exceeded": { kind: "error", code: "RequestLimitExceeded" },
};

test("the cloud answers nothing else for 5 s in the middle of a rollout than", { timeout: 400_000 }, async (t) => {
  const world = await startWorld(t);
  const roll = await disturbedRollouts(t, world);
  for (const [what, fault] of Object.entries(AWAY))
    await t.test(what, { timeout: 180_000 }, () =>
      roll(async () => {
        const { journal, faults } = world.cloud.cloud;
        const sinceSeq = journal.lastSeq;
        faults.add({ ...fault, for: AWAY_MS });
        await pause(AWAY_MS);
        const calls = journal.since(sinceSeq).filter((entry) => entry.kind === "call");
        assert.ok(calls.length >= 3 && calls.length < 120, `${calls.length} calls in ${AWAY_MS} ms: it goes on asking, but not in a storm`);
      }),
    );
});

suite("one bind goes wrong:", () => {
  test("its answer is lost, so the load balancer is read and the call not repeated", { timeout: 120_000 }, async (t) => {
    const world = await startWorld(t);
    const { calls } = await bindWith(world, { kind: "lost-response" }, () => trackPods(t, world));
    const after = calls.slice(calls.findIndex(({ code }) => code === "LostResponse")).map(({ action }) => action);
    assert.equal(after[0], "BatchRegisterTargets");
    const [looked, next] = [after.indexOf("DescribeTargets"), after.indexOf("BatchRegisterTargets", 1)];
    assert.ok(looked > 0 && (next === -1 || looked < next), `after the loss came ${after.join(", ")}`);
  });

  test("its task fails, so it is repeated", { timeout: 120_000 }, async (t) => {
    const world = await startWorld(t);
    const { calls } = await bindWith(world, { kind: "task-failed", message: "no reason given" }, () => trackPods(t, world));
    const codes = calls.filter(({ action }) => action === "BatchRegisterTargets").map(({ code }) => code);
    assert.ok(codes.includes("FailedOperation") && codes.at(-1) === "OK", codes.join());
    const failedMs = calls.find(({ code }) => code === "FailedOperation")?.timeMs ?? 0;
    const repeatedMs =
      calls.find(({ action, code, timeMs }) => action === "BatchRegisterTargets" && code === "OK" && timeMs > failedMs)?.timeMs ?? 0;
    assert.ok(repeatedMs - failedMs < 4_000, `repeated after ${repeatedMs - failedMs} ms`);
  });
});

/** Two bound Pods, then two more whose bind meets the fault; the calls since then. */
async function bindWith(world: World, fault: Fault, track: () => ReturnType<typeof trackPods>) {
  const lives = track();
  await applyExample(world, changedExample({ replicas: 2 }));
  await converged(world, 2);
  const { journal, faults } = world.cloud.cloud;
  const { id } = loadBalancer(world);
  const sinceSeq = journal.lastSeq;
  faults.add({ ...fault, action: "BatchRegisterTargets", loadBalancerId: id, count: 1 });
  await scaleTo(world, 4);
  await until("all four bound", () => boundTargets(world).size === 4);
  await converged(world, 4);
  checkSafety(world, lives);
  await becomesIdle(world);
  return { calls: journal.since(sinceSeq).filter((entry) => entry.kind === "call") };
}
