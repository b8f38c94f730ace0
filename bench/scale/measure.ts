/** The coordinator's own figures over a piece of work, with those of the control process beside them. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { METRIC_PREFIX } from "../../common/names.ts";
import type { OwnSharePart } from "../../coordinator/gates/own-share.ts";
import type { Replica } from "../../test/cluster/product.ts";
import type { Ground } from "./ground.ts";
import type { Control } from "./helpers.ts";
import type { Row } from "./rows.ts";

/** By name with its labels as they are written, e.g. 'clb_direct_fallbacks_total{change="on"}'. */
type Scraped = ReadonlyMap<string, number>;

const SCRAPE_MS = 30_000;

/** undefined: it did not answer in time, or is not there. Reading begins the loop delay anew. */
async function scrape(url: string): Promise<Scraped | undefined> {
  const text = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(SCRAPE_MS) }).then(
    (response) => response.text(),
    () => undefined,
  );
  return text === undefined ? undefined : new Map(text.split("\n").flatMap(entryOf));
}

function entryOf(line: string): [string, number][] {
  const at = line.lastIndexOf(" ");
  return line === "" || line.startsWith("#") ? [] : [[line.slice(0, at), Number(line.slice(at + 1))]];
}

export type Measured<T> = {
  readonly result: T;
  readonly seconds: number;
  readonly row: Pick<Row, "cpuSeconds" | "rssMiB" | "loopP99Ms" | "writes" | "controlP99Ms" | "groundP99Ms">;
  /** Nodes that were watched in place of their agent. */
  readonly fallbacks: number | null;
  /** Passes by queue. */
  readonly passes: Readonly<Record<string, number>>;
  /** Requests that the API server has answered, by verb and resource, e.g. { "patch pods": 600 }. */
  readonly requests: Readonly<Record<string, number>>;
  /** Streams that ended or were refused, by gRPC status, as the agents saw it, e.g. { RESOURCE_EXHAUSTED: 20 }. */
  readonly ends: Readonly<Record<string, number>>;
  /** Of gates that turned True meanwhile what is not the cloud's work of that time, by part; milliseconds. Without the parts that none had. */
  readonly ownMs: Readonly<Partial<Record<OwnSharePart, { readonly p50: number; readonly p99: number }>>>;
  /** How long each stage of their way took on the average, milliseconds, e.g. { wait: 80, bind: 12, check: 0, patch: 9 }. */
  readonly stageMs: Readonly<Record<string, number>>;
  /** Longest time between two renewals of the Lease; null where another process took it. */
  readonly leaseGapSeconds: number | null;
};

export type MeasureOptions = {
  /** Whose figures; default the first. */
  readonly replica?: Replica;
  /** A new process is looked at: all of its figures count from its start. */
  readonly fresh?: boolean;
};

/** Of this process: the API server, the cloud and the Pods' changes. */
const groundDelay = monitorEventLoopDelay({ resolution: 10 });
groundDelay.enable();

const CPU = "process_cpu_seconds_total";
const FALLBACKS = `${METRIC_PREFIX}fallbacks_total{change="on"}`;
const PASSES = `${METRIC_PREFIX}passes_total`;
const OWN = `${METRIC_PREFIX}own_share_seconds_bucket`;
const OWN_PARTS: readonly OwnSharePart[] = ["ours", "late", "turn", "apiserver", "poll", "api"];
const STAGES = `${METRIC_PREFIX}gate_stage_seconds`;

