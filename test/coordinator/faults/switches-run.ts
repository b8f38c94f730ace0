/** One thread of switches.test.ts: the test runner follows every promise, which costs more than the worlds themselves. */
import { parentPort, workerData } from "node:worker_threads";
import type { CloudOptions } from "../../cloud/runtime/options.ts";
import { assertNothingWrong, aWorld } from "./world.ts";

/** `fails`: on the way a bind fails in part, and a task of each kind of batch fails. */
export type Run = { readonly switches: CloudOptions; readonly fails: boolean };

/** A batch that runs on after its answer, and whose task nobody knows, cannot be waited for: the next write meets its lock. */
const isUnknowable = ({ batchTasks, profile }: CloudOptions): boolean => batchTasks === "unknown" && typeof profile === "object";

/** Two Pods are bound, gated and replaced. */
async function rollOut({ switches, fails }: Run): Promise<void> {
  const cleanUps: (() => unknown)[] = [];
  const world = aWorld({ after: (cleanUp) => void cleanUps.push(cleanUp) }, { apps: ["one"], pods: 2, switches });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    if (fails) {
      world.cloud.faults.add({ kind: "partial", share: 0.5, action: "BatchRegisterTargets", count: 1 });
      for (const action of ["BatchRegisterTargets", "BatchDeregisterTargets", "BatchModifyTargetWeight"])
        world.cloud.faults.add({ kind: "task-failed", message: "device busy", action, count: 1 });
    }
    await world.rollOut("one", { surge: 2 });
    await world.converged("one");
    await world.kill();
  });
  assertNothingWrong(world, { stuck: isUnknowable(switches) });
  for (const cleanUp of cleanUps) await cleanUp();
}

const nameOf = (options: CloudOptions): string =>
  Object.entries(options)
    .map(([name, value]) => `${name} ${typeof value === "object" ? "with async batches" : String(value)}`)
    .join(", ");

const failed: string[] = [];
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what switches.test.ts gives
for (const run of workerData as readonly Run[])
  try {
    await rollOut(run);
  } catch (err) {
    failed.push(`${run.fails ? "failing " : ""}${nameOf(run.switches)}: ${err instanceof Error ? err.message : String(err)}`);
  }
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage(failed);
