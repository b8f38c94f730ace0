import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../../../common/names.ts";
import { checkedPatch, hasGate, type Operation, patched, wantsGate } from "../../../../coordinator/domain/admission/pod-patch.ts";

const GATE = { conditionType: DEFAULT_GATE_TYPE };
const OTHER = { conditionType: "x.io/y" };
const pod = (spec: object, metadata: object = {}): object => ({
  metadata: { labels: { app: "web" }, ...metadata },
  spec: { containers: [], ...spec },
});

for (const [name, spec, gates] of [
  ["a plain Pod", {}, [GATE]],
  ["another gate stays before ours", { readinessGates: [OTHER] }, [OTHER, GATE]],
  ["an empty list", { readinessGates: [] }, [GATE]],
  ["null, as some generators write it", { readinessGates: null }, [GATE]],
] as const)
  test(`the patch gives the gate once, and a second pass changes nothing: ${name}`, () => {
    const before = pod(spec);
    const copy = structuredClone(before);
    const operations = checkedPatch(before, DEFAULT_GATE_TYPE);
    assert.equal(operations.length, 1);
    const after = patched(before, operations);
    assert.deepEqual(Reflect.get(Object(Reflect.get(Object(after), "spec")), "readinessGates"), gates);
    assert.deepEqual(checkedPatch(after, DEFAULT_GATE_TYPE), []);
    assert.deepEqual(before, copy, "the object of the review is left as it is");
  });

for (const [name, input] of [
  ["the gate is there", pod({ readinessGates: [OTHER, GATE] })],
  ["the gate is there twice", pod({ readinessGates: [GATE, GATE] })],
  ["no Pod at all", "nonsense"],
  ["nothing", undefined],
  ["no spec", { metadata: {} }],
] as const)
  test(`no patch: ${name}`, () => assert.deepEqual(checkedPatch(input, DEFAULT_GATE_TYPE), []));

test("a patch that would not apply is never answered", () => {
  assert.throws(() => patched({}, [{ op: "add", path: "/spec/readinessGates/-", value: GATE }]), RangeError);
  assert.equal(hasGate(pod({ readinessGates: [GATE] }), DEFAULT_GATE_TYPE), true);
});

test("operations are carried out in their order, one on what another has added; the object given stays as it is", () => {
  const before = pod({ containers: [{ name: "a", lifecycle: { preStop: {}, postStart: {} } }, { name: "b" }] });
  const copy = structuredClone(before);
  const after = patched(before, [
    { op: "remove", path: "/spec/containers/0/lifecycle/preStop" },
    { op: "add", path: "/spec/readinessGates", value: [OTHER] },
    { op: "add", path: "/spec/readinessGates/-", value: GATE },
    { op: "add", path: "/metadata/annotations", value: { x: "y" } },
    { op: "add", path: "/metadata/annotations/a~1b", value: "c" },
    { op: "remove", path: "/metadata/annotations/x" },
  ]);
  const metadata = { labels: { app: "web" }, annotations: { "a/b": "c" } };
  const containers = [{ name: "a", lifecycle: { postStart: {} } }, { name: "b" }];
  assert.deepEqual(after, { metadata, spec: { containers, readinessGates: [OTHER, GATE] } });
  assert.deepEqual(before, copy);
  for (const operation of [
    { op: "remove", path: "/spec/containers/0/lifecycle/absent" },
    { op: "remove", path: "/spec/containers/0" },
    { op: "add", path: "/spec/containers/2/lifecycle", value: {} },
    { op: "add", path: "/spec/containers/0", value: {} },
  ] as const)
    assert.throws(() => patched(before, [operation]), RangeError, operation.path);
});

const MOST_STORED = (1_536 - 64) * 1_024;
test("a Pod that would be larger than what is stored gets its gate alone, and nothing where that would be too much; managed fields do not count", () => {
  const hook = { op: "add", path: "/spec/hook", value: "x".repeat(1_000) } as const;
  const paths = (bytes: number, metadata: object = {}, mostBytes?: number): readonly string[] => {
    const empty = JSON.stringify(pod({ filling: "" }, metadata)).length;
    const input = pod({ filling: "x".repeat(bytes - empty) }, metadata);
    const more = (one: unknown): readonly Operation[] => ("hook" in Object(Reflect.get(Object(one), "spec")) ? [] : [hook]);
    return checkedPatch(input, DEFAULT_GATE_TYPE, more, mostBytes).map(({ path }) => path);
  };
  const gate = JSON.stringify({ readinessGates: [GATE] }).length;
  assert.deepEqual(paths(MOST_STORED - gate - 1_010), ["/spec/readinessGates", "/spec/hook"]);
  assert.deepEqual(paths(MOST_STORED - gate - 500), ["/spec/readinessGates"]);
  assert.deepEqual(paths(MOST_STORED), []);
  const managedFields = [{ manager: "x".repeat(100_000) }];
  assert.deepEqual(paths(MOST_STORED + 90_000, { managedFields }), ["/spec/readinessGates", "/spec/hook"]);
  assert.deepEqual(paths(MOST_STORED, {}, MOST_STORED + 5_000), [], "a longer review is measured");
});

const MIRROR = { annotations: { "kubernetes.io/config.mirror": "1" } };
const asks = (wish: string): object => ({ labels: { "clb-direct.io/inject": wish } });
for (const [name, input, from, wanted] of [
  ["selected", pod({}), { selected: true }, true],
  ["selected by nobody", pod({}), {}, false],
  ["its Namespace asks for it", pod({}), { namespaceOptedIn: true }, true],
  ["it asks itself, before its Service is there", pod({}, asks("enabled")), {}, true],
  ["it wants none, whoever selects it", pod({}, asks("disabled")), { selected: true, namespaceOptedIn: true }, false],
  ["a word that means nothing", pod({}, asks("yes")), {}, false],
  ["on the node's network", pod({ hostNetwork: true }), { selected: true }, false],
  ["the image of a static Pod", pod({}, MIRROR), { selected: true }, false],
] as const)
  test(`whether a Pod gets the gate: ${name}`, () =>
    assert.equal(wantsGate(input, { selected: false, namespaceOptedIn: false, ...from }), wanted));

test("annotations that leave no room for ours cost the Pod its hook, not its creation", () => {
  const more = (): readonly Operation[] => [{ op: "add", path: "/metadata/annotations/clb-direct.io~1hold", value: "token" }];
  const room = 256 * 1024 - "big".length - "clb-direct.io/hold".length - "token".length;
  const paths = (size: number): readonly string[] =>
    checkedPatch(pod({}, { annotations: { big: "x".repeat(size) } }), DEFAULT_GATE_TYPE, (one) =>
      "clb-direct.io/hold" in Object(Reflect.get(Object(Reflect.get(Object(one), "metadata")), "annotations")) ? [] : more(),
    ).map(({ path }) => path);
  assert.deepEqual(paths(room), ["/spec/readinessGates", "/metadata/annotations/clb-direct.io~1hold"]);
  assert.deepEqual(paths(room + 1), ["/spec/readinessGates"]);
});
