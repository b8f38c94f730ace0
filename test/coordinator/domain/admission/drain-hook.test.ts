import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../../../common/names.ts";
import { type DrainHook, hookPatch } from "../../../../coordinator/domain/admission/drain-hook.ts";
import { checkedPatch, patched } from "../../../../coordinator/domain/admission/pod-patch.ts";

const TOKEN = "Jq3xw0uZ7n_-aB1cD2eF3g";
const OTHER = "Zq3xw0uZ7n_-aB1cD2eF3g";
const HOLD: DrainHook = { mode: "hold", token: TOKEN };
const SLEEP: DrainHook = { mode: "sleep", seconds: 12 };
const HOOK = { preStop: { httpGet: { path: `/hold/${TOKEN}`, port: 15_999 } } };
const OWN = { preStop: { exec: { command: ["sleep", "9"] } } };

type Container = {
  readonly name: string;
  readonly lifecycle?: unknown;
  readonly ports?: readonly object[];
  readonly [more: string]: unknown;
};
const web: Container = { name: "web", ports: [{ name: "http", containerPort: 8080 }] };
const proxy: Container = { name: "proxy", ports: [{ containerPort: 15_020 }] };
const pod = (containers: readonly Container[], spec: object = {}, metadata: object = {}) => ({ metadata, spec: { containers, ...spec } });

type Result = {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: { readonly containers: readonly Container[]; readonly initContainers?: readonly Container[] };
};
/** What the API server makes of the patch; a second pass must want nothing more. */
function after(input: object, hook: DrainHook, targetPorts: readonly (number | string)[] = [8080]): Result {
  const patch = checkedPatch(input, DEFAULT_GATE_TYPE, (one) => hookPatch(one, hook, targetPorts));
  const result = patched(input, patch) as Result; // what was put in comes out
  const again = checkedPatch(result, DEFAULT_GATE_TYPE, (one) => hookPatch(one, { mode: "hold", token: OTHER }, targetPorts));
  assert.deepEqual(again, [], "not idempotent");
  return result;
}
const hooks = ({ spec }: Result): readonly unknown[] =>
  [...spec.containers, ...(spec.initContainers ?? [])].map(({ lifecycle }) => lifecycle);

test("every container and native sidecar without a preStop gets the hook with the one token of the Pod; init containers do not", () => {
  const result = after(
    pod([web, { ...proxy, lifecycle: { postStart: {} } }], {
      initContainers: [{ name: "init" }, { name: "sidecar", restartPolicy: "Always" }],
    }),
    HOLD,
  );
  assert.deepEqual(hooks(result), [HOOK, { postStart: {}, ...HOOK }, undefined, HOOK]);
  assert.deepEqual(result.metadata.annotations, { "clb-direct.io/hold": TOKEN, "clb-direct.io/drain": "hold" });
});

test("sleep, within what the grace period leaves", () => {
  assert.deepEqual(hooks(after(pod([web]), SLEEP)), [{ preStop: { sleep: { seconds: 12 } } }]);
  assert.deepEqual(hooks(after(pod([web], { terminationGracePeriodSeconds: 15 }), SLEEP)), [{ preStop: { sleep: { seconds: 8 } } }]);
  assert.deepEqual(hookPatch(pod([web], { terminationGracePeriodSeconds: 7 }), SLEEP, []), []);
});

test("where it is less than a hold on every node, which nobody asked for, an annotation says why", () => {
  const because = "not proven on node-7 (no agent has said anything)";
  const marks = { "clb-direct.io/drain-because": because };
  assert.deepEqual(after(pod([web]), { ...SLEEP, because }).metadata.annotations, { "clb-direct.io/drain": "sleep", ...marks });
  assert.deepEqual(after(pod([web]), { mode: "none", because }).metadata.annotations, { "clb-direct.io/drain": "none", ...marks });
  const held = { "clb-direct.io/hold": TOKEN, "clb-direct.io/drain": "hold", ...marks };
  assert.deepEqual(after(pod([web]), { ...HOLD, because }).metadata.annotations, held);
  assert.equal(hookPatch(pod([web]), { mode: "none" }, []).length, 0, "what was asked for needs no reason");
  const own = after(pod([{ ...web, lifecycle: OWN }]), { ...HOLD, because }).metadata.annotations;
  assert.deepEqual(own, { "clb-direct.io/drain": "none OwnPreStop" }, "its own form decides");
});

test("other annotations stay", () => {
  const result = after(pod([web], {}, { annotations: { a: "b" } }), HOLD);
  assert.deepEqual(result.metadata.annotations, { a: "b", "clb-direct.io/hold": TOKEN, "clb-direct.io/drain": "hold" });
});

for (const [name, containers, why] of [
  ["the container that serves has one of its own", [{ ...web, lifecycle: OWN }, proxy], "none OwnPreStop"],
  ["it serves by a named port", [{ ...web, ports: [{ name: "http", containerPort: 81 }], lifecycle: OWN }], "none OwnPreStop"],
  ["nobody declares the port, and one has its own", [{ name: "a", lifecycle: OWN }, { name: "b" }], "none OwnPreStop"],
  ["it listens at the hold port", [{ ...web, ports: [{ containerPort: 15_999 }] }], "none HoldPortTaken"],
  ["a probe asks at the hold port", [{ ...web, livenessProbe: { httpGet: { port: 15_999 } } }], "none HoldPortTaken"],
  ["a hook of its own asks there", [web, { ...proxy, lifecycle: { postStart: { httpGet: { port: 15_999 } } } }], "none HoldPortTaken"],
] as const)
  for (const hook of [HOLD, SLEEP])
    test(`no hook (${hook.mode}), and the annotation says why: ${name}`, () => {
      const result = after(pod(containers), hook, [8080, "http"]);
      assert.deepEqual(
        hooks(result),
        containers.map((one) => ("lifecycle" in one ? one.lifecycle : undefined)),
      );
      assert.deepEqual(result.metadata.annotations, { "clb-direct.io/drain": why });
    });

test("a sidecar's own preStop stays, and the one that serves is held", () => {
  assert.deepEqual(hooks(after(pod([web, { ...proxy, lifecycle: OWN }]), HOLD)), [HOOK, OWN]);
});

test("a container that another webhook adds later gets the Pod's token; a token out of a template is replaced", () => {
  const first = after(pod([web]), HOLD);
  const grown = { ...first, spec: { ...first.spec, containers: [...first.spec.containers, proxy] } };
  const result = after(grown, { mode: "hold", token: OTHER });
  assert.deepEqual(hooks(result), [HOOK, HOOK]);
  const copied = pod([web], {}, { annotations: { "clb-direct.io/hold": OTHER, "clb-direct.io/drain": "hold" } });
  assert.equal(after(copied, HOLD).metadata.annotations?.["clb-direct.io/hold"], TOKEN);
  const malformed = pod([web], {}, { annotations: { "clb-direct.io/hold": "x" } });
  assert.equal(after(malformed, HOLD).metadata.annotations?.["clb-direct.io/hold"], TOKEN);
});

test("none: neither a hook nor an annotation; one that says none keeps the others away", () => {
  const patch = hookPatch(pod([web]), { mode: "none" }, []);
  assert.deepEqual(patch, []);
  assert.deepEqual(hookPatch(pod([web], {}, { annotations: { "clb-direct.io/drain": "none" } }), HOLD, []), []);
});

test("what is no Pod gets nothing", () => {
  for (const input of ["x", undefined, {}, { spec: { containers: "x" } }]) assert.deepEqual(hookPatch(input, HOLD, []), []);
});
