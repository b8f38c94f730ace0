import assert from "node:assert/strict";
import { test } from "node:test";
import { holderOf } from "../../../../coordinator/domain/plan/address-holder.ts";
import type { Holder } from "../../../../coordinator/domain/plan/plan-targets.ts";
import { aPod } from "../../../builders.ts";

type Known = Parameters<typeof holderOf>[0];
const known = (change: Partial<Known>): Known => ({
  claimed: undefined,
  claimedPod: undefined,
  claimedEnd: undefined,
  present: undefined,
  complete: false,
  ...change,
});
const pod = aPod();
const ending = aPod({ deletionAtMs: 1 });
const over = aPod({ phase: "Succeeded" });
const other = aPod({ uid: "pod-2" });
const otherEnding = aPod({ uid: "pod-2", deletionAtMs: 1 });

const HOLDERS: readonly (readonly [title: string, known: Partial<Known>, expected: Holder])[] = [
  ["nobody knows the address, and not every node has told", {}, { kind: "unknown", podUid: undefined }],
  ["nobody knows the address, and all nodes have told", { complete: true }, { kind: "foreign" }],
  ["no claim, a Pod has it", { present: pod }, { kind: "live", podUid: "pod-1" }],
  ["no claim, an ending Pod has it", { present: ending }, { kind: "terminating", podUid: "pod-1" }],
  ["no claim, a finished Pod had it", { present: over }, { kind: "over", podUid: "pod-1", inferred: false }],
  ["ours, alive", { claimed: "pod-1", claimedPod: pod, present: pod }, { kind: "live", podUid: "pod-1" }],
  ["ours, ending", { claimed: "pod-1", claimedPod: ending, present: ending }, { kind: "terminating", podUid: "pod-1" }],
  ["ours, finished", { claimed: "pod-1", claimedPod: over, present: over }, { kind: "over", podUid: "pod-1", inferred: false }],
  ["ours, its deletion was seen", { claimed: "pod-1", claimedEnd: "deleted" }, { kind: "over", podUid: "pod-1", inferred: false }],
  ["ours, the API server has it no more", { claimed: "pod-1", claimedEnd: "gone" }, { kind: "over", podUid: "pod-1", inferred: true }],
  ["ours, nothing known, not every node has told", { claimed: "pod-1" }, { kind: "unknown", podUid: "pod-1" }],
  ["ours, nothing known, every node has told", { claimed: "pod-1", complete: true }, { kind: "unknown", podUid: "pod-1" }],
  ["another Pod has it now", { claimed: "pod-1", present: other }, { kind: "reused", podUid: "pod-1" }],
  [
    "another Pod has it now, ours is still known",
    { claimed: "pod-1", claimedPod: ending, present: other },
    { kind: "reused", podUid: "pod-1" },
  ],
  [
    "a Pod that ends and still has the address takes nothing from ours, of which nobody has told yet",
    { claimed: "pod-1", present: otherEnding },
    { kind: "unknown", podUid: "pod-1" },
  ],
  [
    "a Pod that ends takes nothing from ours",
    { claimed: "pod-1", claimedPod: pod, present: otherEnding },
    { kind: "live", podUid: "pod-1" },
  ],
  [
    "a Pod that ends has it, ours is not known although every node has told",
    { claimed: "pod-1", present: otherEnding, complete: true },
    { kind: "unknown", podUid: "pod-1" },
  ],
  [
    "a finished Pod that is still listed with the address takes nothing from ours",
    { claimed: "pod-1", claimedPod: pod, present: aPod({ uid: "pod-2", phase: "Failed" }) },
    { kind: "live", podUid: "pod-1" },
  ],
];

for (const [title, given, expected] of HOLDERS)
  test(`who is behind an address: ${title}`, () => assert.deepEqual(holderOf(known(given)), expected));
