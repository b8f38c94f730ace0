import assert from "node:assert/strict";
import { test } from "node:test";
import { differenceOf, firstAddresses, planReport, type Report } from "../../../agent/domain/plan-report.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import { aPod } from "../../builders.ts";

const byUid = (...pods: PodFact[]): ReadonlyMap<string, PodFact> => new Map(pods.map((pod) => [pod.uid, pod]));
const aReport = (pods: readonly PodFact[], deleted: readonly string[] = []): Report => ({
  pods: byUid(...pods),
  deleted: new Set(deleted),
});

test("joins each Pod with the interface that carries it", () => {
  const eth1 = { name: "eth1", mac: "20:90:6f:01:02:03", kind: "eni", table: 4002 } as const;
  const { pods } = planReport({
    pods: byUid(aPod({ uid: "a" }), aPod({ uid: "b", ips: ["10.244.1.2"] })),
    found: new Map([["a", { hostInterface: eth1, note: "" }]]),
    deleted: new Set(),
  });
  assert.deepEqual(
    [...pods.values()].map(({ uid, hostInterface }) => [uid, hostInterface]),
    [
      ["a", eth1],
      ["b", undefined],
    ],
  );
});

test("the first address counts; a Pod without one has none", () => {
  const pods = byUid(aPod({ uid: "a", ips: ["10.244.1.1", "fd00::1"] }), aPod({ uid: "b", ips: [] }));
  assert.deepEqual([...firstAddresses(pods)], [["a", "10.244.1.1"]]);
});

const LO = { name: "lo", mac: "", kind: "node", table: 0 } as const;

test("an ENI in the Pod's own namespace is known by what multus wrote", () => {
  const networks = { asked: [], statusName: "tke-direct-eni", statusMac: "20:90:6f:01:02:03", fault: "" };
  const found = new Map([["a", { hostInterface: undefined, note: "no rule, route or subnet of this node carries 10.244.1.1" }]]);
  const pod = planReport({ pods: byUid(aPod({ uid: "a", networks })), found, deleted: new Set() }).pods.get("a");
  assert.deepEqual(pod?.hostInterface, { name: "", mac: "20:90:6f:01:02:03", kind: "pod", table: 0 });
  assert.equal(pod?.networkNote, "");
});

test("says of each Pod what is not known and why: an address twice, an annotation that cannot be read, no carrier", () => {
  const networks = { asked: [], statusName: "", statusMac: "", fault: "annotation x counts as absent" };
  const pods = byUid(
    aPod({ uid: "a", name: "web-1" }),
    aPod({ uid: "b", name: "web-2", networks }),
    aPod({ uid: "c", name: "done", phase: "Succeeded" }),
    aPod({ uid: "d", hostNetwork: true }),
  );
  const found = new Map([["b", { hostInterface: undefined, note: "nothing carries it" }]]);
  const told = planReport({ pods, found, deleted: new Set() }).pods;
  assert.equal(told.get("a")?.networkNote, "10.244.1.1 is the address of demo/web-2 as well");
  assert.equal(
    told.get("b")?.networkNote,
    "annotation x counts as absent; 10.244.1.1 is the address of demo/web-1 as well; nothing carries it",
  );
  assert.equal(told.get("d")?.networkNote, "");
});

const cases: readonly { name: string; told: Report; now: Report; changed: readonly string[]; removed: readonly object[] }[] = [
  { name: "a new Pod", told: aReport([]), now: aReport([aPod()]), changed: ["pod-1"], removed: [] },
  {
    name: "a new resourceVersion",
    told: aReport([aPod()]),
    now: aReport([aPod({ resourceVersion: "2" })]),
    changed: ["pod-1"],
    removed: [],
  },
  {
    name: "an interface found",
    told: aReport([aPod()]),
    now: aReport([aPod({ hostInterface: LO })]),
    changed: ["pod-1"],
    removed: [],
  },
  {
    name: "another MAC",
    told: aReport([aPod({ hostInterface: LO })]),
    now: aReport([aPod({ hostInterface: { ...LO, mac: "a" } })]),
    changed: ["pod-1"],
    removed: [],
  },
  {
    name: "another way to it",
    told: aReport([aPod({ hostInterface: LO })]),
    now: aReport([aPod({ hostInterface: { ...LO, kind: "eni", table: 4_002 } })]),
    changed: ["pod-1"],
    removed: [],
  },
  {
    name: "what is not known any more",
    told: aReport([aPod()]),
    now: aReport([aPod({ networkNote: "no rule, route or subnet of this node carries 10.244.1.1" })]),
    changed: ["pod-1"],
    removed: [],
  },
  {
    name: "a deletion",
    told: aReport([aPod()]),
    now: aReport([], ["pod-1"]),
    changed: [],
    removed: [{ uid: "pod-1", evidence: "deleted" }],
  },
  {
    name: "an absence",
    told: aReport([aPod()]),
    now: aReport([], ["other"]),
    changed: [],
    removed: [{ uid: "pod-1", evidence: "absent" }],
  },
  {
    name: "a Pod replaced under its name",
    told: aReport([aPod({ uid: "old" })]),
    now: aReport([aPod({ uid: "new" })], ["old"]),
    changed: ["new"],
    removed: [{ uid: "old", evidence: "deleted" }],
  },
];
for (const { name, told, now, changed, removed } of cases)
  test(`tells ${name}, once`, () => {
    const difference = differenceOf(told, now);
    assert.deepEqual(
      difference?.changed.map(({ uid }) => uid),
      changed,
    );
    assert.deepEqual(difference?.removed, removed);
    const pods = new Map(told.pods);
    for (const pod of difference?.changed ?? []) pods.set(pod.uid, pod);
    for (const { uid } of difference?.removed ?? []) pods.delete(uid);
    assert.deepEqual(pods, now.pods);
    assert.equal(differenceOf({ pods, deleted: told.deleted }, now), undefined, "the fixed point");
  });

test("has nothing to tell of a Pod deleted before it was ever told", () => {
  assert.equal(differenceOf(aReport([]), aReport([], ["pod-1"])), undefined);
});
