import type { Clock } from "./clock.ts";
import type { Logger } from "./log.ts";

/** One part of a process. `stop` gets a signal that aborts when the whole shutdown takes too long. */
export type Part = {
  readonly name: string;
  readonly start: () => Promise<void> | void;
  readonly stop?: (signal: AbortSignal) => Promise<void> | void;
};

/** A part that runs until it is told to stop, e.g. loop("watches", (signal) => objects.run(signal)). `stop` may be aborted by others, too. */
export function loop(name: string, run: (signal: AbortSignal) => Promise<unknown>, stop = new AbortController()): Part {
  let running: Promise<unknown> | undefined;
  return {
    name,
    start: () => {
      running = run(stop.signal);
    },
    stop: async () => {
      stop.abort();
      await running;
    },
  };
}

/**
 * Starts the parts in order; at SIGTERM or SIGINT stops them in reverse and ends the process, after `limitMs` at the latest.
 * The returned promise settles when the process has stopped; exit code 0 for a clean end, 1 when starting or stopping failed.
 */
export async function runParts(parts: readonly Part[], deps: { log: Logger; clock: Clock; limitMs: number }): Promise<void> {
  const { log, clock } = deps;
  const started: Part[] = [];
  const asked = Promise.withResolvers<NodeJS.Signals>();
  const onSignal = (signal: NodeJS.Signals): void => asked.resolve(signal);
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  let failed = false;
  try {
    for (const part of parts) {
      started.push(part);
      await part.start();
    }
    log.info("started");
    log.info({ signal: await asked.promise }, "stopping");
  } catch (err) {
    failed = true;
    log.error({ err }, "start failed");
  }
  const limit = new AbortController();
  let stopping = "";
  const stopped = stopAll(started.toReversed(), limit.signal, log, (part) => {
    stopping = part;
  });
  const timer = new AbortController();
  const late = clock.sleep(deps.limitMs, timer.signal).then(
    () => "late" as const,
    () => "in time" as const,
  );
  if ((await Promise.race([stopped, late])) === "late") {
    log.error({ limitMs: deps.limitMs, part: stopping }, "parts did not stop in time");
    failed = true;
  }
  limit.abort();
  timer.abort();
  log.info("stopped");
  process.exit(failed ? 1 : 0);
}

async function stopAll(parts: readonly Part[], signal: AbortSignal, log: Logger, onPart: (name: string) => void): Promise<void> {
  for (const part of parts) {
    onPart(part.name);
    try {
      await part.stop?.(signal);
    } catch (err) {
      log.warn({ err, part: part.name }, "part did not stop cleanly");
    }
  }
}
