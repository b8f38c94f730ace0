/** What the benchmark of admission reckons from what it measured. Times are milliseconds. */

export type Times = { readonly p50: number; readonly p99: number };

/**
 * Who changes a created Pod: nobody, the control (bare TLS, always the same patch), our webhook, or the control once more: what the two runs of
 * one and the same differ by is what the machine does, and no webhook's.
 */
export const KINDS = ["alone", "control", "webhook", "again"] as const;
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

/** The goal: what our webhook adds to the slowest hundredth of creations. */
export const LIMIT_MS = 10;
/** Of what waits for cores inside the control, ours may take so much: it has more to do in each turn. */
const INSIDE_FACTOR = 2;

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

/** What any webhook costs: the mean of the control's two runs, and how far they are apart. */
export const bareOf = ({ control, again }: Row["times"]): { readonly mean: Times; readonly apart: Times } => {
  const of = (key: keyof Times) => ({ mean: tenth((control[key] + again[key]) / 2), apart: tenth(Math.abs(control[key] - again[key])) });
  const [p50, p99] = [of("p50"), of("p99")];
  return { mean: { p50: p50.mean, p99: p99.mean }, apart: { p50: p50.apart, p99: p99.apart } };
};

/**
 * What is wrong with a row, for people; empty: the goal is met, or what it is missed by is what any webhook adds on this machine: ours is no
 * further above the control than the goal, and than the control's two runs are apart.
 */
export function faultsOf({ parallel, times, inside, insideControl }: Row): readonly string[] {
  const { mean, apart } = bareOf(times);
  const added = minus(times.webhook, times.alone).p99;
  const excess = minus(times.webhook, mean).p99;
  const allowed = tenth(LIMIT_MS + apart.p99);
  const allowedInside = tenth(Math.max(LIMIT_MS, insideControl.p99 * INSIDE_FACTOR));
  return [
    ...(inside.p99 > allowedInside
      ? [`${parallel} parallel: the webhook itself takes up to ${inside.p99} ms (p99), limit ${allowedInside}`]
      : []),
    ...(added > LIMIT_MS && excess > allowed
      ? [
          `${parallel} parallel: the webhook adds ${added} ms (p99), goal ${LIMIT_MS}; that is ${excess} ms more than a bare one, whose two runs are ${apart.p99} ms apart`,
        ]
      : []),
  ];
}

const tenth = (value: number): number => Math.round(value * 10) / 10;
