import assert from "node:assert/strict";
import { test } from "node:test";
import { type PlacedNode, placementOf } from "../../../../coordinator/domain/admission/placement.ts";

const node = (name: string, change: Partial<PlacedNode> = {}): PlacedNode => ({ name, labels: { zone: name }, taints: [], ...change });
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
  test(`whether a Pod may land on a node: ${name}`, () => assert.equal(placementOf({ spec }).mayLand(on), lands));

/** A node that counts how often its labels are read. */
function aCountedNode(): { readonly node: PlacedNode; readonly reads: () => number } {
  let reads = 0;
  const labels = new Proxy({}, { get: () => void (reads += 1) });
  return { node: { name: "a", labels, taints: [TAINT] }, reads: () => reads };
}

test("a Pod with thousands of conditions takes no walk over them for each node: every node counts", () => {
  const many = <T>(one: (at: number) => T): T[] => Array.from({ length: 10_000 }, (_, at) => one(at));
  for (const spec of [
    affinity(...many(() => expression("In", ["x"]))),
    affinity({ matchExpressions: many(() => ({ key: "zone", operator: "DoesNotExist" })) }),
    { nodeSelector: Object.fromEntries(many((at) => [`label-${at}`, "x"])) },
    { tolerations: many((at) => ({ key: `key-${at}` })) },
    affinity(
      expression(
        "NotIn",
        many((at) => `value-${at}`),
      ),
    ),
  ]) {
    const { node: counted, reads } = aCountedNode();
    const { key, mayLand } = placementOf({ spec });
    assert.equal(mayLand(counted), true);
    assert.equal(reads(), 0);
    assert.ok(key.length < 100, key.slice(0, 200));
  }
});

test("only what decides where a Pod may land is in its key", () => {
  const zone = affinity(expression("In", ["a"]));
  const key = (spec: object): string => placementOf({ metadata: { name: "web-1" }, spec }).key;
  assert.equal(key({ ...zone, containers: [{ name: "web" }] }), key(zone));
  const keys = [{}, zone, { nodeName: "a" }, { nodeSelector: { zone: "a" } }, { tolerations: [{ operator: "Exists" }] }].map(key);
  assert.equal(new Set(keys).size, keys.length);
});
