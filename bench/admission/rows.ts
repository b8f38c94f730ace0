/** What the benchmark of admission reckons from what it measured. Times are milliseconds. */

export type Times = { readonly p50: number; readonly p99: number };

/**
 * Who changes a created Pod: nobody, the control (bare TLS, always the same patch), our webhook, or the control once more: what the two runs of
 * one and the same differ by is what the machine does, and no webhook's.
 */
export const KINDS = ["alone", "control", "webhook", "again"] as const;
export type Kind = (typeof KINDS)[number];

/** CPU time of one creation by who spent it, milliseconds: the API server with its etcd, both webhooks (whatever else they do), and who creates. */
export type Cpu = { readonly api: number; readonly webhook: number; readonly creators: number };

/** What was read from our webhook's process before and after its creations; times are seconds. */
export type Inside = {
  readonly reviews: number;
  readonly connections: number;
  /** Cumulative counts of reviews by the upper limit of how long they took, e.g. [[0.001, 420], [Infinity, 500]]. */
  readonly buckets: readonly (readonly [limit: number, count: number])[];
};

export type Row = {
  readonly parallel: number;
  readonly times: Readonly<Record<Kind, Times>>;
  readonly cpu: Readonly<Record<Kind, Cpu>>;
  /** Creations whose webhook did not answer in time, so that the Pod has no gate. */
  readonly late: Readonly<Record<Kind, number>>;
  /** Of each kind. */
  readonly created: number;
  /** From the request received to the answer written, by our webhook's own clock; upper limits of the histogram's buckets. */
  readonly inside: Times;
  /** The same of the control: what waiting for a core costs a process that does nothing else. */
  readonly insideControl: Times;
  /** New connections, each with a TLS handshake: to ours, and to the control in both its runs. */
  readonly connections: number;
  readonly connectionsControl: number;
};

/** The goal: what our webhook adds to the slowest hundredth of creations. */
export const LIMIT_MS = 10;
/** Creations at a time that the goal is for; of a burst only counts whether the gate comes in time. */
const MOST_WITH_GOAL = 200;
/** Of what waits for cores inside the control, ours may take so much: it has more to do in each turn. */
const INSIDE_FACTOR = 2;

export function timesOf(took: readonly number[]): Times {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number): number => tenth(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
  return { p50: at(0.5), p99: at(0.99) };
}

export const minus = (one: Times, other: Times): Times => ({ p50: tenth(one.p50 - other.p50), p99: tenth(one.p99 - other.p99) });

/** What happened in our webhook between two readings. */
export function between(before: Inside, after: Inside): Pick<Row, "inside" | "connections"> {
  const reviews = after.reviews - before.reviews;
  const counts = after.buckets.map(([limit, count], at) => [limit, count - (before.buckets[at]?.[1] ?? 0)] as const);
  const at = (share: number): number => (counts.find(([, count]) => count >= reviews * share)?.[0] ?? Number.POSITIVE_INFINITY) * 1_000;
  return {
    inside: { p50: at(0.5), p99: at(0.99) },
    connections: after.connections - before.connections,
  };
}

/** What any webhook costs: the mean of the control's two runs, and how far they are apart. */
export const bareOf = ({ control, again }: Row["times"]): { readonly mean: Times; readonly apart: Times } => {
  const of = (key: keyof Times) => ({ mean: tenth((control[key] + again[key]) / 2), apart: tenth(Math.abs(control[key] - again[key])) });
  const [p50, p99] = [of("p50"), of("p99")];
  return { mean: { p50: p50.mean, p99: p99.mean }, apart: { p50: p50.apart, p99: p99.apart } };
};

const sumOf = ({ api, webhook, creators }: Cpu): number => api + webhook + creators;

/** CPU of one creation beyond that of one without a webhook, milliseconds: with a bare one (mean of its two runs), and with ours. */
export function addedCpu({
  alone,
  control,
  again,
  webhook,
}: Row["cpu"]): Readonly<Record<"bare" | "ours", Cpu & { readonly all: number }>> {
  const beyond = (some: readonly Cpu[]) => {
    const of = (key: keyof Cpu): number => hundredth(some.reduce((sum, one) => sum + one[key], 0) / some.length - alone[key]);
    const cpu = { api: of("api"), webhook: of("webhook"), creators: of("creators") };
    return { ...cpu, all: hundredth(sumOf(cpu)) };
  };
  return { bare: beyond([control, again]), ours: beyond([webhook]) };
}

/**
 * What creations take longer on average, milliseconds, where `parallel` creators always wait and no core ever does: each waits until all others
 * have had their turn, so it is the CPU that is added to one, times the creators, by the cores. No webhook is faster there than its own CPU allows.
 */
export const leastAdded = (addedCpuMs: number, parallel: number, cores: number): number => tenth((parallel * addedCpuMs) / cores);

/**
 * What is wrong with a row, for people; empty: the goal is met, or what it is missed by is what any webhook adds on this machine: ours is no
 * further above the control than the goal, and than the control's two runs are apart.
 */
export function faultsOf({ parallel, times, late, inside, insideControl }: Row): readonly string[] {
  const { mean, apart } = bareOf(times);
  const added = minus(times.webhook, times.alone).p99;
  const excess = minus(times.webhook, mean).p99;
  const allowed = tenth(LIMIT_MS + apart.p99);
  const allowedInside = tenth(Math.max(LIMIT_MS, insideControl.p99 * INSIDE_FACTOR));
  const mostLate = Math.max(late.control, late.again);
  return [
    ...(late.webhook > mostLate
      ? [`${parallel} parallel: ${late.webhook} reviews of the webhook were late, of the bare one's ${mostLate}; their Pods have no gate`]
      : []),
    ...(inside.p99 > allowedInside
      ? [`${parallel} parallel: the webhook itself takes up to ${inside.p99} ms (p99), limit ${allowedInside}`]
      : []),
    ...(parallel <= MOST_WITH_GOAL && added > LIMIT_MS && excess > allowed
      ? [
          `${parallel} parallel: the webhook adds ${added} ms (p99), goal ${LIMIT_MS}; that is ${excess} ms more than a bare one, whose two runs are ${apart.p99} ms apart`,
        ]
      : []),
  ];
}

const hundredth = (value: number): number => Math.round(value * 100) / 100;
const tenth = (value: number): number => Math.round(value * 10) / 10;
