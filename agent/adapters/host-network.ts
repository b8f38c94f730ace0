import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import systeminformation from "systeminformation";
import * as z from "zod";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import type { HostInterface } from "../../common/vocabulary.ts";
import { carriersIn, type InterfaceAddress, type Route } from "../domain/carrier.ts";
import type { NetworkSource } from "../ports.ts";

/** `addresses` holds at most one per family and interface: the library tells no more. */
export type Interfaces = { readonly macs: ReadonlyMap<string, string>; readonly addresses: readonly InterfaceAddress[] };

/** What is asked of the kernel; replaced in tests. */
export type Kernel = {
  /** Rejects where `ip` is missing (code ENOENT), failed, or took too long. */
  readonly readRoutes: (signal: AbortSignal) => Promise<readonly Route[]>;
  readonly readInterfaces: () => Promise<Interfaces>;
  /** MAC of one device, "" where it has none. */
  readonly readMac: (device: string) => Promise<string>;
};

export type HostNetworkDeps = {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
  /** Metric hook. */
  readonly onRead: (outcome: "ok" | "failed") => void;
};

/** Many Pods start together: at most one read a second. */
const READ_PAUSE_MS = 1_000;
/** Routes of known Pods may move, e.g. when an ENI is attached anew. */
const READ_AGAIN_MS = 60_000;
/**
 * The library runs two dozen shell commands per interface and blocks the process meanwhile, 20 ms per interface (systeminformation 5.33, two
 * cores). So it is asked again only where routes do not tell, and never for more than a twentieth of the time.
 */
const INTERFACES_SHARE = 20;
/** A report of new Pods waits for it; it takes 5 ms. */
const IP_TIMEOUT_MS = 1_000;
/** A node with full routing tables; 1 000 routes are 150 kB. */
const IP_MAX_BYTES = 16_777_216;

/** Interfaces, routes and MACs as the kernel has them; what could not be read stays as it was. */
export function makeHostNetwork({ kernel, clock, log, onRead }: HostNetworkDeps): NetworkSource {
  let routes: readonly Route[] = [];
  let interfaces: Interfaces | undefined;
  let carrierOf: (ip: string) => string | undefined = () => undefined;
  let macs = new Map<string, string>();
  let readAtMs = Number.NEGATIVE_INFINITY;
  let interfacesDueMs = Number.NEGATIVE_INFINITY;
  let seen: ReadonlySet<string> = new Set();
  let routesFailed = false;

  const readRoutes = async (signal: AbortSignal): Promise<void> => {
    try {
      routes = await kernel.readRoutes(signal);
      routesFailed = false;
      onRead("ok");
    } catch (err) {
      if (signal.aborted) return;
      onRead("failed");
      const missing = err instanceof Error && "code" in err && err.code === "ENOENT";
      if (!routesFailed)
        log.warn({ err }, missing ? "`ip` is not installed: interfaces only" : "routes not read, going on with the last ones");
      routesFailed = true;
    }
  };
  const readInterfaces = async (): Promise<void> => {
    const fromMs = clock.now();
    try {
      interfaces = await kernel.readInterfaces();
      macs = new Map(interfaces.macs);
    } catch (err) {
      log.warn({ err }, "interfaces not read");
    }
    interfacesDueMs = clock.now() + Math.max(READ_PAUSE_MS, (clock.now() - fromMs) * INTERFACES_SHARE);
  };
  const look = async (ips: readonly string[], signal: AbortSignal): Promise<void> => {
    readAtMs = clock.now();
    const renew = (): void => {
      carrierOf = carriersIn({ routes, addresses: interfaces?.addresses ?? [] });
    };
    await readRoutes(signal);
    renew();
    const unknown = interfaces === undefined || ips.some((ip) => carrierOf(ip) === undefined);
    if (!unknown || clock.now() < interfacesDueMs) return;
    await readInterfaces();
    renew();
  };
  const macOf = async (device: string): Promise<string> => {
    const known = macs.get(device);
    if (known !== undefined) return known;
    const mac = await kernel.readMac(device).catch(() => undefined);
    if (mac !== undefined) macs.set(device, mac);
    return mac ?? "";
  };

  return {
    async carriersOf(addresses, signal) {
      const keys = new Map([...addresses].map(([uid, ip]) => [`${uid} ${ip}`, ip])); // an address that passed to another Pod is new
      const isNew = [...keys.keys()].some((key) => !seen.has(key));
      if (clock.now() >= readAtMs + (isNew ? READ_PAUSE_MS : READ_AGAIN_MS)) {
        await look([...keys.values()], signal);
        seen = new Set(keys.keys());
      }
      const carriers = new Map<string, HostInterface>();
      for (const [uid, ip] of addresses) {
        const name = carrierOf(ip);
        if (name !== undefined) carriers.set(uid, { name, mac: await macOf(name) });
      }
      const allSeen = [...keys.keys()].every((key) => seen.has(key));
      return { carriers, againAtMs: readAtMs + (allSeen ? READ_AGAIN_MS : READ_PAUSE_MS) };
    },
  };
}

const IpRoutes = z.array(
  z.object({ dst: z.string(), dev: z.string().optional(), type: z.string().default("unicast"), metric: z.number().default(0) }),
);
const run = promisify(execFile);

/** The kernel of the network namespace that this process is in. */
export const hostKernel: Kernel = {
  async readRoutes(signal) {
    const { stdout } = await run("ip", ["-j", "route", "show", "table", "all"], {
      timeout: IP_TIMEOUT_MS,
      maxBuffer: IP_MAX_BYTES,
      signal,
    });
    const routes = IpRoutes.parse(JSON.parse(stdout));
    return routes.flatMap(({ dst, dev, type, metric }) => (dev === undefined ? [] : [{ dst, device: dev, type, metric }]));
  },
  async readInterfaces() {
    const found = [await systeminformation.networkInterfaces()].flat();
    return {
      macs: new Map(found.map(({ iface, mac }) => [iface, withoutZeros(mac)])),
      addresses: found.flatMap(({ iface: device, ip4, ip4subnet, ip6, ip6subnet }) => [
        { device, address: ip4, mask: ip4subnet },
        { device, address: ip6, mask: ip6subnet },
      ]),
    };
  },
  readMac: async (device) => withoutZeros((await readFile(`/sys/class/net/${device}/address`, "utf8")).trim()),
};

/** The loopback device has zeros for a MAC. */
const withoutZeros = (mac: string): string => (/^[0:]*$/.test(mac) ? "" : mac);
