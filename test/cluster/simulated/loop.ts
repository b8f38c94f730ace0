import type { Logger } from "../../../common/log.ts";

export type Loop = { readonly trigger: () => void; readonly stop: () => Promise<void> };

/** After a failed pass; short, because tests wait for the cluster to come back. */
const RETRY_MS = 200;
/** Many events of one moment become one pass. */
const QUIET_MS = 5;
/** The longest delay that a timer takes. */
const LONGEST_MS = 2_147_483_647;

/** Level-triggered: one pass at a time, another one if triggered meanwhile, after a failure, or at the time the pass returned. */
export function makeLoop(name: string, pass: () => Promise<number | undefined>, log: Logger): Loop {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  let stopped = false;
  const schedule = (ms: number): void => {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(start, Math.min(Math.max(ms, 0), LONGEST_MS));
  };
  const run = async (): Promise<void> => {
    let next: number | undefined;
    try {
      const atMs = await pass();
      next = atMs === undefined ? undefined : atMs - Date.now();
    } catch (err) {
      if (!stopped)
        log.warn({ loop: name, reason: err instanceof Error ? err.message : String(err) }, "pass of the simulated cluster failed");
      next = RETRY_MS;
    }
    running = undefined;
    if (again) schedule(QUIET_MS);
    else if (next !== undefined) schedule(next);
  };
  const start = (): void => {
    again = false;
    running = run();
  };
  return {
    trigger: () => {
      if (again) return; // a steady stream of triggers must not put the pass off
      again = true;
      if (running === undefined) schedule(QUIET_MS);
    },
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
