/** The demo as its tests start it. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Summary } from "./summary.ts";

/** Enough for two steps of the rollout (maxSurge 2), few enough to be quick. */
export const REPLICAS = 3;

type Demo = {
  readonly child: ChildProcess;
  readonly exited: Promise<number>;
  readonly output: () => string;
  /** Directories that it has left in the temporary folder. */
  readonly leftovers: () => string[];
};

/** The demo as a process, with a temporary folder of its own; it ends with the test. */
export function startDemo(t: TestContext, args: readonly string[], more: NodeJS.ProcessEnv = {}): Demo {
  const directory = mkdtempSync(join(tmpdir(), "clb-direct-demo-test-"));
  const child = spawn(process.execPath, ["test/demo/main.ts", ...args], {
    env: { ...process.env, TMPDIR: directory, ...more },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (text: Buffer) => (output += text.toString()));
  child.stderr.on("data", (text: Buffer) => (output += text.toString()));
  const exited = new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? 128)));
  t.after(async () => {
    child.kill("SIGTERM");
    await exited;
    rmSync(directory, { recursive: true, force: true });
  });
  return { child, exited, output: () => output, leftovers: () => readdirSync(directory) };
}

export type Performance = {
  readonly code: number;
  readonly summary: Summary;
  readonly output: string;
  readonly leftovers: readonly string[];
};

/** The whole demo, with the summary that it wrote. */
export async function perform(t: TestContext, args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Performance> {
  const file = join(tmpdir(), `clb-direct-demo-summary-${process.pid}.json`);
  t.after(() => rmSync(file, { force: true }));
  const demo = startDemo(t, ["--replicas", String(REPLICAS), "--json", file, ...args], more);
  const code = await demo.exited;
  assert.ok(existsSync(file), `no summary was written:\n${demo.output()}`);
  return { code, summary: JSON.parse(await readFile(file, "utf8")) as Summary, output: demo.output(), leftovers: demo.leftovers() };
}

/** Of what was due so much at most may not have been sent. The load generator is a process like the product: where it stands still, so does that. */
const UNSENT_MOST = 0.02;

/**
 * The whole demo; once more where requests failed while the load generator itself was held up: a machine that stands still for seconds runs
 * into the timeouts of requests by itself, and proves nothing about the product. The second time counts, whatever the machine does.
 */
export async function performFairly(t: TestContext, args: readonly string[]): Promise<Performance> {
  const first = await perform(t, args);
  const { requests, unsent, failed } = first.summary;
  if (failed === 0 || unsent <= UNSENT_MOST * (requests + unsent)) return first;
  t.diagnostic(`${unsent} of ${requests + unsent} requests were not sent and ${failed} failed: this machine stood still, once more`);
  return await perform(t, args);
}

/** All processes that this one started, and those that they started. */
export function descendantsOf(pid: number): number[] {
  const parents = new Map(
    readdirSync("/proc").flatMap((name) => {
      const parent = /^\d+$/.test(name) ? parentOf(Number(name)) : undefined;
      return parent === undefined ? [] : [[Number(name), parent] as const];
    }),
  );
  const family = [pid];
  for (const member of family) for (const [child, parent] of parents) if (parent === member) family.push(child);
  return family.slice(1);
}

/** `/proc/<pid>/stat` is "<pid> (<name>) <state> <parent> …"; undefined where there is no such process or it has ended (Z). */
function parentOf(pid: number): number | undefined {
  try {
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return state === "Z" ? undefined : Number(parent);
  } catch {
    return undefined;
  }
}

export const isRunning = (pid: number): boolean => parentOf(pid) !== undefined;
