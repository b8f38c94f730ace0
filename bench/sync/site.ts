/** The load balancers of one row: in virtual time on the cloud's core, or over real HTTP on a cloud whose clock runs faster. */
import { type Clock, makeClock } from "../../common/clock.ts";
import { type CloudTransport, makeSdkTransport } from "../../coordinator/cloud/transport.ts";
import { startCloud } from "../../test/cloud/cli/start.ts";
import { type Cloud, makeCloud } from "../../test/cloud/cloud.ts";
import { inProcessTransport } from "../../test/cloud/in-process.ts";
import { type CloudOptions, TEST_KEY } from "../../test/cloud/runtime/options.ts";
import { makeVirtualClock } from "../../test/virtual-clock.ts";
import { batchRegister, chunks, createRules, type Growth, PER_BATCH, type Site, write } from "./columns.ts";
import { type PublishedRow, startOf } from "./tables.ts";

const urlOf = (index: number): string => `/r${index}`;
/** E.g. 10.244.1.7: an address that the emulated cloud lets be bound. */
const ipOf = (index: number): string => `10.244.${1 + Math.floor(index / 200)}.${1 + (index % 200)}`;
const LISTENER_PORT = 80;
/** Load balancers prepared at a time: more would exceed the rate of DescribeTaskStatus. */
const TOGETHER = 2;

export type RowSetup = {
  /** Of each load balancer. */
  readonly row: PublishedRow;
  readonly rulesPerCall: number;
  readonly listenerName: string;
  readonly loadBalancers?: number;
};

export type Bed = {
  readonly transport: CloudTransport;
  readonly clock: Clock;
  /** As they are before the growth. */
  readonly sites: readonly Site[];
  /** Lets time pass until the work is done. */
  readonly run: <T>(work: Promise<T>) => Promise<T>;
  /** API calls since the sites were ready. */
  readonly calls: () => number;
  readonly stop: () => Promise<void>;
};

/** Quotas that let a row exist on one listener; the published rows had raised quotas, or several listeners. */
const optionsFor = ({ row, rulesPerCall }: RowSetup, clock: Clock): CloudOptions => ({
  clock,
  profile: "tke2020",
  limits: { rulesPerListener: row.rules, createRules: rulesPerCall },
  dataPlane: false,
  health: "scripted",
  journalSize: 1_000,
});

/** One process, no sockets; an hour passes in a second. */
export async function virtualBed(setup: RowSetup): Promise<Bed> {
  const clock = makeVirtualClock();
  const cloud = makeCloud(optionsFor(setup, clock));
  const run = <T>(work: Promise<T>): Promise<T> => clock.run(work);
  return await bedOn({ cloud, transport: inProcessTransport(cloud), clock, run, stop: () => cloud.stop() }, setup);
}

/** Real HTTP, real signatures, the real SDK; product and cloud run `scale` times as fast as the clock on the wall. */
export async function wireBed(setup: RowSetup, scale: number): Promise<Bed> {
  const clock = makeClock(scale);
  const started = await startCloud(optionsFor(setup, clock));
  const { cloud, endpoint } = started;
  return await bedOn({ cloud, transport: sdkTransport(endpoint), clock, run: (work) => work, stop: () => started.stop() }, setup);
}

/** The product's own way to the cloud, at an endpoint like "127.0.0.1:41234". */
export function sdkTransport(endpoint: string): CloudTransport {
  const credential = { secretId: TEST_KEY.secretId, secretKey: TEST_KEY.secretKey, token: undefined };
  return makeSdkTransport({ region: "ap-guangzhou", endpoint, protocol: "http://", timeoutSeconds: 60, credential });
}

async function bedOn(from: Omit<Bed, "sites" | "calls"> & { readonly cloud: Cloud }, setup: RowSetup): Promise<Bed> {
  const { cloud, ...bed } = from;
  const ids = Array.from({ length: setup.loadBalancers ?? 1 }, () => cloud.addLoadBalancer().loadBalancerId);
  const sites: Site[] = [];
  for (const some of chunks(ids, TOGETHER))
    sites.push(...(await bed.run(Promise.all(some.map((loadBalancerId) => prepare({ ...bed, loadBalancerId }, setup))))));
  const total = (): number => Object.values(cloud.counts().calls).reduce((sum, count) => sum + count, 0);
  const before = total();
  return { ...bed, sites, calls: () => total() - before };
}

/** Creates the listener and what the row begins with. */
async function prepare(bare: Pick<Site, "transport" | "clock" | "loadBalancerId">, setup: RowSetup): Promise<Site> {
  const { transport, clock, loadBalancerId } = bare;
  const start = startOf(setup.row);
  const { ListenerIds } = await write(bare, "CreateListener", {
    LoadBalancerId: loadBalancerId,
    Protocol: "HTTP",
    Ports: [LISTENER_PORT],
    ListenerNames: [setup.listenerName],
  });
  const site = { transport, clock, loadBalancerId, listenerId: ListenerIds?.[0] ?? "", locationIds: [] };
  const locationIds: string[] = [];
  for (const urls of chunks(range(start.rules).map(urlOf), setup.rulesPerCall)) locationIds.push(...(await createRules(site, urls)));
  const ips = range(start.backends).map(ipOf);
  const bindings = locationIds.flatMap((locationId) => ips.map((ip) => ({ locationId, ip })));
  for (const some of chunks(bindings, PER_BATCH)) await batchRegister(site, some);
  return { ...site, locationIds };
}

/** What the row adds to that. */
export function growthOf({ row, rulesPerCall }: RowSetup): Growth {
  const start = startOf(row);
  const urls = range(row.rules).map(urlOf);
  return { ips: range(row.backends).map(ipOf), bound: start.backends, urls: urls.slice(start.rules), rulesPerCall };
}

/** What the row ends with. */
export const wishOf = ({ row }: RowSetup): { readonly urls: readonly string[]; readonly ips: readonly string[] } => ({
  urls: range(row.rules).map(urlOf),
  ips: range(row.backends).map(ipOf),
});

const range = (length: number): number[] => Array.from({ length }, (_, index) => index);
