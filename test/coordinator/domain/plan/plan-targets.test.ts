import assert from "node:assert/strict";
import { test } from "node:test";
import type { WantedBackend } from "../../../../coordinator/domain/intent/backends.ts";
import { type Holder, planTargets, type TargetChanges, type TargetView } from "../../../../coordinator/domain/plan/plan-targets.ts";
import { aBackend, aListener, aTarget } from "../../../builders.ts";

const LANES = ["conflict", "staleConflict", "drain", "bind", "unbind", "raise", "lower", "tune", "foreign", "waiting"] as const;
/** Only the lanes that have something, by address, e.g. { drain: ["10.244.1.1"] }. */
const lanes = (changes: TargetChanges): Record<string, string[]> =>
  Object.fromEntries(LANES.flatMap((lane) => (changes[lane].length === 0 ? [] : [[lane, changes[lane].map(({ ip }) => ip)]])));

const live = (podUid: string): Holder => ({ kind: "live", podUid });
const view = (change: Partial<TargetView>): TargetView => ({
  place: aListener({ targets: [aTarget()] }),
  wanted: [],
  holderOf: () => live("pod-1"),
  serving: () => true,
  broken: () => false,
  drained: () => false,
  ...change,
});
const replacement = aBackend({ podUid: "pod-2", ip: "10.244.1.2" });
const both = aListener({ targets: [aTarget(), aTarget({ ip: "10.244.1.2" })] });

