import assert from "node:assert/strict";
import { test } from "node:test";
import { failings } from "../../bench/sync/print.ts";
import { virtualRows } from "../../bench/sync/rows.ts";
import { PUBLISHED } from "../../bench/sync/tables.ts";

test("the first row of each table: the columns reproduce what was published, ours keeps its limit, alone and four abreast", async () => {
  for (const table of ["A", "B"] as const) {
    const row = PUBLISHED.find((candidate) => candidate.table === table);
    assert.ok(row !== undefined);
    const results = await virtualRows(row, [20, 50], [4]);
    assert.deepEqual(failings(results), []);
    for (const { parallel } of results)
      for (const { oursSeconds, limitSeconds } of parallel ?? [])
        assert.ok(oursSeconds <= 1.05 * limitSeconds, `${table}: ${oursSeconds} s`);
  }
});

test("a column that is off, a limit that is missed and a third column that is ahead are told", () => {
  const published = [100, 50, 10] as const;
  const row = { table: "A", rules: 2, backends: 3, rulesPerCall: 20, publishedSeconds: published, limitSeconds: 9, calls: 1 } as const;
  assert.deepEqual(failings([{ ...row, columnSeconds: [109, null, 10], oursSeconds: 9.4 }]), []);
  assert.equal(failings([{ ...row, columnSeconds: [111, null, 10], oursSeconds: 9.5 }]).length, 2);
  assert.equal(failings([{ ...row, columnSeconds: [100, 50, 10], oursSeconds: 10 }]).length, 2);
});
