import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** `started`: it runs; `ready`: a coordinator has acknowledged a snapshot. */
export type StateFile = "started" | "ready";
const ALL: readonly StateFile[] = ["started", "ready"];

/**
 * What the kubelet's probes read by `test -f`: this process's own state, which a probe of a port that two generations share would not be
 * sure to get. `directory` is of this Pod alone, e.g. "/run/clb-direct"; undefined: nothing is written. Throws where it cannot be written.
 */
export class StateFiles {
  readonly #directory: string | undefined;
  readonly #there = new Map<StateFile, boolean>();

  /** What a former container of the Pod said is taken back at once. */
  constructor(directory: string | undefined) {
    this.#directory = directory;
    for (const file of ALL) this.set(file, false);
  }

  set(file: StateFile, isSo: boolean): void {
    if (this.#directory === undefined || this.#there.get(file) === isSo) return;
    this.#there.set(file, isSo);
    const path = join(this.#directory, file);
    if (isSo) writeFileSync(path, "");
    else rmSync(path, { force: true });
  }
}
