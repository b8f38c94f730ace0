import { isIPv6 } from "node:net";
import type { Clock } from "../common/clock.ts";
import type { Logger } from "../common/log.ts";
import type { Endpoint } from "./config.ts";
import type { CoordinatorLink } from "./coordinator-link.ts";
import type { Report } from "./domain/plan-report.ts";
import type { HoldsReport } from "./domain/say-holds.ts";
import type { Uplink } from "./ports.ts";

export type LinksDeps = {
  readonly endpoints: readonly Endpoint[];
  /** All addresses of one family that a name stands for, e.g. ["10.0.3.7", "10.0.4.9"]. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  /** `address` e.g. "10.0.3.7:9443"; `latest` as in LinkDeps. */
  readonly makeLink: (address: string, latest: () => Report | undefined) => CoordinatorLink;
  readonly clock: Clock;
  readonly log: Logger;
};

export interface CoordinatorLinks extends Uplink {
  /** By address. */
  readonly links: ReadonlyMap<string, CoordinatorLink>;
  /** The latest of the holds, told at once: it waits for no look at the node. */
  holds(holds: HoldsReport): void;
  /** Resolves and keeps one link per address until the signal aborts; resolves when all links have ended. */
  run(signal: AbortSignal): Promise<void>;
}

/** How soon a new replica is found; our choice, one lookup of a headless Service per node. */
const RESOLVE_EVERY_MS = 5_000;
/** While not one address is known. */
const RESOLVE_AGAIN_MS = 500;

type Running = { readonly link: CoordinatorLink; readonly stop: AbortController; readonly ended: Promise<void> };

/** Finds the coordinators and keeps a link to each. */
export function makeCoordinatorLinks(deps: LinksDeps): CoordinatorLinks {
  const { clock, log } = deps;
  const links = new Map<string, CoordinatorLink>();
  const running = new Map<string, Running>();
  const resolved = new Map<Endpoint, readonly string[]>();
  const unresolved = new Set<Endpoint>();
  let latest: Report | undefined;
  let latestHolds: HoldsReport | undefined;

  const start = (address: string): void => {
    const link = deps.makeLink(address, () => latest);
    const stop = new AbortController();
    links.set(address, link);
    running.set(address, { link, stop, ended: link.run(stop.signal) });
    log.info({ coordinator: address }, "coordinator found");
  };
  const end = async (address: string, { stop, ended }: Running): Promise<void> => {
    running.delete(address);
    links.delete(address);
    stop.abort();
    await ended;
  };
  /** A name that does not resolve keeps the addresses it had: absence is not an order. */
  const look = async (endpoint: Endpoint): Promise<void> => {
    try {
      const ips = await deps.resolve(endpoint.host);
      resolved.set(
        endpoint,
        ips.map((ip) => (isIPv6(ip) ? `[${ip}]:${endpoint.port}` : `${ip}:${endpoint.port}`)),
      );
      unresolved.delete(endpoint);
    } catch (err) {
      if (!unresolved.has(endpoint)) log.warn({ err, host: endpoint.host }, "coordinator's name does not resolve, trying on");
      unresolved.add(endpoint);
    }
  };
  const settle = async (): Promise<void> => {
    const wanted = new Set([...resolved.values()].flat());
    for (const address of wanted) if (!running.has(address)) start(address);
    // A replica that left the name while its stream lives is only not ready; it may still lead.
    for (const [address, it] of running) if (!wanted.has(address) && it.link.state === "away") await end(address, it);
  };

  return {
    links,
    report(report) {
      latest = latestHolds === undefined ? report : { ...report, holds: latestHolds };
      for (const link of links.values()) link.changed();
    },
    holds(holds) {
      latestHolds = holds;
      latest &&= { ...latest, holds };
      for (const link of links.values()) link.changed();
    },
    async run(signal) {
      const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      while (!signal.aborted) {
        await Promise.race([Promise.all(deps.endpoints.map(look)), aborted]); // a resolver may hang for long
        if (signal.aborted) break;
        await settle();
        await clock.sleep(running.size === 0 ? RESOLVE_AGAIN_MS : RESOLVE_EVERY_MS, signal).catch(() => undefined);
      }
      await Promise.all([...running].map(([address, it]) => end(address, it)));
    },
  };
}
