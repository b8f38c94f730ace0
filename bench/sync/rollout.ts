/** A rollout of many Pods in real time: the demo, whole processes over HTTP, read through its summary. */
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Summary } from "../../test/demo/summary.ts";
import { bestReads, bestWrites } from "./best.ts";

export type RolloutFigures = {
  readonly profile: "fast" | "tke2020";
  readonly replicas: number;
  /** Whether the load balancer checks health; without, its state is known at once. */
  readonly checks: boolean;
  readonly failed: number;
  readonly requests: number;
  readonly rolloutSeconds: number;
  /** Time from containers ready to gate True, per Pod: what the cloud takes, and what we do. */
  readonly cloudMsP50: number;
  readonly ownMsP50: number;
  readonly ownMsP99: number;
  /** p50 of its three parts: what we do, the wait for the question that hears of health or of the end of the write before, and the API's time. */
  readonly oursMsP50: number;
  readonly oursMsP99: number;
  readonly pollMsP50: number;
  readonly apiMsP50: number;
  readonly writesPerPod: number;
  /** DescribeTargetHealth per bound Pod. */
  readonly readsPerPod: number;
  /** The same of somebody who knows at once what is due (best.ts). */
  readonly bestWritesPerPod: number;
  readonly bestReadsPerPod: number;
};

const WRITES = ["BatchRegisterTargets", "BatchDeregisterTargets", "BatchModifyTargetWeight", "ModifyTargetWeight"];
const READS = ["DescribeTargetHealth"];
/** Within so long a healthy Pod is to be seen: the pause between two questions while a Pod waits, at 20 calls a second. */
const POLL_MS = 56;
/** A rollout needs room for its surge: 250 backends, where 200 are the default quota. */
const SCENARIO = "bench/sync/raised-quota.yaml";

/** `replicas` Pods are bound and then rolled once; throws an Error with the demo's last lines if it fails. */
export async function rollout(options: {
  readonly replicas: number;
  readonly profile: "fast" | "tke2020";
  readonly checks: boolean;
}): Promise<RolloutFigures> {
  const folder = await mkdtemp(join(tmpdir(), "clb-direct-bench-"));
  const clear = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", clear);
  try {
    const file = join(folder, "summary.json");
    const sizes = ["--replicas", String(options.replicas), "--surge", "25%", "--rate", "50"];
    const checks = options.checks ? [] : ["--without-checks"];
    await run(["test/demo/launch.ts", ...sizes, ...checks, "--profile", options.profile, "--scenario", SCENARIO, "--json", file]);
    const summary = JSON.parse(await readFile(file, "utf8")) as Summary;
    return { ...options, ...figuresOf(summary) };
  } finally {
    process.off("exit", clear);
    clear();
  }
}

/** Times are those of the rollout's Pods; calls are those of all that were bound, the Pods of the beginning included. */
function figuresOf(summary: Summary): Omit<RolloutFigures, "profile" | "replicas" | "checks"> {
  const bound = summary.pods.length;
  const count = (actions: readonly string[]): number => actions.reduce((sum, action) => sum + (summary.calls[action] ?? 0), 0);
  const revision = revisionOf(summary.pods.at(-1)?.name ?? "");
  const rolled = summary.pods.filter(({ name }) => revisionOf(name) === revision);
  const at = (times: readonly number[], share: number): number =>
    times.toSorted((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  const ownMs = rolled.map((pod) => pod.ownMs);
  const oursMs = rolled.map((pod) => pod.oursMs);
  return {
    failed: summary.failed,
    requests: summary.requests,
    rolloutSeconds: summary.rolloutSeconds,
    cloudMsP50: at(
      rolled.map((pod) => pod.cloudMs),
      0.5,
    ),
    ownMsP50: at(ownMs, 0.5),
    ownMsP99: at(ownMs, 0.99),
    oursMsP50: at(oursMs, 0.5),
    oursMsP99: at(oursMs, 0.99),
    pollMsP50: at(
      rolled.map((pod) => pod.pollMs),
      0.5,
    ),
    apiMsP50: at(
      rolled.map((pod) => pod.apiMs),
      0.5,
    ),
    writesPerPod: count(WRITES) / bound,
    readsPerPod: count(READS) / bound,
    bestWritesPerPod: bestWrites(summary.pods, summary.writeMs) / bound,
    bestReadsPerPod: bestReads(summary.pods, POLL_MS) / bound,
  };
}

/** The ReplicaSet's part of a Pod's name, e.g. "f1fdd6ef68" of "web-f1fdd6ef68-g2flk". */
const revisionOf = (name: string): string => name.split("-").at(-2) ?? "";

function run(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  const end = (): void => void child.kill("SIGTERM");
  process.once("exit", end);
  let tail = "";
  const keep = (chunk: Buffer): void => {
    tail = (tail + chunk.toString("utf8")).slice(-2_000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      process.off("exit", end);
      if (code === 0) resolve();
      else reject(new Error(`the demo ended with ${code}:\n${tail}`));
    });
  });
}
