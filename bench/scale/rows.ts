/** What is measured, what it is measured against, and how both are printed. */

/** null: was not measured, or did not happen. */
export type Row = {
  readonly name: string;
  readonly agents: number;
  /** All that the coordinator knows, not per agent. */
  readonly pods: number;
  readonly services: number;
  /** Pod changes per second. */
  readonly rate: number;
  /** Until every agent's snapshot was acknowledged. */
  readonly ackedSeconds: number | null;
  /** The coordinator's own. */
  readonly cpuSeconds: number | null;
  readonly rssMiB: number | null;
  readonly loopP99Ms: number | null;
  /** Calls that change something in the cloud. */
  readonly writes: number;
  /** Our own share of the time from containers ready to the gate True, as docs/metrics.md has it. */
  readonly ownMsP50: number | null;
  readonly ownMsP99: number | null;
  /** p99 of the loop delay of a process that did nothing meanwhile. */
  readonly controlP99Ms: number;
  /** p99 of the loop delay of the process that is API server and cloud: where it is large, those were slow. */
  readonly groundP99Ms: number;
};

/** The row with three digits after the point: nobody wants to read more. */
export const rounded = (row: Row): Row =>
  Object.fromEntries(
    Object.entries(row).map(([key, value]) => [key, typeof value === "number" ? Math.round(value * 1_000) / 1_000 : value]),
  ) as Row;

/** `time` and `delay` suffer from others on the machine, `amount` does not. null: it did not happen, which no limit allows. */
export type Goal = {
  readonly row: string;
  readonly what: string;
  readonly value: number | null;
  readonly unit: string;
  /** Left out: printed only. */
  readonly atMost?: number;
  readonly kind: "time" | "delay" | "amount";
  readonly controlP99Ms: number;
};

/**
 * The limit that a run of the small size has: of loop delay and shares of a core none, for it is over before the code that it runs is compiled. Undefined:
 * none.
 */
export const limitFor = (size: "full" | "quick", { kind, unit, atMost }: Pick<Goal, "kind" | "unit" | "atMost">): number | undefined =>
  size === "quick" && (kind === "delay" || unit === "cores") ? undefined : atMost;

/** p99 of an undisturbed loop's delay as it is measured, ms: the timer's 10 ms and a little. */
const QUIET_P99_MS = 12;
/** Of the delay of a process that does nothing, what a busy one may have. Source: the goals of the benchmark. */
const DELAY_FACTOR = 1.5;

/** The limit after what the control process explains is added. */
function excusedLimit({ atMost = Number.POSITIVE_INFINITY, kind, controlP99Ms }: Goal): number {
  if (kind === "amount") return atMost;
  if (kind === "delay") return Math.max(atMost, DELAY_FACTOR * controlP99Ms);
  return atMost * Math.max(1, controlP99Ms / QUIET_P99_MS);
}

export function verdict(goal: Goal): "" | "reached" | "noise" | "MISSED" {
  const { value, atMost } = goal;
  if (atMost === undefined) return "";
  if (value === null) return "MISSED";
  if (value <= atMost) return "reached";
  return value <= excusedLimit(goal) ? "noise" : "MISSED";
}

const written = (value: number): string => (Math.abs(value) >= 100 || value === 0 ? Math.round(value).toString() : value.toPrecision(3));

/** Fewer requests of a kind are not worth a line. */
const MANY = 10;

/** What the work came to in passes and requests: these say the same on a machine that others use too. */
export const countsOf = ({
  passes,
  requests,
}: {
  readonly passes: Readonly<Record<string, number>>;
  readonly requests: Readonly<Record<string, number>>;
}): [what: string, count: number][] => [
  ...Object.entries(passes).map(([queue, count]): [string, number] => [`passes: ${queue}`, count]),
  ...Object.entries(requests).flatMap(([kind, count]): [string, number][] => (count < MANY ? [] : [[`requests: ${kind}`, count]])),
];

/** One line per measure, the limit beside it. */
export function goalsText(goals: readonly Goal[]): string {
  const lines = goals.map((goal, index) => [
    goal.row === goals[index - 1]?.row ? "" : goal.row,
    goal.what,
    goal.value === null ? "never" : `${written(goal.value)} ${goal.unit}`.trimEnd(),
    goal.atMost === undefined ? "" : `${written(goal.atMost)} ${goal.unit}`.trimEnd(),
    verdict(goal),
  ]);
  const all = [["", "", "measured", "limit", ""], ...lines];
  const width = (column: number): number => Math.max(...all.map((line) => line[column]?.length ?? 0));
  return all
    .map(([row = "", what = "", value = "", limit = "", mark = ""]) =>
      [row.padEnd(width(0)), what.padEnd(width(1)), value.padStart(width(2)), limit.padStart(width(3)), mark].join("  ").trimEnd(),
    )
    .join("\n");
}

export const NOISE_LEGEND =
  "noise: above the limit by no more than the control process explains (a limit in time grows as its loop delay does over 12 ms; a loop delay may be 1.5 times its)";
