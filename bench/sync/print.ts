import { BLOCK_GOALS, type BlockFigures } from "./block.ts";
import type { ChangesFigures } from "./changes.ts";
import type { EarlyBindFigures } from "./early-bind.ts";
import { ALL_READ_TIMES, type NewLeaderFigures } from "./new-leader.ts";
import type { RolloutFigures } from "./rollout.ts";
import type { ResultRow } from "./rows.ts";

/** E.g. "1313" or "31.5"; "-" for what was not run. */
const seconds = (value: number | null | undefined): string =>
  value === null || value === undefined ? "-" : value >= 1000 ? value.toFixed(0) : value.toFixed(1);

const HEAD = ["table", "rules", "backends", "rules/call", "before", "batched", "optimised", "ours", "limit L1", "ours/L1", "calls"];

/** What the columns mean; below the rows. */
export const LEGEND = `before, batched, optimised: the published ways of working, run anew: 20 targets per call; 500; 500 and one query per rule. "-": not run.
limit L1: writes one after the other, each full, all rules first; binding between the creations meets fewer rules and can come in below it.
calls: of ours, reads included. "n CLBs/L1": the same rules spread over n load balancers, and the limit of each.`;

/** The rows for people. Of each column the published figure stands before the slash and the measured one behind it. */
export function rowsTable(rows: readonly ResultRow[]): string {
  const counts = rows[0]?.parallel?.map(({ loadBalancers }) => loadBalancers) ?? [];
  const head = [...HEAD, ...counts.map((count) => `${count} CLBs/L1`)];
  const lines = rows.map((row) => [
    row.table,
    String(row.rules),
    String(row.backends),
    row.table === "A" ? "" : String(row.rulesPerCall),
    ...row.publishedSeconds.map((published, index) => `${seconds(published)}/${seconds(row.columnSeconds[index])}`),
    seconds(row.oursSeconds),
    seconds(row.limitSeconds),
    (row.oursSeconds / row.limitSeconds).toFixed(3),
    String(row.calls),
    ...(row.parallel ?? []).map(({ oursSeconds, limitSeconds }) => `${seconds(oursSeconds)}/${seconds(limitSeconds)}`),
  ]);
  return aligned([head, ...lines]);
}

/**
 * Goals of a rollout: the own share in ms; writes per bound Pod where the cloud takes its time. Health reads have none: they are as many as
 * the rate allows while somebody waits, and are shown beside the fewest that find each healthy Pod as soon.
 */
const GOALS = { ownMsP50: 200, ownMsP99: 500, uncheckedMsP99: 100, writesPerPod: 0.1 } as const;

/**
 * Of that what the product does itself where nothing is checked, with the API server's answers to a stored claim and to the patch. Shown and not
 * judged: these are milliseconds of a machine that runs the cluster, the cloud and the load as well.
 */
const OURS_GOALS = { msP50: 20, msP99: 40 } as const;

/** What the columns of a rollout mean. */
const ROLLOUT_LEGEND = `own: from ready to gate what is not the cloud's work: ours; poll, the wait for the question that hears of health, or of the end of the task that
held the load balancer; API, the time of that question. Figures of 6 Pods are those of 6: p99 is the slowest.`;

/** One line per rollout, each figure with its limit behind the slash; "best" is the best possible for the order of arrival. */
export function rolloutTable(rollouts: readonly RolloutFigures[]): string {
  const head = [
    "profile",
    "Pods",
    "checks",
    "failed",
    "rollout s",
    "cloud p50 ms",
    "own p50 ms",
    "own p99 ms",
    "ours p50 ms",
    "ours p99 ms",
    "poll+API p50",
    "writes/Pod",
    "best",
    "reads/Pod",
    "best",
  ];
  const lines = rollouts.map((figures) => {
    const perPod = figures.profile === "tke2020" ? GOALS : { writesPerPod: "-" };
    const ownMsP99 = figures.checks ? GOALS.ownMsP99 : GOALS.uncheckedMsP99;
    return [
      figures.profile,
      String(figures.replicas),
      figures.checks ? "on" : "off",
      `${figures.failed}/${figures.requests}`,
      figures.rolloutSeconds.toFixed(1),
      figures.cloudMsP50.toFixed(0),
      `${figures.ownMsP50.toFixed(0)}/${GOALS.ownMsP50}`,
      `${figures.ownMsP99.toFixed(0)}/${ownMsP99}`,
      `${figures.oursMsP50.toFixed(0)}/${figures.checks ? "-" : OURS_GOALS.msP50}`,
      `${figures.oursMsP99.toFixed(0)}/${figures.checks ? "-" : OURS_GOALS.msP99}`,
      [figures.pollMsP50, figures.apiMsP50].map((ms) => ms.toFixed(0)).join("+"),
      `${figures.writesPerPod.toFixed(3)}/${perPod.writesPerPod}`,
      figures.bestWritesPerPod.toFixed(3),
      figures.readsPerPod.toFixed(3),
      figures.checks ? figures.bestReadsPerPod.toFixed(3) : "-",
    ];
  });
  return `${aligned([head, ...lines])}\n\n${ROLLOUT_LEGEND}`;
}