const CASES: readonly (readonly [title: string, view: TargetView, expected: Record<string, string[]>])[] = [
  ["binds a wanted backend that is not bound", view({ place: aListener(), wanted: [aBackend()] }), { bind: ["10.244.1.1"] }],
  ["does not bind a backend whose containers are not ready", view({ place: aListener(), wanted: [aBackend({ bindable: false })] }), {}],
  ["keeps a bound backend whose containers are not ready any more", view({ wanted: [aBackend({ bindable: false })] }), {}],
  ["leaves a bound and wanted backend alone", view({ wanted: [aBackend()] }), {}],
  [
    "drains a terminating Pod at once, also the last one",
    view({ holderOf: () => ({ kind: "terminating", podUid: "pod-1" }) }),
    { drain: ["10.244.1.1"] },
  ],
  [
    "does not unbind while the drain lasts",
    view({ place: aListener({ targets: [aTarget({ weight: 0 })] }), holderOf: () => ({ kind: "terminating", podUid: "pod-1" }) }),
    {},
  ],
  [
    "unbinds when the drain is over",
    view({
      place: aListener({ targets: [aTarget({ weight: 0 })] }),
      holderOf: () => ({ kind: "terminating", podUid: "pod-1" }),
      drained: () => true,
    }),
    { unbind: ["10.244.1.1"] },
  ],
  [
    "takes a Pod that is over off at once, without a drain",
    view({ holderOf: () => ({ kind: "over", podUid: "pod-1", inferred: false }) }),
    { conflict: ["10.244.1.1"] },
  ],
  [
    "unbinds a drained Pod that is over before the drain time",
    view({
      place: aListener({ targets: [aTarget({ weight: 0 })] }),
      holderOf: () => ({ kind: "over", podUid: "pod-1", inferred: false }),
    }),
    { unbind: ["10.244.1.1"] },
  ],
  [
    "takes a backend off at once when its address belongs to another Pod now",
    view({ holderOf: () => ({ kind: "reused", podUid: "pod-1" }) }),
    { conflict: ["10.244.1.1"] },
  ],
  [
    "starts a slot anew whose address passed to another wanted Pod",
    view({ wanted: [aBackend({ podUid: "pod-2" })], holderOf: () => ({ kind: "reused", podUid: "pod-1" }) }),
    { conflict: ["10.244.1.1"] },
  ],
  [
    "is in no hurry with such a slot when it is drained already",
    view({
      place: aListener({ targets: [aTarget({ weight: 0 })] }),
      wanted: [aBackend({ podUid: "pod-2" })],
      holderOf: () => ({ kind: "reused", podUid: "pod-1" }),
    }),
    { staleConflict: ["10.244.1.1"] },
  ],
  ["removes nothing whose Pod is unknown", view({ holderOf: () => ({ kind: "unknown", podUid: "pod-1" }) }), { waiting: ["10.244.1.1"] }],
  ["removes nothing that somebody else bound", view({ holderOf: () => ({ kind: "foreign" }) }), { foreign: ["10.244.1.1"] }],
  ["keeps a live Pod that is not selected any more while nothing replaces it", view({}), { waiting: ["10.244.1.1"] }],
  [
    "keeps a live Pod that is not selected any more until its replacement serves",
    view({
      place: both,
      wanted: [replacement],
      holderOf: (ip) => live(ip === "10.244.1.1" ? "pod-1" : "pod-2"),
      serving: ({ ip }) => ip === "10.244.1.1",
    }),
    { waiting: ["10.244.1.1"] },
  ],
  [
    "drains a live Pod that is not selected any more once its replacement serves",
    view({ place: both, wanted: [replacement], holderOf: (ip) => live(ip === "10.244.1.1" ? "pod-1" : "pod-2") }),
    { drain: ["10.244.1.1"] },
  ],
  [
    "binds the new port of the same Pod before it drains the old one",
    view({ wanted: [aBackend({ port: 9090 })] }),
    { bind: ["10.244.1.1"], waiting: ["10.244.1.1"] },
  ],
  [
    "drains a Pod that the API server has no more: nobody saw it end",
    view({ holderOf: () => ({ kind: "over", podUid: "pod-1", inferred: true }) }),
    { drain: ["10.244.1.1"] },
  ],
  [
    "does not unbind it before its drain is over",
    view({ place: aListener({ targets: [aTarget({ weight: 0 })] }), holderOf: () => ({ kind: "over", podUid: "pod-1", inferred: true }) }),
    {},
  ],
  [
    "restores the weight of a backend that is wanted again",
    view({ place: aListener({ targets: [aTarget({ weight: 0 })] }), wanted: [aBackend()] }),
    { raise: ["10.244.1.1"] },
  ],
  [
    "puts back a weight that differs",
    view({ place: aListener({ targets: [aTarget({ weight: 3 })] }), wanted: [aBackend()] }),
    { tune: ["10.244.1.1"] },
  ],
  [
    "while the owner cannot be read, removes only what has ended",
    view({
      place: both,
      wanted: undefined,
      holderOf: (ip) => (ip === "10.244.1.1" ? live("pod-1") : { kind: "terminating", podUid: "pod-2" }),
    }),
    { drain: ["10.244.1.2"], waiting: ["10.244.1.1"] },
  ],
  [
    "while the owner cannot be read, keeps a live Pod whose weight somebody set to 0",
    view({ place: aListener({ targets: [aTarget({ weight: 0 })] }), wanted: undefined, drained: () => true }),
    { waiting: ["10.244.1.1"] },
  ],
];

for (const [title, given, expected] of CASES) test(title, () => assert.deepEqual(lanes(planTargets(given)), expected));

