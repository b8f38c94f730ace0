/**
 * The published measurements that the benchmark replays, and the lower bounds beside them. All times in seconds.
 * Source: "Directly connecting TKE to the CLB of pods based on the ENI", tables of the chapter on performance (clb-api.md §7.1, §7.3).
 */

export type TableName = "A" | "B";

/** One published row: before, batched calls, batched calls with optimised reads of the backends. */
export type PublishedRow = {
  readonly table: TableName;
  /** L7 rules on the load balancer when the row is over. */
  readonly rules: number;
  /** Backends per rule when the row is over. */
  readonly backends: number;
  readonly publishedSeconds: readonly [before: number, batched: number, optimised: number];
};

/** A: 200 rules, the cluster grows from 1 node to so many. B: 50 nodes, the rules grow from 1 to so many. */
export const PUBLISHED: readonly PublishedRow[] = [
  { table: "A", rules: 200, backends: 10, publishedSeconds: [1313, 227.9, 31.5] },
  { table: "A", rules: 200, backends: 20, publishedSeconds: [1715, 449.8, 51.2] },
  { table: "A", rules: 200, backends: 30, publishedSeconds: [2827, 665.6, 69.1] },
  { table: "A", rules: 200, backends: 40, publishedSeconds: [3373, 861.6, 90.7] },
  { table: "A", rules: 200, backends: 50, publishedSeconds: [4240, 1085.0, 106.4] },
  { table: "B", rules: 100, backends: 50, publishedSeconds: [1632, 452, 68.6] },
  { table: "B", rules: 200, backends: 50, publishedSeconds: [3400, 693, 141.0] },
  { table: "B", rules: 300, backends: 50, publishedSeconds: [5630, 848, 236.9] },
  { table: "B", rules: 400, backends: 50, publishedSeconds: [7563, 1029, 335.7] },
];

/** Where a row begins: what is there already, so that only the growth is measured. */
export const startOf = ({ table, rules, backends }: PublishedRow): { readonly rules: number; readonly backends: number } =>
  table === "A" ? { rules, backends: 1 } : { rules: 1, backends };

const TARGETS_PER_CALL = 500;
/** End-to-end time of one write at a load balancer with so many rules. Source: clb-api.md §7.2. */
const tau = (rules: number): number => 3.88 + 0.005 * rules;
/** The state of the load balancer is read once. Source: clb-api.md §7.6. */
const READ_SECONDS = 0.1;

/**
 * L1: one load balancer, strictly serial writes, every call full, the state known; rules created `rulesPerCall` at a time first, then
 * everything bound. Source: clb-api.md §7.6. Binding between the creations meets fewer rules per write and can come in below.
 */
export function lowerBoundSeconds({ table, rules, backends }: PublishedRow, rulesPerCall: number): number {
  if (table === "A") return READ_SECONDS + Math.ceil((rules * (backends - 1)) / TARGETS_PER_CALL) * tau(rules);
  let seconds = READ_SECONDS + Math.ceil((backends * (rules - 1)) / TARGETS_PER_CALL) * tau(rules);
  for (let there = 1; there < rules; there += rulesPerCall) seconds += tau(there);
  return seconds;
}
