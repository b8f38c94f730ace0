/** A rollout of many Pods in real time: the demo, whole processes over HTTP, read through its summary. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Summary } from "../../test/demo/summary.ts";

export type RolloutFigures = {
  readonly profile: "fast" | "tke2020";
  readonly replicas: number;
  readonly failed: number;
  readonly requests: number;
  readonly rolloutSeconds: number;
  /** Time from containers ready to gate True, per Pod: what the cloud takes, and what we do. */
  readonly cloudMsP50: number;
  readonly ownMsP50: number;
  readonly ownMsP99: number;
  readonly writesPerPod: number;
  /** DescribeTargetHealth per bound Pod. */
  readonly readsPerPod: number;
};

const WRITES = ["BatchRegisterTargets", "BatchDeregisterTargets", "BatchModifyTargetWeight", "ModifyTargetWeight"];
const READS = ["DescribeTargetHealth"];
/** A rollout needs room for its surge: 250 backends, where 200 are the default quota. */
const SCENARIO = "bench/sync/raised-quota.yaml";

/** `replicas` Pods are bound and then rolled once; throws an Error with the demo's last lines if it fails. */
export async function rollout(options: { readonly replicas: number; readonly profile: "fast" | "tke2020" }): Promise<RolloutFigures> {
  const folder = await mkdtemp(join(tmpdir(), "clb-direct-bench-"));
  try {
    const file = join(folder, "summary.json");
    const sizes = ["--replicas", String(options.replicas), "--surge", "25%", "--rate", "50"];
    await run(["test/demo/launch.ts", ...sizes, "--profile", options.profile, "--scenario", SCENARIO, "--json", file]);
    const summary = JSON.parse(await readFile(file, "utf8")) as Summary;
    return { profile: options.profile, replicas: options.replicas, ...figuresOf(summary) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** `pods` of the summary are all that were bound: those of the beginning and those of the rollout. */
function figuresOf(summary: Summary): Omit<RolloutFigures, "profile" | "replicas"> {
  const bound = summary.pods.length;
  const count = (actions: readonly string[]): number => actions.reduce((sum, action) => sum + (summary.calls[action] ?? 0), 0);
  const cloudMs = summary.pods.map((pod) => pod.cloudMs).toSorted((a, b) => a - b);
  return {
    failed: summary.failed,
    requests: summary.requests,
    rolloutSeconds: summary.rolloutSeconds,
    cloudMsP50: cloudMs[Math.floor(cloudMs.length / 2)] ?? 0,
    ownMsP50: summary.ownMsP50,
    ownMsP99: summary.ownMsP99,
    writesPerPod: count(WRITES) / bound,
    readsPerPod: count(READS) / bound,
  };
}

function run(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let tail = "";
  const keep = (chunk: Buffer): void => {
    tail = (tail + chunk.toString("utf8")).slice(-2_000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => (code === 0 ? resolve() : reject(new Error(`the demo ended with ${code}:\n${tail}`))));
  });
}
