import assert from "node:assert/strict";
import { test } from "node:test";
import { soak } from "../../../bench/cloud/soak.ts";
import { makeLedger } from "../../../bench/cloud/soak-ledger.ts";
import { isReached, table } from "../../../bench/cloud/table.ts";
import { withCloud } from "./fixture.ts";

test("a minute and a half of random calls and faults: no crash, no leak, each call in the journal once", { timeout: 60_000 }, async (t) => {
  const figures = await soak({ minutes: 1.5, scale: 20, seed: 7, report: (line) => t.diagnostic(line) });
  assert.deepEqual(
    figures.filter((figure) => !isReached(figure)),
    [],
  );
  const [calls, entries] = figures;
  assert.ok(calls !== undefined && calls.value > 30, `${calls?.value} calls`);
  assert.ok(entries !== undefined && entries.value > calls.value, `${entries?.value} entries`);
});

test("the ledger of a soak finds a call that the journal lacks, and one that it has and nobody made", async (t) => {
  const { cloud, sdk, adminUrl } = await withCloud(t, { dataPlane: false });
  const ledger = makeLedger(adminUrl);
  await ledger.note("DescribeQuota", () => sdk.DescribeQuota(null));
  cloud.faults.add({ kind: "reset", count: 1 });
  await ledger.note("DescribeQuota", () => sdk.DescribeQuota(null));
  await ledger.readJournal();
  assert.deepEqual(ledger.faults(), []);
  await ledger.note("DescribeTargets", async () => ({ RequestId: "never-sent" }));
  await sdk.DescribeLoadBalancers({});
  await ledger.readJournal();
  assert.deepEqual(ledger.faults(), [
    "DescribeTargets was called 1 times, and is in the journal 0 times",
    "DescribeLoadBalancers was called 0 times, and is in the journal 1 times",
    "request never-sent is in the journal 0 times",
  ]);
});

test("the ledger of a soak finds a gap in the journal", async (t) => {
  const { sdk, adminUrl } = await withCloud(t, { dataPlane: false, journalSize: 2 });
  const ledger = makeLedger(adminUrl);
  for (let turn = 0; turn < 4; turn++) await ledger.note("DescribeQuota", () => sdk.DescribeQuota(null));
  await ledger.readJournal();
  assert.equal(ledger.faults()[0], "after entry 0 of the journal comes 3");
});

test("a table of figures has the limit beside each, and marks what missed it", () => {
  const figures = [
    { name: "calls", value: 3449.2, unit: "/s", goal: { atLeast: 2000 } },
    { name: "CPU of a batch", value: 6.214, unit: "ms", goal: { atMost: 5 } },
    { name: "heap", value: 24, unit: "MiB" },
  ];
  assert.equal(
    table(figures),
    [
      "calls            3449 /s  at least 2000 /s  reached",
      "CPU of a batch   6.21 ms  at most 5 ms      MISSED",
      "heap            24.0 MiB",
    ].join("\n"),
  );
});
