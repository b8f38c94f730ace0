import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseDrainMode, type LandingNode, mayLand } from "../../../../coordinator/domain/admission/drain-mode.ts";

const NOW_MS = 1_000_000_000;
const node = (name: string, change: Partial<LandingNode> = {}): LandingNode => ({
  name,
  labels: { zone: name.slice(-1) },
  taints: [],
  virtual: false,
  createdAtMs: NOW_MS - 3_600_000,
  ...change,
});
const PROVEN = { proven: true, because: "" };
const choose = (change: Partial<Parameters<typeof chooseDrainMode>[0]>) =>
  chooseDrainMode({ wish: "auto", nodes: [], proofOf: () => PROVEN, hasSleep: true, nowMs: NOW_MS, ...change });

for (const [name, change, mode, because] of [
  ["all have proven their rule", { nodes: [node("a"), node("b")] }, "hold", /all 2 nodes/],
  [
    "one has not",
    { nodes: [node("a"), node("b")], proofOf: (one: string) => (one === "a" ? PROVEN : undefined) },
    "sleep",
    /not proven on b \(no agent/,
  ],
  [
    "one of ten has not: the others' Pods are held all the same",
    { nodes: Array.from("abcdefghij", (one) => node(one)), proofOf: (one: string) => (one === "c" ? undefined : PROVEN) },
    "hold",
    /not proven on c \(no agent/,
  ],
  [
    "two of ten have not",
    { nodes: Array.from("abcdefghij", (one) => node(one)), proofOf: (one: string) => (one < "c" ? undefined : PROVEN) },
    "sleep",
    /not proven on a \(no agent .*\), b \(/,
  ],
  [
    "one has found why not",
    { nodes: [node("a")], proofOf: () => ({ proven: false, because: "connect ECONNREFUSED" }) },
    "sleep",
    /a \(connect ECONNREFUSED\)/,
  ],
  [
    "virtual nodes and new ones do not count",
    {
      nodes: [node("a"), node("v", { virtual: true }), node("n", { createdAtMs: NOW_MS - 60_000 })],
      proofOf: (one: string) => (one === "a" ? PROVEN : undefined),
    },
    "hold",
    /all 1 nodes/,
  ],
  ["a new node that has proven its rule counts", { nodes: [node("n", { createdAtMs: NOW_MS - 1_000 })] }, "hold", /all 1 nodes/],
  ["no node at all", {}, "sleep", /no node is known/],
  [
    "none but virtual and new ones",
    { nodes: [node("v", { virtual: true }), node("n", { createdAtMs: NOW_MS - 60_000 })], proofOf: () => undefined },
    "sleep",
    /^none of the 2 nodes where it may land counts: they are virtual, or younger than 2 minutes/,
  ],
  ["without sleep", { nodes: [node("a")], proofOf: () => undefined, hasSleep: false }, "none", /does not know sleep/],
  ["somebody asks for the hold", { wish: "hold", proofOf: () => undefined }, "hold", /asked for/],
  ["somebody asks for sleep where there is none", { wish: "sleep", hasSleep: false }, "none", /does not know/],
  ["somebody asks for nothing", { wish: "none", nodes: [node("a")] }, "none", /asked for/],
] as const)
  test(`the ladder: ${name}`, () => {
    const choice = choose(change);
    assert.equal(choice.mode, mode);
    assert.match(choice.because, because);
    assert.equal(choice.isLess, !/^the agents of all|^it is asked for$/.test(choice.because));
  });

const TAINT = { key: "dedicated", value: "db", effect: "NoSchedule" };
const affinity = (...terms: object[]): object => ({
  affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } },
});
const expression = (operator: string, values?: string[], key = "zone"): object => ({ matchExpressions: [{ key, operator, values }] });
for (const [name, spec, on, lands] of [
  ["anywhere", {}, node("a"), true],
  ["its selector fits", { nodeSelector: { zone: "a" } }, node("a"), true],
  ["its selector does not", { nodeSelector: { zone: "b" } }, node("a"), false],
  ["it is bound by name", { nodeName: "b" }, node("a"), false],
  ["In", affinity(expression("In", ["a", "b"])), node("a"), true],
  ["NotIn", affinity(expression("NotIn", ["a"])), node("a"), false],
  ["NotIn without the label", affinity(expression("NotIn", ["a"], "other")), node("a"), true],
  ["Exists", affinity(expression("Exists")), node("a"), true],
  ["DoesNotExist", affinity(expression("DoesNotExist")), node("a"), false],
  [
    "Gt and Lt",
    affinity({
      matchExpressions: [
        { key: "n", operator: "Gt", values: ["3"] },
        { key: "n", operator: "Lt", values: ["9"] },
      ],
    }),
    node("a", { labels: { n: "5" } }),
    true,
  ],
  ["one of two terms", affinity(expression("In", ["x"]), expression("Exists")), node("a"), true],
  ["an empty term", affinity({}), node("a"), false],
  ["a DaemonSet's Pod", affinity({ matchFields: [{ key: "metadata.name", operator: "In", values: ["a"] }] }), node("a"), true],
  [
    "a DaemonSet's Pod of another node",
    affinity({ matchFields: [{ key: "metadata.name", operator: "In", values: ["b"] }] }),
    node("a"),
    false,
  ],
  ["a taint", {}, node("a", { taints: [TAINT] }), false],
  ["a taint that only prefers", {}, node("a", { taints: [{ ...TAINT, effect: "PreferNoSchedule" }] }), true],
  ["a taint that it tolerates", { tolerations: [{ key: "dedicated", value: "db" }] }, node("a", { taints: [TAINT] }), true],
  ["another value", { tolerations: [{ key: "dedicated", value: "web" }] }, node("a", { taints: [TAINT] }), false],
  [
    "another effect",
    { tolerations: [{ key: "dedicated", operator: "Exists", effect: "NoExecute" }] },
    node("a", { taints: [TAINT] }),
    false,
  ],
  ["everything", { tolerations: [{ operator: "Exists" }] }, node("a", { taints: [TAINT] }), true],
  ["nonsense", { nodeSelector: 5, affinity: "x", tolerations: {} }, node("a"), true],
] as const)
  test(`whether a Pod may land on a node: ${name}`, () => assert.equal(mayLand({ spec }, on), lands));
