import { backoffMs } from "../../common/backoff.ts";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { type Carrier, carriersIn } from "../domain/carrier.ts";
import { EMPTY_VIEW } from "../domain/kernel-view.ts";
import type { NetworkSource } from "../ports.ts";
import type { Kernel } from "./kernel.ts";

export type HostNetworkDeps = {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  /** Something in the kernel has changed; called often. */
  readonly onChange: () => void;
  /** Metric hook; how long the read took, seconds. */
  readonly onRead: (outcome: "ok" | "failed", seconds: number) => void;
};

export interface HostNetwork extends NetworkSource {
  /** Listens to the kernel until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** While nobody listens to the kernel: at most one read a second, many Pods start together. */
const UNHEARD_PAUSE_MS = 1_000;
/** While somebody does: a Pod's veth, address, route and rule come within a few milliseconds of each other, and are one read. */
const HEARD_PAUSE_MS = 100;
/** A read takes about 10 ms of a full node; so never more than a twentieth of the time. */
const READ_SHARE = 20;
/** Should a change have been missed. */
const READ_AGAIN_MS = 60_000;
/** `ip monitor` ends with a full buffer, or because somebody ended it. */
const MONITOR_AGAIN = { baseMs: 500, maxMs: 30_000 };
/** What ran so long has not failed. */
const MONITOR_STEADY_MS = 60_000;
/**
 * Without `ip`, systeminformation is asked: it runs two dozen shell commands per interface and blocks the process meanwhile, 20 ms per
 * interface (systeminformation 5.33, two cores). So never for more than a twentieth of the time.
 */
const INTERFACES_SHARE = 20;

/** The kernel's rules, routes, links and addresses; what could not be read stays as it was. */
export function makeHostNetwork({ kernel, clock, log, onChange, onRead }: HostNetworkDeps): HostNetwork {
  let carrierOf: ReturnType<typeof carriersIn> = carriersIn(EMPTY_VIEW);
  let readAtMs = Number.NEGATIVE_INFINITY;
  let pauseMs = 0;
  let interfacesDueMs = Number.NEGATIVE_INFINITY;
  let seen: ReadonlySet<string> = new Set();
  let fault = "";
  /** In a row. */
  let failures = 0;
  let wasRead = false;
  let isHeard = false;
  let hasChanged = true;
  let hasIpv6 = false;

  const readInterfaces = async (): Promise<void> => {
    const fromMs = clock.now();
    if (fromMs < interfacesDueMs) return;
    try {
      carrierOf = carriersIn(await kernel.readInterfaces());
    } catch (err) {
      log.warn({ err }, "interfaces not read");
    }
    interfacesDueMs = clock.now() + Math.max(UNHEARD_PAUSE_MS, (clock.now() - fromMs) * INTERFACES_SHARE);
  };
  const read = async (signal: AbortSignal): Promise<void> => {
    const fromMs = clock.now();
    hasChanged = false;
    readAtMs = fromMs;
    try {
      carrierOf = carriersIn(await kernel.read(signal, { ipv6: hasIpv6 }));
      wasRead = true;
      fault = "";
      onRead("ok", (clock.now() - fromMs) / 1_000);
    } catch (err) {
      if (signal.aborted) return;
      onRead("failed", (clock.now() - fromMs) / 1_000);
      const missing = err instanceof Error && "code" in err && err.code === "ENOENT";
      const why = missing ? "`ip` is not installed" : err instanceof Error ? err.message : String(err);
      if (fault === "")
        log.warn({ err }, missing ? "`ip` is not installed: interfaces only" : "rules and routes not read, going on with the last ones");
      fault = why;
      hasChanged ||= !missing; // what the read was to find is still to be found; without `ip` a minute is soon enough
      if (!wasRead) await readInterfaces();
    }
    failures = fault === "" ? 0 : failures + 1;
    pauseMs = pauseAfter(failures, isHeard, clock.now() - fromMs);
  };
  return {
    async carriersOf(addresses, signal) {
      const keys = new Set([...addresses].map(([uid, ip]) => `${uid} ${ip}`)); // an address that passed to another Pod is new
      if (!hasIpv6 && [...addresses.values()].some((ip) => ip.includes(":"))) hasIpv6 = hasChanged = true; // IPv6 was not asked for until now
      const isNew = [...keys].some((key) => !seen.has(key));
      const isDue = hasChanged || (isNew && !isHeard) ? clock.now() >= readAtMs + pauseMs : clock.now() >= readAtMs + READ_AGAIN_MS;
      if (isDue) {
        await read(signal);
        seen = keys;
      } else if (isHeard && !hasChanged) seen = keys; // nothing has changed since, so it would be found now or not at all
      const found = new Map(Array.from(addresses, ([uid, ip]) => [uid, withFault(carrierOf(ip), fault)]));
      const isSettled = !hasChanged && [...keys].every((key) => seen.has(key));
      return { found, againAtMs: readAtMs + (isSettled ? READ_AGAIN_MS : pauseMs) };
    },
    async run(signal) {
      const changed = (): void => {
        isHeard = true;
        hasChanged = true;
        onChange();
      };
      for (let attempt = 0; !signal.aborted; ) {
        const fromMs = clock.now();
        const why = await kernel.monitor(changed, signal).then(
          () => "ended",
          (error: unknown) => (error instanceof Error ? error.message : String(error)),
        );
        isHeard = false;
        if (signal.aborted) return;
        attempt = clock.now() - fromMs > MONITOR_STEADY_MS ? 0 : attempt + 1;
        log[attempt === 1 ? "info" : "debug"]({ why }, "`ip monitor` ended, starting it anew");
        hasChanged = true; // what changed meanwhile was not heard
        onChange();
        await clock.sleep(backoffMs(attempt, MONITOR_AGAIN, Math.random), signal).catch(() => undefined);
      }
    },
  };
}

/** Until the next read at the earliest. What fails is read ever more rarely. */
function pauseAfter(failures: number, isHeard: boolean, tookMs: number): number {
  const least = isHeard ? HEARD_PAUSE_MS : UNHEARD_PAUSE_MS;
  const leastMs = failures === 0 ? least : Math.min(READ_AGAIN_MS, UNHEARD_PAUSE_MS * 2 ** (failures - 1));
  return Math.max(leastMs, tookMs * READ_SHARE);
}

/** `fault`: why the kernel's rules could not be read; "": they could. */
function withFault(carrier: Carrier, fault: string): Carrier {
  if (fault === "") return carrier;
  const because = `the kernel's rules could not be read: ${fault}`;
  return { ...carrier, note: carrier.note === "" ? because : `${carrier.note}; ${because}` };
}
