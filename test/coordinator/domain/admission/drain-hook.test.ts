import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../../../common/names.ts";
import { type DrainHook, hookPatch } from "../../../../coordinator/domain/admission/drain-hook.ts";
import { checkedPatch, patched } from "../../../../coordinator/domain/admission/pod-patch.ts";

const TOKEN = "Jq3xw0uZ7n_-aB1cD2eF3g";
const OTHER = "Zq3xw0uZ7n_-aB1cD2eF3g";
const LAST = "Aq3xw0uZ7n_-aB1cD2eF3g";
const HOLD: DrainHook = { mode: "hold", token: TOKEN };
const SLEEP: DrainHook = { mode: "sleep", seconds: 12 };
const heldBy = (token: string) => ({ preStop: { httpGet: { path: `/hold/${token}`, port: 15_999 } } });
const HOOK = heldBy(TOKEN);
const GATE = { conditionType: DEFAULT_GATE_TYPE };
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
/** What the API server makes of the patch; a second pass, which has another token at hand, must want nothing more. */
function after(input: object, hook: DrainHook, targetPorts: readonly (number | string)[] = [8080]): Result {
  const patchOf = (of: object, wanted: DrainHook) => checkedPatch(of, DEFAULT_GATE_TYPE, (one) => hookPatch(one, wanted, targetPorts));
  const result = patched(input, patchOf(input, hook)) as Result; // what was put in comes out
  assert.deepEqual(patchOf(result, hook.mode === "hold" ? { ...hook, token: LAST } : hook), [], "not idempotent");
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
});

