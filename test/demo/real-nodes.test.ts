/** The demo with real kubelets and containers; skipped with the reason where the machine cannot run them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../cluster/process.ts";
import { nodeCgroups } from "../cluster/real/nodes/cgroups.ts";
import { run } from "../cluster/real/nodes/run.ts";
import { mountsOf, realNodesSkip } from "../cluster/real/nodes/testing.ts";
import { descendantsOf, isRunning, perform, startDemo } from "./testing.ts";

const skip = await realNodesSkip();
const ON_REAL_NODES = ["--cluster", "real", "--nodes", "real"];

/**
 * Links, routes and nftables tables of this network namespace; without those tables that end with the hold server that owns them: demos beside
 * this one, which share the namespace, have some too, and that no process is left is seen apart.
 */
const network = async (): Promise<readonly string[]> => {
  const links = (await run(["ip", "-oneline", "link"])).split("\n").map((line) => line.split(":")[1] ?? "");
  const tables = (await run(["nft", "list", "tables"])).split("\n").filter((line) => !/^table ip6? clb_direct_/.test(line));
  return [...links.sort(), await run(["ip", "route", "show", "table", "all"]), ...tables];
};

test("a rollout on real nodes loses no request, and nothing is left", { skip, timeout: 300_000 }, async (t) => {
  const before = await network();
  const { code, summary, output, leftovers } = await perform(t, ON_REAL_NODES);
  assert.equal(code, 0, output);
  assert.equal(summary.failed, 0, JSON.stringify(summary.causes));
  assert.match(output, /real nodes node-a \(10\.245\.\d+\.2\), node-b/);
  assert.deepEqual([...leftovers, ...mountsOf("clb-direct-demo-")], []);
  assert.deepEqual(await network(), before);
});

test("Ctrl-C while real nodes run leaves no process, control group, link or file", { skip, timeout: 180_000 }, async (t) => {
  const before = await network();
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
  demo.child.kill("SIGINT");
  assert.equal(await demo.exited, 130, demo.output());
  assert.deepEqual(family.filter(isRunning), []);
  assert.deepEqual(nodeCgroups().filter(isOurs), []);
  assert.deepEqual(demo.leftovers(), []);
  assert.deepEqual(await network(), before);
});