/** What must hold of the rollouts; each failing is one sentence. */
export function rolloutFailings(rollouts: readonly RolloutFigures[]): string[] {
  return rollouts.flatMap((figures) => {
    const { profile, replicas, checks, failed, ownMsP50, ownMsP99, writesPerPod } = figures;
    const perPod = profile === "tke2020" ? GOALS : { writesPerPod: Infinity };
    const limits: readonly (readonly [what: string, value: number, limit: number])[] = [
      ["failed requests", failed, 0],
      ["own share p50 in ms", ownMsP50, checks ? GOALS.ownMsP50 : GOALS.uncheckedMsP99],
      ["own share p99 in ms", ownMsP99, checks ? GOALS.ownMsP99 : GOALS.uncheckedMsP99],
      ["writes per Pod", writesPerPod, perPod.writesPerPod],
    ];
    const name = `rollout of ${replicas} Pods, ${profile}, checks ${checks ? "on" : "off"}`;
    return limits.filter(([, value, limit]) => value > limit).map(([what, value, limit]) => `${name}: ${what} ${value}, limit ${limit}`);
  });
}

export function changesText(figures: ChangesFigures): string {
  const { changes, loadBalancers, boundMsP50, boundMsP99, writesPerChange, overlaps } = figures;
  const bound = `bound after ${boundMsP50.toFixed(0)} ms (p50), ${boundMsP99.toFixed(0)} ms (p99)`;
  return `${changes} Pods replaced one by one on ${loadBalancers} load balancers: ${bound}, ${writesPerChange.toFixed(2)} writes each, ${overlaps} overlapping`;
}

export function newLeaderText(figures: NewLeaderFigures): string {
  const { loadBalancers, pages, reads, allReadSeconds, boundSeconds, drainSeconds } = figures;
  const goal = `goal ${(ALL_READ_TIMES * boundSeconds).toFixed(1)} s`;
  return `a new leader of ${loadBalancers} load balancers: all read after ${allReadSeconds.toFixed(1)} s (${goal}) by ${pages} pages and ${reads} reads by name; a Pod that ends meanwhile is drained after ${drainSeconds.toFixed(2)} s`;
}

export const newLeaderFailings = ({ allReadSeconds, boundSeconds }: NewLeaderFigures): string[] =>
  allReadSeconds <= ALL_READ_TIMES * boundSeconds ? [] : [`a new leader: all read after ${allReadSeconds} s, bound ${boundSeconds} s`];

export function blockText({ writes, rolloutWrites, gateMsP50, gateMsP90, gateMsMax }: BlockFigures): string {
  const goals = BLOCK_GOALS;
  return `three rollouts of 6 Pods, 6 to 60, a rollout of 60, on a cloud without latency: ${writes} writes (goal ${goals.writes}), ${rolloutWrites} of them in the last rollout; its gates after ${gateMsP50} ms (p50), ${gateMsP90} ms (p90, goal ${goals.gateMsP90}), ${gateMsMax} ms at most (goal ${goals.gateMsMax})`;
}

export const earlyBindText = (all: readonly EarlyBindFigures[]): string =>
  all
    .map(
      ({ earlyBind, pods, gateMsP50, gateMsP99, rolloutSeconds, writes }) =>
        `EARLY_BIND=${earlyBind}: a rollout of ${pods} Pods that listen long before they are ready takes ${rolloutSeconds.toFixed(0)} s and ${writes} writes; ready to gate ${(gateMsP50 / 1_000).toFixed(1)} s (p50), ${(gateMsP99 / 1_000).toFixed(1)} s (p99)`,
    )
    .join("\n");

export const blockFailings = ({ writes, gateMsP90, gateMsMax }: BlockFigures): string[] => [
  ...(writes <= BLOCK_GOALS.writes ? [] : [`the block of 60 Pods: ${writes} writes, goal ${BLOCK_GOALS.writes}`]),
  ...(gateMsP90 <= BLOCK_GOALS.gateMsP90 ? [] : [`the block of 60 Pods: gate p90 ${gateMsP90} ms, goal ${BLOCK_GOALS.gateMsP90} ms`]),
  ...(gateMsMax <= BLOCK_GOALS.gateMsMax ? [] : [`the block of 60 Pods: gate max ${gateMsMax} ms, goal ${BLOCK_GOALS.gateMsMax} ms`]),
];

/** Columns of text, flush right. */
function aligned(lines: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const line of lines) for (const [index, cell] of line.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return lines.map((line) => line.map((cell, index) => cell.padStart(widths[index] ?? 0)).join("  ")).join("\n");
}

/** What must hold of the rows; each failing is one sentence. */
export function failings(rows: readonly ResultRow[]): string[] {
  return rows.flatMap((row) => {
    const name = `${row.table} ${row.rules}x${row.backends}, ${row.rulesPerCall} rules per call`;
    const off = row.columnSeconds.flatMap((measured, index) => {
      const published = row.publishedSeconds[index];
      if (measured === null || published === undefined || Math.abs(measured / published - 1) <= 0.1) return [];
      return `${name}: column ${index + 1} is ${seconds(measured)} s, published ${seconds(published)} s: more than 10 % apart`;
    });
    const slow = row.oursSeconds > 1.05 * row.limitSeconds ? [`${name}: ours is ${seconds(row.oursSeconds)} s, above 1.05 x L1`] : [];
    const shared = (row.parallel ?? []).flatMap(({ loadBalancers, oursSeconds, limitSeconds }) =>
      oursSeconds <= 1.05 * limitSeconds
        ? []
        : [`${name}: ${loadBalancers} load balancers take ${seconds(oursSeconds)} s, above 1.05 x ${seconds(limitSeconds)} s`],
    );
    const behind = row.oursSeconds >= row.publishedSeconds[2] ? [`${name}: ours is behind the published third column`] : [];
    return [...off, ...slow, ...shared, ...behind];
  });
}
