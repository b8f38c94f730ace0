/**
 * Whether the hold server's event loop turns, for the kubelet's liveness probe. The image has no program that tells the age of a file, but
 * `test` compares two: this file's time lies ahead, and /proc/self/stat of the probe's own process is as old as that process. A server that
 * hangs falls behind. No port is asked: beside the server of an update either of both would answer, and the kernel connects whoever calls
 * one that hangs.
 */
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../common/clock.ts";

/** `test /run/clb-direct/hold/hold-alive -nt /proc/self/stat` holds while the server lives. */
const FILE = "hold-alive";
const EVERY_MS = 5_000;
/** Holds end late where a server does not get to run for that long, and are cut by its restart: on a busy node the first is better. Own choice. */
const ALIVE_MS = 30_000;

/**
 * Until the signal aborts. `directory` undefined: nothing is written. `clock`: the wall clock, as the kernel's files have it. Rejects where it
 * cannot be written.
 */
export async function keepSignOfLife(
  { directory, clock, aliveMs = ALIVE_MS }: { readonly directory: string | undefined; readonly clock: Clock; readonly aliveMs?: number },
  signal: AbortSignal,
): Promise<void> {
  if (directory === undefined) return;
  const file = join(directory, FILE);
  writeFileSync(file, "");
  while (!signal.aborted) {
    const now = clock.now();
    utimesSync(file, new Date(now), new Date(now + aliveMs));
    await clock.sleep(EVERY_MS, signal).catch(() => undefined);
  }
}
