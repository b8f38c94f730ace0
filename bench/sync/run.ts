/** What `npm run bench:sync` does; main.ts reads its options before any of this is loaded, which takes a second. */
import { writeFile } from "node:fs/promises";
import { block } from "./block.ts";
import { changes } from "./changes.ts";
import { earlyBinds } from "./early-bind.ts";
import { newLeader } from "./new-leader.ts";
import {
  blockFailings,
  blockText,
  changesText,
  earlyBindText,
  failings,
  LEGEND,
  newLeaderFailings,
  newLeaderText,
  rolloutFailings,
  rolloutTable,
  rowsTable,
} from "./print.ts";
import { rollout } from "./rollout.ts";
import { type ResultRow, virtualRows, wireRow } from "./rows.ts";
import { PUBLISHED, type PublishedRow } from "./tables.ts";

export type Options = {
  readonly quick: boolean;
  readonly wire: boolean;
  /** How many times as fast as real time the wire runs. */
  readonly scale: number;
  readonly json?: string | undefined;
  readonly noRollout: boolean;
};

/** Rules per CreateRule, which is documented nowhere (clb-api.md §9): 20 fits the published tables, 50 fills a listener at once. */
const RULES_PER_CALL = { A: [20], B: [20, 50] } as const;
const LOAD_BALANCERS = [4, 10];
/** As many as an account may have by default in a region (DescribeQuota). */
const LEADER_LOAD_BALANCERS = 300;
/** How far ours over the wire may be from ours in virtual time. */
const WIRE_TOLERANCE = 0.05;

const isQuick = ({ table, rules, backends }: PublishedRow): boolean =>
  table === "A" ? backends === 10 || backends === 30 : rules === 100 || rules === 200;

/** False where a limit is missed. */
export async function run({ quick, wire, scale, json, noRollout }: Options): Promise<boolean> {
  const rows: ResultRow[] = [];
  for (const row of quick ? PUBLISHED.filter(isQuick) : PUBLISHED)
    rows.push(...(await virtualRows(row, RULES_PER_CALL[row.table], quick ? [] : LOAD_BALANCERS)));
  console.log("Seconds of the cloud's time, profile tke2020, one load balancer. Columns: published/measured.\n");
  console.log(`${rowsTable(rows)}\n\n${LEGEND}`);
  const failed = failings(rows);
  const leader = quick ? undefined : await newLeader(LEADER_LOAD_BALANCERS);
  if (leader !== undefined) {
    console.log(`\n${newLeaderText(leader)}`);
    failed.push(...newLeaderFailings(leader));
  }
  const pods = await block();
  console.log(`\n${blockText(pods)}`);
  failed.push(...blockFailings(pods));
  const early = quick ? undefined : await earlyBinds();
  if (early !== undefined) console.log(`\n${earlyBindText(early)}`);

  const wired: ResultRow[] = [];
  if (wire) {
    // All at once: they wait for the cloud nearly all of the time.
    wired.push(...(await Promise.all(PUBLISHED.filter(isQuick).map((row) => wireRow(row, RULES_PER_CALL[row.table][0], scale)))));
    console.log(`\nThe same over real HTTP and the real SDK, ${scale} times as fast as real time.\n\n${rowsTable(wired)}`);
    failed.push(...apart(wired, rows));
  }
  const real = quick || noRollout ? undefined : await inRealTime();
  failed.push(...rolloutFailings(real?.rollouts ?? []));
  if (json !== undefined)
    await writeFile(
      json,
      `${JSON.stringify({ rows, wire: wired, newLeader: leader, block: pods, earlyBind: early, ...real }, undefined, 2)}\n`,
    );
  for (const line of failed) console.error(`MISSED ${line}`);
  return failed.length === 0;
}

/** Over HTTP, with the clock on the wall: a rollout through whole processes, and many small changes. */
async function inRealTime() {
  const rollouts = [
    await rollout({ replicas: 200, profile: "tke2020", checks: true }),
    await rollout({ replicas: 200, profile: "fast", checks: true }),
    await rollout({ replicas: 6, profile: "fast", checks: false }),
  ];
  console.log(`\nA rollout in real time, maxSurge 25 %: figure/limit.\n\n${rolloutTable(rollouts)}\n`);
  const figures = await changes();
  console.log(changesText(figures));
  return { rollout: rollouts[0], rollouts, changes: figures };
}

function apart(wired: readonly ResultRow[], rows: readonly ResultRow[]): string[] {
  return wired.flatMap((row) => {
    const same = rows.find((other) => other.table === row.table && other.rules === row.rules && other.backends === row.backends);
    if (same === undefined || Math.abs(row.oursSeconds / same.oursSeconds - 1) <= WIRE_TOLERANCE) return [];
    return `${row.table} ${row.rules}x${row.backends}: ${row.oursSeconds.toFixed(1)} s over the wire, ${same.oursSeconds.toFixed(1)} s in virtual time`;
  });
}
