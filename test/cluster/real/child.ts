/** A part of the real cluster as a child process: its output in a file, and an end that comes for sure. */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { type RunningProcess, watchProcess } from "../process.ts";

export type ChildOptions = {
  /** For messages, e.g. "kube-apiserver". */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** Standard output and error go here, appended. */
  readonly logFile: string;
  /** The whole environment, PATH apart. */
  readonly env?: Readonly<Record<string, string>>;
  /** How long SIGTERM may take before SIGKILL. */
  readonly graceMs: number;
};

/** From util-linux, as is `unshare`, which the harness needs anyway. */
const DIES_WITH_US = { file: "setpriv", args: ["--pdeathsig", "KILL"] } as const;

/**
 * The kernel ends it with SIGKILL when the thread that starts it ends, so this belongs on the main thread. A file that cannot be started
 * shows as an exit with 126 or 127.
 */
export function startChild({ name, file, args, logFile, env, graceMs }: ChildOptions): RunningProcess {
  const log = openSync(logFile, "a");
  const child = spawn(DIES_WITH_US.file, [...DIES_WITH_US.args, file, ...args], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  return watchProcess({ name, logFile, graceMs }, child);
}