test("a grace period that leaves no time for a sleep is said, also where a template brings a sleep", () => {
  const short = { terminationGracePeriodSeconds: 7 };
  const why = "terminationGracePeriodSeconds 7 leaves no time for a sleep";
  for (const [hook, because] of [
    [SLEEP, why],
    [{ ...SLEEP, because: "not proven on a" }, `${why}; not proven on a`],
  ] as const) {
    const result = after(pod([web], short), hook);
    assert.deepEqual([hooks(result), marks(result)], [[undefined], [undefined, "none", because]]);
  }
  const own = after(pod([{ ...web, lifecycle: OWN }], short), SLEEP);
  assert.deepEqual(marks(own), [undefined, "none OwnPreStop", undefined]);
  const asked = after(pod([web], short, { annotations: { "clb-direct.io/drain": "none" } }), SLEEP);
  assert.deepEqual(marks(asked), [undefined, "none", undefined]);
  const sleeps = { ...proxy, lifecycle: { preStop: { sleep: { seconds: 5 } } } };
  const template = pod([web, sleeps], short, { annotations: { "clb-direct.io/drain": "sleep" } });
  assert.deepEqual(hooks(after(template, HOLD)), [HOOK, sleeps.lifecycle]);
  assert.deepEqual(marks(after(template, SLEEP)), [undefined, "none", why]);
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

/** `kubectl get -o yaml` of a Pod that runs, made a template. */
const copy = (hook: DrainHook, containers: readonly Container[] = [web, proxy]): Result => after(pod(containers), hook);
const tokens = (result: Result): readonly unknown[] => [
  ...hooks(result).map((one) => JSON.stringify(one).match(/hold\/([\w-]+)/)?.[1]),
  result.metadata.annotations?.["clb-direct.io/hold"],
];
const marks = ({ metadata: { annotations = {} } }: Result): readonly unknown[] =>
  ["hold", "drain", "drain-because"].map((name) => annotations[`clb-direct.io/${name}`]);

test("calls to the hold out of a template, with a token that is not the Pod's, are made its own", () => {
  const { spec } = copy({ mode: "hold", token: OTHER });
  assert.deepEqual(tokens(after({ metadata: {}, spec }, HOLD)), [TOKEN, TOKEN, TOKEN], "the containers alone were copied");
  const annotated = { metadata: { annotations: { "clb-direct.io/hold": LAST, "clb-direct.io/drain": "hold" } }, spec };
  assert.deepEqual(tokens(after(annotated, HOLD)), [TOKEN, TOKEN, TOKEN], "and an annotation of another Pod");
  const [first, second] = spec.containers;
  const mixed = { metadata: copy(HOLD).metadata, spec: { containers: [first, { ...second, lifecycle: HOOK }] } };
  assert.deepEqual(tokens(after(mixed, { mode: "hold", token: LAST })), [TOKEN, TOKEN, TOKEN], "one container is another Pod's");
  const whole = copy({ mode: "hold", token: OTHER });
  assert.deepEqual(tokens(after(whole, HOLD)), [OTHER, OTHER, OTHER], "a whole Pod keeps its token: its address tells it apart");
});

test("calls to the hold out of a template follow the mode of now", () => {
  const held = copy({ mode: "hold", token: OTHER, because: "not proven on node-7 (no agent has said anything)" });
  const slept = after(held, SLEEP);
  assert.deepEqual(hooks(slept), [{ preStop: { sleep: { seconds: 12 } } }, { preStop: { sleep: { seconds: 12 } } }]);
  assert.deepEqual(marks(slept), [undefined, "sleep", undefined]);
  const bare = after(held, { mode: "none" });
  assert.deepEqual(
    [hooks(bare), marks(bare)],
    [
      [{}, {}],
      [undefined, undefined, undefined],
    ],
  );
  const why = { mode: "none", because: "no node is known where it may land" } as const;
  assert.deepEqual(marks(after(held, why)), [undefined, "none", why.because]);
  assert.deepEqual(tokens(after(copy(why), HOLD)), [TOKEN, TOKEN, TOKEN], "a reason beside it: no wish of the template");
  const asked = { ...held, metadata: { annotations: { "clb-direct.io/drain": "none" } } };
  assert.deepEqual(
    [hooks(after(asked, HOLD)), marks(after(asked, HOLD))],
    [
      [{}, {}],
      [undefined, "none", undefined],
    ],
  );
  const taken = after(
    { ...held, spec: { containers: [...held.spec.containers, { name: "x", ports: [{ containerPort: 15_999 }] }] } },
    HOLD,
  );
  assert.deepEqual(hooks(taken), [{}, {}, undefined]);
  assert.deepEqual(marks(taken), [undefined, "none HoldPortTaken", undefined]);
  const mended = after(pod([web], {}, { annotations: { "clb-direct.io/drain": "none OwnPreStop" } }), HOLD);
  assert.deepEqual(tokens(mended), [TOKEN, TOKEN], "a hindrance that the template had once");
  assert.deepEqual(marks(after(copy(SLEEP), HOLD)), [undefined, "sleep", undefined], "a sleep may be the user's own");
});

test("a call to the hold port that is not ours stays: another path, a host", () => {
  for (const httpGet of [
    { path: "/x", port: 15_999 },
    { path: `/hold/${OTHER}`, port: 15_999, host: "127.0.0.1" },
  ])
    assert.deepEqual(hooks(after(pod([{ ...web, lifecycle: { preStop: { httpGet } } }]), HOLD)), [{ preStop: { httpGet } }]);
});

/** What a replica of a former version may have answered before ours is asked about the same Pod: during an update both serve. */
const FORMER = {
  "gate alone": { spec: { readinessGates: [GATE], containers: [web] } },
  "hold without the mode": {
    metadata: { annotations: { "clb-direct.io/hold": OTHER } },
    spec: { containers: [{ ...web, lifecycle: heldBy(OTHER) }] },
  },
  hold: {
    metadata: { annotations: { "clb-direct.io/hold": OTHER, "clb-direct.io/drain": "hold" } },
    spec: { containers: [{ ...web, lifecycle: heldBy(OTHER) }] },
  },
} as const;
for (const [name, former] of Object.entries(FORMER))
  test(`a Pod that a replica of a former version has seen to: ${name}`, () => {
    const result = after({ metadata: {}, ...former, spec: { readinessGates: [GATE], ...former.spec } }, HOLD);
    assert.deepEqual(Reflect.get(result.spec, "readinessGates"), [GATE]);
    const token = name === "gate alone" ? TOKEN : OTHER;
    assert.deepEqual(
      [tokens(result), marks(result)],
      [
        [token, token],
        [token, "hold", undefined],
      ],
    );
  });

test("a Pod of 1 000 containers is held whole; one of more, which no node runs, gets its gate alone", () => {
  const many = (count: number): Result => after(pod(Array.from({ length: count }, (_, at) => ({ name: `c${at}` }))), HOLD);
  assert.ok(hooks(many(1_000)).every((one) => one !== undefined));
  const more = many(1_001);
  assert.ok(hooks(more).every((one) => one === undefined));
  assert.deepEqual(Reflect.get(more.spec, "readinessGates"), [GATE]);
});

test("none: neither a hook nor an annotation; one that says none keeps the others away", () => {
  const patch = hookPatch(pod([web]), { mode: "none" }, []);
  assert.deepEqual(patch, []);
  assert.deepEqual(hookPatch(pod([web], {}, { annotations: { "clb-direct.io/drain": "none" } }), HOLD, []), []);
});

test("what is no Pod gets nothing", () => {
  for (const input of ["x", undefined, {}, { spec: { containers: "x" } }]) assert.deepEqual(hookPatch(input, HOLD, []), []);
});
