/** One long-lived `nft -i`: a table with `flags owner` lives as long as it does, and a change takes a millisecond instead of ten. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import type { Clock } from "../../common/clock.ts";
import { OVER } from "../../common/signals.ts";

/** What the kernel or nft said of a command, e.g. "Error: Could not process rule: Operation not permitted". */
export class NftError extends Error {
  override readonly name = "NftError";
}

export interface Nft {
  /** Rejects when it has ended, or cannot be started. */
  readonly ended: Promise<never>;
  /**
   * Runs commands, each line as one transaction; resolves with what they printed. Rejects with NftError where one was refused: the lines
   * after it have run all the same. One after the other.
   */
  run(...lines: readonly string[]): Promise<string>;
  /** Ends it; a table that it owns goes with it. */
  close(): void;
}

/** A change takes milliseconds, a whole table 25 ms; what takes that long hangs, and a rule that cannot be changed is none. Milliseconds; own choice. */
const LIMIT_MS = 10_000;

/** `path` is where nft is looked for, e.g. "/usr/sbin:/usr/bin". `limitMs`: a command that takes longer is its end. */
export function startNft(options: { readonly path: string; readonly clock: Clock; readonly limitMs?: number }): Nft {
  const { clock, limitMs = LIMIT_MS } = options;
  const child: ChildProcessWithoutNullStreams = spawn("nft", ["-i"], { env: { PATH: options.path }, stdio: ["pipe", "pipe", "pipe"] });
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => undefined); // whoever asks is told
  let out = "";
  let faults = "";
  let onOutput: (() => void) | undefined;
  let last: Promise<unknown> = Promise.resolve();
  child.stdin.on("error", () => undefined); // its end is told by "exit"
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    onOutput?.();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    faults += text;
    onOutput?.();
  });
  child.once("error", (error) => ended.reject(new NftError(`nft cannot be started: ${error.message}`, { cause: error })));
  child.once("exit", (code, signal) => ended.reject(new NftError(`nft ended (${signal ?? code})`)));

  const endUnless = async (over: AbortSignal): Promise<void> => {
    await clock.sleep(limitMs, over).catch(() => undefined);
    if (!over.aborted) ended.reject(new NftError(`nft did not answer for ${limitMs / 1_000} s`));
  };
  const perform = async (lines: readonly string[]): Promise<string> => {
    out = "";
    faults = "";
    // A transaction that cannot be: nft says so after all that came before, on the stream of the faults.
    const done = new Promise<void>((resolve) => {
      onOutput = () => {
        if (faults.includes(`${MARK}\n`)) resolve();
      };
    });
    child.stdin.write(`${[...lines, MARK].join("\n")}\n`);
    const over = new AbortController();
    void endUnless(over.signal);
    await Promise.race([done, ended.promise]).finally(() => over.abort(OVER));
    await new Promise((resolve) => setImmediate(resolve)); // what it printed before is in the other pipe already
    const [fault] = /Error: [^\n]*/.exec(faults.slice(0, faults.lastIndexOf("Error:", faults.indexOf(`${MARK}\n`)))) ?? [];
    if (fault !== undefined) throw new NftError(fault);
    return out;
  };
  return {
    ended: ended.promise,
    run: (...lines) => {
      const ran = last.then(() => perform(lines));
      last = ran.catch(() => undefined);
      return ran;
    },
    close: () => void child.kill("SIGKILL"), // it has nothing to save; its own table ends with it
  };
}

/** No command: its syntax error is the sign that all commands before it have run. */
const MARK = "end-of-commands";
