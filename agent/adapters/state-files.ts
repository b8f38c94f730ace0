import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Of the agent. `started`: it runs; `ready`: a coordinator has acknowledged a snapshot. */
export const AGENT_FILES = ["started", "ready"] as const;
/** Of the hold server. `hold-started`: it runs; `hold-ready`: it knows the node's Pods and listens, and its rule is in place, or cannot be. */
export const HOLD_FILES = ["hold-started", "hold-ready"] as const;

/**
 * What the kubelet's probes read by `test -f`: this process's own state, which a probe of a port that two generations share would not be
 * sure to get. `directory` is of this Pod alone, e.g. "/run/clb-direct"; undefined: nothing is written. Throws where it cannot be written.
 */
export class StateFiles<File extends string> {
  readonly #directory: string | undefined;
  readonly #there = new Map<File, boolean>();

  /** What a former container of the Pod said is taken back at once. */
  constructor(directory: string | undefined, files: readonly File[]) {
    this.#directory = directory;
    for (const file of files) this.set(file, false);
  }

  set(file: File, isSo: boolean): void {
    if (this.#directory === undefined || this.#there.get(file) === isSo) return;
    this.#there.set(file, isSo);
    const path = join(this.#directory, file);
    if (isSo) writeFileSync(path, "");
    else rmSync(path, { force: true });
  }
}
