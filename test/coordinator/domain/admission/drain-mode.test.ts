import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseDrainMode, type LandingNode } from "../../../../coordinator/domain/admission/drain-mode.ts";

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