/** What is wanted instead of the one that is bound and not wanted any more. */
type Wanted = "serves" | "new" | "dead" | "unbound" | "refused" | "unready";
const REPLACEMENTS: readonly (readonly [wanted: readonly Wanted[], leaves: boolean])[] = [
  [[], false],
  [["serves"], true],
  [["serves", "new"], false],
  [["serves", "unbound"], false],
  // One that is broken holds nobody back for ever, but at least half must serve, and one.
  [["serves", "dead"], true],
  [["serves", "refused"], true],
  [["dead"], false],
  [["refused", "refused"], false],
  [["serves", "serves", "dead"], true],
  [["serves", "dead", "dead"], false],
  [["serves", "serves", "dead", "refused"], true],
  [["serves", "serves", "serves", "dead", "new"], false],
  // Those that are not ready are not waited for either, as little as a Pod that crashes again and again.
  [["serves", "unready"], true],
  [["unready"], false],
  [["serves", "unready", "unready"], false],
  [["serves", "dead", "unready"], false],
  [["serves", "serves", "dead", "unready"], true],
];
for (const [wanted, leaves] of REPLACEMENTS)
  test(`a Pod that is not selected any more ${leaves ? "leaves" : "stays"} where those that are: ${wanted.join(", ") || "nobody"}`, () => {
    const ip = (n: number): string => `10.244.2.${n}`;
    const backends = wanted.map((what, n) => aBackend({ podUid: `pod-${n}`, ip: ip(n), bindable: what !== "unready" }));
    const bound = [...wanted.keys()].filter((n) => wanted[n] !== "unbound" && wanted[n] !== "refused" && wanted[n] !== "unready");
    const stateOf = (address: string): Wanted | undefined => wanted[Number(address.split(".")[3])];
    const changes = planTargets(
      view({
        place: aListener({ targets: [aTarget(), ...bound.map((n) => aTarget({ ip: ip(n) }))] }),
        wanted: backends,
        holderOf: (address) => live(address === "10.244.1.1" ? "pod-quarantined" : `pod-${address.split(".")[3]}`),
        serving: (target) => target.ip === "10.244.1.1" || stateOf(target.ip) === "serves",
        broken: (backend, target) => stateOf(backend.ip) === (target === undefined ? "refused" : "dead"),
      }),
    );
    assert.deepEqual([changes.drain.length, changes.waiting.length], leaves ? [1, 0] : [0, 1]);
  });

for (const [title, isPartial, expected] of [
  ["of Pods that end all together, those that are held leave where no more are wanted than serve", false, { drain: 4, waiting: 1 }],
  ["but not while Nodes have yet to tell what is wanted", true, { drain: 0, waiting: 5 }],
] as const)
  test(title, () => {
    const holderOf = (ip: string): Holder => {
      const n = Number(ip.slice(-1));
      if (n <= 4) return { kind: "terminating", podUid: `pod-${n}` };
      return n === 5 ? live("pod-5") : { kind: "unknown", podUid: "pod-6" };
    };
    const { drain, waiting } = planTargets(
      view({
        place: aListener({ targets: [1, 2, 3, 4, 5, 6].map((n) => aTarget({ ip: `10.244.1.${n}` })) }),
        wanted: [aBackend({ podUid: "pod-5", ip: "10.244.1.5" })],
        holderOf,
        serving: ({ ip }) => ip !== "10.244.1.6",
        lasting: () => ({ untilMs: 15_000, sightMs: 15_000, isReady: true, isPartial }),
        nowMs: 1_000,
      }),
    );
    assert.deepEqual({ drain: drain.length, waiting: waiting.length }, expected);
  });

test("does not depend on the order of wanted backends or bound targets", () => {
  const wanted: WantedBackend[] = [1, 2, 3, 4, 5].map((n) => aBackend({ podUid: `pod-${n}`, ip: `10.244.1.${n}` }));
  const targets = [4, 5, 6, 7].map((n) => aTarget({ ip: `10.244.1.${n}` }));
  const holderOf = (ip: string): Holder => ({ kind: Number(ip.slice(-1)) > 5 ? "terminating" : "live", podUid: `pod-${ip.slice(-1)}` });
  const sorted = (changes: TargetChanges): Record<string, string[]> =>
    Object.fromEntries(Object.entries(lanes(changes)).map(([lane, ips]) => [lane, ips.toSorted()]));
  const forward = sorted(planTargets(view({ wanted, place: aListener({ targets }), holderOf })));
  const backward = sorted(
    planTargets(view({ wanted: wanted.toReversed(), place: aListener({ targets: targets.toReversed() }), holderOf })),
  );
  assert.deepEqual(forward, { drain: ["10.244.1.6", "10.244.1.7"], bind: ["10.244.1.1", "10.244.1.2", "10.244.1.3"] });
  assert.deepEqual(backward, forward);
});