export async function measure<T>(
  { ground, control }: { readonly ground: Ground; readonly control: Control },
  work: () => Promise<T>,
  { replica = 0, fresh = false }: MeasureOptions = {},
): Promise<Measured<T>> {
  const url = ground.opsUrl(replica);
  const before = fresh ? undefined : await scrape(url);
  await control.p99Ms();
  ground.lease();
  ground.requests();
  groundDelay.reset();
  const endsBefore = ground.fleet.ends();
  const cloudMs = Date.now();
  const startMs = performance.now();
  const fromUs = process.hrtime.bigint() / 1_000n;
  const result = await work();
  // oxlint-disable-next-line typescript/dot-notation -- an index signature
  if (process.env["PROFILE_TO"] !== undefined) console.error(`in the profile: ${fromUs} to ${process.hrtime.bigint() / 1_000n} us`);
  const seconds = (performance.now() - startMs) / 1_000;
  const groundP99Ms = groundDelay.percentile(99) / 1e6;
  const requests = ground.requests();
  const ends = grownIn(ground.fleet.ends(), endsBefore);
  const [after, controlP99Ms] = await Promise.all([scrape(url), control.p99Ms()]);
  const grown = (name: string): number | null => {
    const now = after?.get(name);
    if (after === undefined || (!fresh && before === undefined)) return null;
    return (now ?? 0) - (before?.get(name) ?? 0);
  };
  const { holders, gapMs } = ground.lease();
  const bytes = after?.get("process_resident_memory_bytes");
  const lag = after?.get("nodejs_eventloop_lag_p99_seconds");
  const writes = ground.cloud.journal.of("call").filter(({ isWrite, startMs: atMs }) => isWrite && atMs >= cloudMs).length;
  return {
    result,
    seconds,
    row: {
      cpuSeconds: grown(CPU),
      rssMiB: bytes === undefined ? null : bytes / 2 ** 20,
      loopP99Ms: lag === undefined ? null : lag * 1_000,
      writes,
      controlP99Ms,
      groundP99Ms,
    },
    fallbacks: grown(FALLBACKS),
    passes: passesOf(after, before),
    ownMs: Object.fromEntries(OWN_PARTS.flatMap((part) => ownOf(part, after, before))),
    stageMs: stagesOf(after, before),
    requests,
    ends,
    leaseGapSeconds: new Set(holders).size <= 1 ? gapMs / 1_000 : null,
  };
}

const grownIn = (now: Readonly<Record<string, number>>, before: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(
    Object.entries(now).flatMap(([key, count]) => (count > (before[key] ?? 0) ? [[key, count - (before[key] ?? 0)]] : [])),
  );

/** By queue, between the two. */
function passesOf(after: Scraped = new Map(), before: Scraped = new Map()): Record<string, number> {
  const passes: Record<string, number> = {};
  for (const [name, value] of after) {
    const queue = name.startsWith(PASSES) ? /queue="(\w+)"/.exec(name)?.[1] : undefined;
    if (queue !== undefined) passes[queue] = (passes[queue] ?? 0) + value - (before.get(name) ?? 0);
  }
  return passes;
}

/** From the histogram: within a bucket the times are taken for evenly spread. */
function ownOf(part: OwnSharePart, after: Scraped = new Map(), before: Scraped = new Map()) {
  const buckets = [...after].flatMap(([name, value]) => {
    const edge = name.startsWith(OWN) && name.includes(`part="${part}"`) ? /le="([^"]+)"/.exec(name)?.[1] : undefined;
    return edge === undefined
      ? []
      : [{ edge: edge === "+Inf" ? Number.POSITIVE_INFINITY : Number(edge), count: value - (before.get(name) ?? 0) }];
  });
  const all = buckets.at(-1)?.count ?? 0;
  if (all === 0) return [];
  return [[part, { p50: quantileIn(buckets, all / 2) * 1_000, p99: quantileIn(buckets, all * 0.99) * 1_000 }] as const];
}

/** Counts are of all up to the edge. Above the last edge nothing is known: infinite. */
export function quantileIn(buckets: readonly { readonly edge: number; readonly count: number }[], rank: number): number {
  const at = buckets.findIndex(({ count }) => count >= rank);
  const { edge = Number.POSITIVE_INFINITY, count = 0 } = buckets[at] ?? {};
  const { edge: from = 0, count: below = 0 } = buckets[at - 1] ?? {};
  return Number.isFinite(edge) ? from + ((edge - from) * (rank - below)) / (count - below) : Number.POSITIVE_INFINITY;
}

function stagesOf(after: Scraped = new Map(), before: Scraped = new Map()): Record<string, number> {
  const grown = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0);
  return Object.fromEntries(
    ["wait", "bind", "check", "patch"].flatMap((stage) => {
      const count = grown(`${STAGES}_count{stage="${stage}"}`);
      return count === 0 ? [] : [[stage, (grown(`${STAGES}_sum{stage="${stage}"}`) / count) * 1_000]];
    }),
  );
}
