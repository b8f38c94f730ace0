/**
 * `npm run bench:memory [-- --quick]`: what the bundled processes take, beside a Node that does nothing: an agent with 110 Pods on its node, a
 * coordinator with 60 Pods behind a load balancer. `npm run proof:install` says what the same takes as containers' working sets.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { argumentsOrExit, checkJsonFile, exitAfter } from "../../deploy/tools/arguments.ts";
import { build } from "../../deploy/tools/build.ts";
import { IMAGE_ENVIRONMENT } from "../../deploy/tools/image.ts";
import { nodeFlags } from "../../deploy/tools/render.ts";
import { applyInjected } from "../../test/cluster/injected.ts";
import { applyManifests } from "../../test/cluster/manifests.ts";
import { until } from "../../test/cluster/process.ts";
import { isReady, type Pod } from "../../test/cluster/simulated/objects.ts";
import { exampleManifests, hasWebhook, NAMESPACE } from "../../test/demo/example.ts";
import { readOptions } from "../../test/demo/options.ts";
import type { Steps } from "../../test/demo/parts.ts";
import { setStage } from "../../test/demo/stage.ts";

const USAGE = `usage: npm run bench:memory -- [options]
  --quick      12 Pods in all, a settling time of 5 s
  --json FILE  writes the rows as JSON too
Exit code 1 if a process takes more than its goal; 2 for a mistake in the options.`;

/** MiB of memory of a process: `anonymous` is its own, `file` pages of files (Node itself, libraries), which its neighbours share. */
type Row = {
  readonly what: string;
  readonly rss: number;
  readonly anonymous: number;
  readonly file: number;
  readonly goal: number | undefined;
};

/** RSS in MiB: 100 and 125 MB. */
const GOALS = { agent: 95.4, coordinator: 119.2 } as const;
/** Two nodes share the Pods of the example. */
const FULL = { agentPods: 220, coordinatorPods: 60, settleMs: 30_000 };
const QUICK = { agentPods: 12, coordinatorPods: 12, settleMs: 5_000 };

function row(what: string, pid: number | undefined, goal?: number): Row {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const mebibytes = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1024;
  return { what, rss: mebibytes("VmRSS"), anonymous: mebibytes("RssAnon"), file: mebibytes("RssFile"), goal };
}

async function bareNode(): Promise<Row> {
  const child: ChildProcess = spawn(process.execPath, ["-e", "setInterval(() => {}, 60_000)"], { stdio: "ignore" });
  try {
    await pause(2_000);
    return row("Node that does nothing", child.pid);
  } finally {
    child.kill("SIGKILL");
  }
}

/** Both processes with so many Pods of the example behind one load balancer. */
async function withPods(pods: number, settleMs: number, dist: string): Promise<{ readonly agent: Row; readonly coordinator: Row }> {
  // A listener takes 200 targets by default.
  const options = readOptions(["--replicas", String(pods), "--scenario", "bench/sync/raised-quota.yaml"]);
  if (options === undefined) throw new Error("no options");
  const steps: Steps = [];
  try {
    const programs = {
      agent: { script: join(dist, "agent.mjs"), flags: nodeFlags("agent") },
      coordinator: { script: join(dist, "coordinator.mjs"), flags: nodeFlags("coordinator") },
    };
    const { cluster, product, plan } = await setStage(options, steps, () => undefined, programs);
    await (hasWebhook(options, plan) ? applyInjected : applyManifests)(cluster.client, await exampleManifests(options, plan));
    const areReady = async (): Promise<boolean> => {
      const { items } = await cluster.client.list<Pod>(`/api/v1/namespaces/${NAMESPACE}/pods`);
      return items.length === pods && items.every(isReady);
    };
    await until(`${pods} Pods are ready`, areReady, 300_000);
    await pause(settleMs);
    return {
      agent: row(`agent, ${pods / 2} Pods`, product.agent("node-a")?.pid, GOALS.agent),
      coordinator: row(`coordinator, ${pods} Pods`, product.coordinator()?.pid, GOALS.coordinator),
    };
  } finally {
    for (const step of steps.toReversed()) await step();
  }
}

async function main({ quick, json }: { readonly quick: boolean; readonly json: string | undefined }): Promise<boolean> {
  const { agentPods, coordinatorPods, settleMs } = quick ? QUICK : FULL;
  const dist = mkdtempSync(join(tmpdir(), "clb-direct-memory-"));
  Object.assign(process.env, IMAGE_ENVIRONMENT); // what is started has it too
  try {
    await build(dist);
    const [bare, { agent }, { coordinator }] = [
      await bareNode(),
      await withPods(agentPods, settleMs, dist),
      await withPods(coordinatorPods, settleMs, dist),
    ];
    const rows = [bare, agent, coordinator];
    console.log("MiB                         RSS   own  of files   goal (RSS)");
    const cell = (value: number | undefined, width: number): string => (value === undefined ? "" : value.toFixed(1)).padStart(width);
    for (const { what, rss, anonymous, file, goal } of rows)
      console.log(`${what.padEnd(25)}${cell(rss, 6)}${cell(anonymous, 6)}${cell(file, 10)}${cell(goal, 13)}`);
    console.log("Pages of files are Node itself and its libraries: every process of a node that runs the same image shares them.");
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\\n`);
    return rows.every(({ rss, goal }) => goal === undefined || rss <= goal);
  } finally {
    rmSync(dist, { recursive: true, force: true });
  }
}

const FLAGS = { quick: { type: "boolean", default: false }, json: { type: "string" }, help: { type: "boolean", default: false } } as const;
const asked = argumentsOrExit(USAGE, (args) => {
  const { quick, json, help } = parseArgs({ args, options: FLAGS }).values;
  checkJsonFile(json);
  return { quick, json, help };
});
await exitAfter(() => main(asked));
