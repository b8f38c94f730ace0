import { batched, before, type Column, optimised } from "./columns.ts";
import { LISTENER, makeOurs } from "./ours.ts";
import { type Bed, growthOf, type RowSetup, virtualBed, wireBed, wishOf } from "./site.ts";
import { lowerBoundSeconds, type PublishedRow } from "./tables.ts";

/** One line of the result; seconds of the cloud's time. A column that was not run is null. */
export type ResultRow = {
  readonly table: "A" | "B";
  readonly rules: number;
  readonly backends: number;
  readonly rulesPerCall: number;
  readonly publishedSeconds: PublishedRow["publishedSeconds"];
  readonly columnSeconds: readonly [number | null, number | null, number | null];
  readonly oursSeconds: number;
  readonly limitSeconds: number;
  /** API calls of ours, reads included. */
  readonly calls: number;
  /** Ours with the same rules spread over so many load balancers, and the bound for each of them. */
  readonly parallel?: readonly { readonly loadBalancers: number; readonly oursSeconds: number; readonly limitSeconds: number }[];
};

/** The second column of table B has no known mechanism (clb-api.md §7.4): it is printed as published and not run. */
const COLUMNS: { readonly [table in PublishedRow["table"]]: readonly (Column | undefined)[] } = {
  A: [before, batched, optimised],
  B: [before, undefined, optimised],
};

/** How many rules per CreateRule the columns are run with: what fits both published tables (clb-api.md §7.4). */
const PUBLISHED_RULES_PER_CALL = 20;

/** Everything of one row in virtual time: once for each number of rules per CreateRule; the columns keep theirs. */
export async function virtualRows(row: PublishedRow, perCall: readonly number[], loadBalancers: readonly number[]): Promise<ResultRow[]> {
  const published: RowSetup = { row, rulesPerCall: PUBLISHED_RULES_PER_CALL, listenerName: LISTENER };
  const columns: (number | null)[] = [];
  for (const column of COLUMNS[row.table])
    columns.push(column === undefined ? null : await columnOn(await virtualBed(published), published, column));
  const results: ResultRow[] = [];
  for (const rulesPerCall of perCall) {
    const setup = { ...published, rulesPerCall };
    const ours = await oursOn(await virtualBed(setup), setup);
    const parallel = [];
    for (const count of loadBalancers) {
      const share: RowSetup = { ...setup, row: { ...row, rules: Math.ceil(row.rules / count) }, loadBalancers: count };
      const { seconds } = await oursOn(await virtualBed(share), share);
      parallel.push({ loadBalancers: count, oursSeconds: seconds, limitSeconds: lowerBoundSeconds(share.row, rulesPerCall) });
    }
    results.push({ ...resultOf(setup, columns, ours), parallel });
  }
  return results;
}

/** The third column and ours over real HTTP; the slow columns would take hours at any scale that a machine can follow. */
export async function wireRow(row: PublishedRow, rulesPerCall: number, scale: number): Promise<ResultRow> {
  const setup: RowSetup = { row, rulesPerCall, listenerName: LISTENER };
  const third = async (): Promise<number> => await columnOn(await wireBed(setup, scale), setup, optimised);
  const ours = async (): ReturnType<typeof oursOn> => await oursOn(await wireBed(setup, scale), setup);
  const [seconds, figures] = await Promise.all([third(), ours()]);
  return resultOf(setup, [null, null, seconds], figures);
}

function resultOf(
  { row, rulesPerCall }: RowSetup,
  columns: readonly (number | null)[],
  ours: { readonly seconds: number; readonly calls: number },
): ResultRow {
  const [first = null, second = null, third = null] = columns;
  return {
    ...row,
    rulesPerCall,
    columnSeconds: [first, second, third],
    oursSeconds: ours.seconds,
    limitSeconds: lowerBoundSeconds(row, rulesPerCall),
    calls: ours.calls,
  };
}

async function columnOn(bed: Bed, setup: RowSetup, column: Column): Promise<number> {
  const fromMs = bed.clock.now();
  await bed.run(Promise.all(bed.sites.map((site) => column(site, growthOf(setup)))));
  const seconds = (bed.clock.now() - fromMs) / 1000;
  await bed.stop();
  return seconds;
}

async function oursOn(bed: Bed, setup: RowSetup): Promise<{ readonly seconds: number; readonly calls: number }> {
  const fromMs = bed.clock.now();
  const ours = makeOurs({ ...bed, rulesPerCall: setup.rulesPerCall });
  await bed.run(ours.converge(new Map(bed.sites.map(({ loadBalancerId }) => [loadBalancerId, wishOf(setup)]))));
  const result = { seconds: (bed.clock.now() - fromMs) / 1000, calls: bed.calls() };
  await ours.stop();
  await bed.stop();
  return result;
}
