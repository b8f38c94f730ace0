/** The demo with real kubelets and containers; skipped with the reason where the machine cannot run them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../cluster/process.ts";
import { nodeCgroups } from "../cluster/real/nodes/cgroups.ts";
import { run } from "../cluster/real/nodes/run.ts";
import { mountsOf, networkOf, realNodesSkip } from "../cluster/real/nodes/testing.ts";
import { descendantsOf, isRunning, performFairly, startDemo } from "./testing.ts";

const skip = await realNodesSkip();
const ON_REAL_NODES = ["--cluster", "real", "--nodes", "real"];

/** Of the slot that the demo named, e.g. 3; other real nodes may run beside it. */
function slotIn(output: string): number {
  const slot = /real nodes node-a \(10\.245\.(\d+)\.2\), node-b/.exec(output)?.[1];
  assert.ok(slot !== undefined, output);
  return Number(slot);
}

/** Of this network namespace; without those of hold servers, which end with their owner: demos beside this one have some too. */
const tables = async (): Promise<readonly string[]> =>
  (await run(["nft", "list", "tables"])).split("\n").filter((line) => !/^table ip6? clb_direct_/.test(line));

test("a rollout on real nodes loses no request, and nothing is left", { skip, timeout: 300_000 }, async (t) => {
  const before = await tables();
  const { code, summary, output, leftovers } = await performFairly(t, ON_REAL_NODES);
  assert.equal(code, 0, output);
  assert.equal(summary.failed, 0, JSON.stringify(summary.causes));
  assert.deepEqual([...leftovers, ...mountsOf("clb-direct-demo-")], []);
  assert.deepEqual(await networkOf({ slot: slotIn(output) }), []);
  assert.deepEqual(await tables(), before);
});

test("Ctrl-C while real nodes run leaves no process, control group, link or file", { skip, timeout: 180_000 }, async (t) => {
  const before = await tables();
  const demo = startDemo(t, ON_REAL_NODES);
  await until(
    () => `real nodes run; so far:\n${demo.output()}`,
    () => demo.output().includes("real nodes node-a"),
    90_000,
  );
  const family = descendantsOf(demo.child.pid ?? -1);
  // An owner's number is in the name of its group.
  const isOurs = (group: string): boolean => family.some((pid) => group.includes(`-${pid}-`));
  assert.ok(family.length > 10, `${family.length} processes run`);
  assert.ok(nodeCgroups().some(isOurs));
  const slot = slotIn(demo.output());
  assert.notDeepEqual(await networkOf({ slot }), []);
  demo.child.kill("SIGINT");
  assert.equal(await demo.exited, 130, demo.output());
  assert.deepEqual(family.filter(isRunning), []);
  assert.deepEqual(nodeCgroups().filter(isOurs), []);
  assert.deepEqual(demo.leftovers(), []);
  assert.deepEqual(await networkOf({ slot }), []);
  assert.deepEqual(await tables(), before);
});
