import assert from "node:assert/strict";
import { test } from "node:test";
import { type LeaseStep, leaseStep, mayWrite, type SeenLease, see, LEASE_TIMES as times } from "../../../coordinator/leader/lease.ts";

const lease = (change: Partial<SeenLease> = {}): SeenLease => ({
  resourceVersion: "7",
  holder: "other",
  durationMs: 4_000,
  transitions: 1,
  changedAtMs: 10_000,
  ...change,
});
const step = (change: Partial<SeenLease>, nowMs: number, renewedAtMs?: number): LeaseStep =>
  leaseStep({ lease: lease(change), identity: "me", renewedAtMs, nowMs, times });

const CASES: readonly (readonly [title: string, got: LeaseStep, expected: LeaseStep])[] = [
  ["takes a Lease that does not exist", step({ resourceVersion: "", holder: "", durationMs: 0 }, 10_000), { kind: "acquire" }],
  ["takes a Lease that was given up at once", step({ holder: "", durationMs: 1_000 }, 10_000), { kind: "acquire" }],
  ["waits where somebody cleared the holder by hand", step({ holder: "" }, 10_001), { kind: "wait", ms: 250 }],
  ["waits where another's Lease was deleted", step({ resourceVersion: "" }, 10_001), { kind: "wait", ms: 250 }],
  ["takes a deleted Lease when its holder must have learnt of it", step({ resourceVersion: "" }, 14_000), { kind: "acquire" }],
  ["makes its own anew when that was deleted", step({ resourceVersion: "", holder: "me" }, 11_000, 10_000), { kind: "renew" }],
  ["waits for a fresh Lease of another, looking often", step({}, 10_001), { kind: "wait", ms: 250 }],
  ["waits only for the rest of it", step({}, 13_900), { kind: "wait", ms: 100 }],
  ["takes a Lease that was not renewed for its whole life as we saw it", step({}, 14_000), { kind: "acquire" }],
  ["does not believe a Lease shorter than ours", step({ durationMs: 1_000 }, 11_500), { kind: "wait", ms: 250 }],
  ["waits longer where the holder says so", step({ durationMs: 15_000 }, 20_000), { kind: "wait", ms: 250 }],
  ["renews its own after a second", step({ holder: "me" }, 11_000, 10_000), { kind: "renew" }],
  ["does not renew its own earlier", step({ holder: "me" }, 10_400, 10_000), { kind: "wait", ms: 600 }],
  ["treats its own name without having written it as another's", step({ holder: "me" }, 10_001), { kind: "wait", ms: 250 }],
];
for (const [title, got, expected] of CASES) test(title, () => assert.deepEqual(got, expected));

test("writes stop at two thirds of the Lease, counted from the beginning of the renewal", () => {
  assert.deepEqual([mayWrite(undefined, 0, times), mayWrite(1_000, 3_699, times), mayWrite(1_000, 3_700, times)], [false, true, false]);
});

test("a Lease that was deleted stays its last holder's, from the first read that missed it", () => {
  const gone = see(lease(), undefined, 12_000);
  assert.deepEqual(gone, lease({ resourceVersion: "", changedAtMs: 12_000 }));
  assert.deepEqual(see(gone, undefined, 13_000), gone);
  assert.deepEqual(
    see(undefined, undefined, 13_000),
    lease({ resourceVersion: "", holder: "", durationMs: 0, transitions: 0, changedAtMs: 13_000 }),
  );
});

test("a read moves the time of change only with the resourceVersion", () => {
  const known = lease();
  assert.equal(see(known, { ...known, holder: "renamed by nobody" }, 12_000).changedAtMs, 10_000);
  assert.equal(see(known, { ...known, resourceVersion: "8" }, 12_000).changedAtMs, 12_000);
  assert.equal(see(undefined, known, 12_000).changedAtMs, 12_000);
});
