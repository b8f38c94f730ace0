/** Child processes of a demo or a test: started with this Node, their output kept in a file, ended for sure. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export type ProcessOptions = {
  /** For messages, e.g. "agent node-a". */
  readonly name: string;
  /** Relative to the repository, e.g. "agent/main.ts". */
  readonly script: string;
  readonly args?: readonly string[];
  /** Of Node, e.g. ["--max-semi-space-size=1"]. */
  readonly flags?: readonly string[];
  /** Command line that the program's is put behind, e.g. ["nsenter", "--net=/proc/4711/ns/net", "--"]; it must become the program by exec. */
  readonly behind?: readonly string[];
  /** The whole environment, PATH apart. */
  readonly env: Readonly<Record<string, string>>;
  /** Standard output and error go here, appended. */
  readonly logFile: string;
};

export type RunningProcess = {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** Exit code, or 128 for an end by signal; settles once. */
  readonly exited: Promise<number>;
  readonly hasExited: () => boolean;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL after the grace (25 s for our own programs); resolves when it is gone. */
  stop(): Promise<number>;
};

/** Above the product's own limit of 20 s, so that its log names what did not stop. */
const STOP_MS = 25_000;

export function startProcess(options: ProcessOptions): RunningProcess {
  const log = openSync(options.logFile, "a");
  const env = { ...inherited(), ...options.env };
  // Standard input is a pipe that we never write to: programs with --exit-with-parent read its end when we are gone.
  const [file = "", ...args] = [
    ...(options.behind ?? []),
    process.execPath,
    ...(options.flags ?? []),
    options.script,
    ...(options.args ?? []),
  ];
  const child = spawn(file, args, { cwd: ROOT, env, stdio: ["pipe", log, log] });
  closeSync(log);
  child.stdin?.on("error", () => undefined);
  return watchProcess({ ...options, graceMs: STOP_MS }, child);
}

/** A child that was just spawned, as everybody here uses it; `graceMs` is how long SIGTERM may take before SIGKILL. */
export function watchProcess(
  { name, logFile, graceMs }: Pick<ProcessOptions, "name" | "logFile"> & { readonly graceMs: number },
  child: ChildProcess,
): RunningProcess {
  const exited = Promise.withResolvers<number>();
  let over = false;
  const end = (code: number): void => {
    over = true;
    exited.resolve(code);
  };
  child.once("exit", (code) => end(code ?? 128)).once("error", () => end(127));
  return {
    name,
    pid: child.pid ?? -1,
    logFile,
    exited: exited.promise,
    hasExited: () => over,
    signal: (signal) => void child.kill(signal),
    stop: async () => {
      if (over) return await exited.promise;
      child.kill("SIGCONT"); // a frozen process obeys nothing else
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      const code = await exited.promise;
      clearTimeout(timer);
      return code;
    },
  };
}

/** MALLOC_ARENA_MAX: the image sets it, and a benchmark of memory does. NODE_COMPILE_CACHE: test/run.ts sets it; compiling is half of a start. */
const INHERITED = ["PATH", "MALLOC_ARENA_MAX", "NODE_COMPILE_CACHE", "CLB_DIRECT_NETWORK"];

/** What a process of ours gets of this one's environment, whatever else it gets. */
export const inherited = (): Record<string, string> =>
  Object.fromEntries(INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));

/** The first line of JSON that the process printed; rejects with its output if it ends before, or after `limitMs`. */
export async function firstJson<T>(running: RunningProcess, limitMs = 20_000): Promise<T> {
  const deadline = Date.now() + limitMs;
  while (Date.now() < deadline && !running.hasExited()) {
    const line = readFileSync(running.logFile, "utf8")
      .split("\n")
      .find((text) => text.startsWith("{") && text.endsWith("}"));
    if (line !== undefined) return JSON.parse(line) as T;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`${running.name} did not start:\n${lastLines(running.logFile)}`);
}

/** The end of a log, for error messages. */
export function lastLines(file: string, count = 15): string {
  if (!existsSync(file)) return `(${file} is not there)`;
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(-count).join("\n");
}

/** Asks until the answer is true-ish; rejects with `what` after `limitMs`. */
export async function until<T>(
  what: string | (() => string),
  look: () => Promise<T> | T,
  limitMs = 20_000,
  everyMs = 50,
): Promise<Exclude<T, undefined | null | false | 0 | "">> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const answer = await look();
    if (answer) return answer as Exclude<T, undefined | null | false | 0 | "">;
    if (Date.now() >= deadline) throw new Error(`waited ${limitMs / 1000} s in vain: ${typeof what === "string" ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
