/**
 * What the coordinator reads and nobody has published is answered both ways here: Pods are bound, gated, drained and unbound under every
 * combination of the emulated cloud's switches. docs/emulated-cloud.md lists them.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { suite, test } from "node:test";
import { Worker } from "node:worker_threads";
import { type CloudOptions, PROFILES } from "../../cloud/runtime/options.ts";
import { SCENARIO } from "../../cloud/scenario/schema.ts";
import type { Run } from "./switches-run.ts";

type Switches = { readonly [K in keyof CloudOptions]?: readonly NonNullable<CloudOptions[K]>[] };
const asyncBatches = { ...PROFILES.fast, batchTargets: { mode: "async", busyAfterReturnMs: 500 } } as const;

/** What answers say and how; each value is tried with each of the others. */
const ANSWERS = {
  layer4LocationId: ["id", "empty", "absent"],
  healthFields: ["model", "deprecated", "boolean"], // "example" is a part of "model", with the field that is read first
  batchTasks: ["known", "unknown"],
  profile: ["fast", asyncBatches],
  lockedCode: ["FailedOperation.ResourceInOperating", "InternalError"],
} as const satisfies Switches;

/** What a write leaves behind that goes wrong, and how its end is told. */
const EFFECTS = {
  keepGoodTargetsOfFailedListener: [false, true],
  reregisterUpdatesWeight: [false, true],
  failedTaskApplies: [false, true],
  batchTasks: ["known", "unknown"],
  profile: ["fast", asyncBatches],
  lockedCode: ["FailedOperation.ResourceInOperating", "InternalError"],
} as const satisfies Switches;

/** Read where no Pod is bound, by the test that has them both ways; or never read by the coordinator. */
const ELSEWHERE = {
  checkMethod: "test/coordinator/cloud/published.test.ts",
  taskLoadBalancerIds: "test/coordinator/cloud/published.test.ts",
  underCreation: "test/coordinator/owners/service.test.ts",
  allDeadAllAlive: undefined, // traffic only
  unusedReferences: undefined, // security groups only
} as const;

/** Every combination, e.g. [{ layer4LocationId: "id", batchTasks: "known" }, …]. */
const combinations = (switches: Switches): CloudOptions[] =>
  Object.entries(switches).reduce<CloudOptions[]>(
    (found, [name, values]) => found.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}],
  );

/** What failed of these, each with its combination. */
async function failuresOf(runs: readonly Run[]): Promise<string[]> {
  const worker = new Worker(new URL("./switches-run.ts", import.meta.url), { workerData: runs, execArgv: [] }); // those of this process may be of its own script
  const [failed]: unknown[] = await once(worker, "message");
  return [failed].flat().map(String);
}

suite("bind, gate, drain and unbind", () => {
  test("under every combination of how the cloud may answer, and of what a failed write may leave", async () => {
    const runs: Run[] = [
      ...combinations(ANSWERS).map((switches) => ({ switches, fails: false })),
      ...combinations(EFFECTS).map((switches) => ({ switches, fails: true })),
    ];
    assert.equal(runs.length, 72 + 64);
    const halves = [runs.filter((_, index) => index % 2 === 0), runs.filter((_, index) => index % 2 === 1)];
    assert.deepEqual((await Promise.all(halves.map(failuresOf))).flat(), []);
  });

  test("no switch of the cloud is left out", () => {
    const tried = new Set<string>([...Object.keys(ANSWERS), ...Object.keys(EFFECTS), ...Object.keys(ELSEWHERE)]);
    assert.deepEqual(
      Object.keys(SCENARIO.shape.assumed.unwrap().shape).filter((name) => !tried.has(name)),
      [],
    );
    for (const file of Object.values(ELSEWHERE)) assert.ok(file === undefined || existsSync(file), file);
  });
});
