/** What the benchmark of admission reckons from what it measured. Times are milliseconds. */

export type Times = { readonly p50: number; readonly p99: number };

/** Who changes a created Pod: nobody, the control (bare TLS, always the same patch), or our webhook. */
export const KINDS = ["alone", "control", "webhook"] as const;
export type Kind = (typeof KINDS)[number];

/** What was read from our webhook's process before and after its creations; times are seconds. */
export type Inside = {
  readonly reviews: number;
  readonly connections: number;
  readonly cpuSeconds: number;
  /** Cumulative counts of reviews by the upper limit of how long they took, e.g. [[0.001, 420], [Infinity, 500]]. */
  readonly buckets: readonly (readonly [limit: number, count: number])[];
};

export type Row = {
  readonly parallel: number;
  readonly times: Readonly<Record<Kind, Times>>;
  /** From the request received to the answer written, by our webhook's own clock; upper limits of the histogram's buckets. */
  readonly inside: Times;
  /** The same of the control: what waiting for a core costs a process that does nothing else. */
  readonly insideControl: Times;
  readonly cpuMsPerReview: number;
  readonly connections: number;
};

/** Ours may be slower than the control by so much in the slowest hundredth: the goal of the webhook's own work. */
export const LIMIT_MS = 10;
/** Of what waits for cores inside the control, ours may take so much: it has more to do in each turn. */
const INSIDE_FACTOR = 2;
/** Or by this share, where everything waits for two cores and the slowest hundredth of two equal runs differs by more than the limit. */
const LIMIT_SHARE = 0.1;

export function timesOf(took: readonly number[]): Times {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number): number => tenth(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
  return { p50: at(0.5), p99: at(0.99) };
}

export const minus = (one: Times, other: Times): Times => ({ p50: tenth(one.p50 - other.p50), p99: tenth(one.p99 - other.p99) });

/** What happened in our webhook between two readings. */
export function between(before: Inside, after: Inside): Pick<Row, "inside" | "cpuMsPerReview" | "connections"> {
  const reviews = after.reviews - before.reviews;
  const counts = after.buckets.map(([limit, count], at) => [limit, count - (before.buckets[at]?.[1] ?? 0)] as const);
  const at = (share: number): number => (counts.find(([, count]) => count >= reviews * share)?.[0] ?? Number.POSITIVE_INFINITY) * 1_000;
  return {
    inside: { p50: at(0.5), p99: at(0.99) },
    cpuMsPerReview: Math.round(((after.cpuSeconds - before.cpuSeconds) / reviews) * 1e5) / 100,
    connections: after.connections - before.connections,
  };
}

/** What is wrong with a row, for people; empty: it is as it has to be. */
export function faultsOf({ parallel, times, inside, insideControl }: Row): readonly string[] {
  const excess = minus(times.webhook, times.control).p99;
  const allowed = Math.max(LIMIT_MS, times.control.p99 * LIMIT_SHARE);
  const allowedInside = tenth(Math.max(LIMIT_MS, insideControl.p99 * INSIDE_FACTOR));
  return [
    ...(inside.p99 > allowedInside
      ? [`${parallel} parallel: the webhook itself takes up to ${inside.p99} ms (p99), limit ${allowedInside}`]
      : []),
    ...(excess > allowed ? [`${parallel} parallel: p99 ${excess} ms above the control's, limit ${tenth(allowed)}`] : []),
  ];
}

const tenth = (value: number): number => Math.round(value * 10) / 10;
