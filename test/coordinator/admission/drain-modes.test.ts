import assert from "node:assert/strict";
import { test } from "node:test";
import { DrainModes } from "../../../coordinator/admission/drain-modes.ts";
import type { DrainWish } from "../../../coordinator/domain/admission/drain-mode.ts";
import { aFakeClock, silentLog } from "../pods.ts";

const WEB = { uid: "web", name: "Service shop/web", wish: undefined };
const MINUTE = 60_000;

function someModes(wish: DrainWish = "auto") {
  const clock = aFakeClock(1_000_000_000);
  const proven = new Set(["a", "b"]);
  const node = (name: string) => ({ name, labels: {}, taints: [], virtual: false, createdAtMs: 0 });
  let walks = 0;
  const logged: { readonly mode: string }[] = [];
  const modes = new DrainModes({
    wish,
    nodes: () => {
      walks += 1;
      return ["a", "b"].map(node);
    },
    proofOf: (name) => ({ proven: proven.has(name), because: "connect ECONNREFUSED" }),
    hasSleep: () => true,
    clock,
    log: { ...silentLog, info: (line: { readonly mode: string }) => void logged.push(line) },
  });
  return {
    logged,
    clock,
    proven,
    modes,
    walks: () => walks,
    of: (...askers: Parameters<DrainModes["of"]>[1][number][]) => modes.of({ spec: {} }, askers).mode,
  };
}

test("the mode of a Service changes at most once in ten minutes, each on its own", async () => {
  const { clock, proven, of, modes } = someModes();
  await clock.advance(2 * MINUTE);
  assert.equal(of(WEB), "hold");
  proven.delete("b");
  assert.equal(of(WEB), "hold", "a node that comes and goes changes nothing at once");
  await clock.advance(1_000);
  assert.equal(of({ ...WEB, uid: "api" }), "sleep");
  await clock.advance(10 * MINUTE);
  assert.equal(of(WEB), "sleep");
  assert.match(modes.of({ spec: {} }, [WEB]).because, /not proven on b \(connect ECONNREFUSED\)/);
  proven.add("b");
  await clock.advance(9 * MINUTE);
  assert.equal(of(WEB), "sleep");
  await clock.advance(MINUTE);
  assert.equal(of(WEB), "hold");
});

test("Pods of one Service that land on different nodes have each the mode of theirs, whoever comes first", async () => {
  const { clock, proven, modes } = someModes();
  await clock.advance(2 * MINUTE);
  proven.delete("b");
  const on = (nodeName: string, askers = [WEB]) => modes.of({ spec: { nodeName } }, askers).mode;
  assert.equal(on("a"), "hold");
  assert.equal(on("b"), "sleep", "no agent would answer there");
  assert.equal(on("a"), "hold");
});

test("a Pod that may land nowhere decides nothing for those of others, selected or not", async () => {
  const { clock, modes } = someModes();
  await clock.advance(2 * MINUTE);
  for (const askers of [[], [WEB]]) {
    assert.equal(modes.of({ spec: { nodeName: "no-such-node" } }, askers).mode, "sleep");
    assert.equal(modes.of({ spec: {} }, askers).mode, "hold");
  }
});

test("the mode of a Service's Pods is logged once in ten minutes, however many nodes they are made for", async () => {
  const { clock, modes, logged } = someModes();
  await clock.advance(2 * MINUTE);
  const placed = (nodeName: string) => modes.of({ spec: { nodeName } }, [WEB]).mode;
  for (const nodeName of ["a", "b", "a", "no-such-node", "nor-this"]) placed(nodeName);
  assert.deepEqual(
    logged.map(({ mode }) => mode),
    ["hold", "sleep"],
  );
});

test("while agents connect after a start nothing is settled but a hold", async () => {
  const { clock, proven, of } = someModes();
  proven.clear();
  assert.equal(of(WEB), "sleep");
  await clock.advance(5_000);
  for (const name of ["a", "b"]) proven.add(name);
  assert.equal(of(WEB), "hold");
});

test("what a Service asks for counts at once, before what the cluster has", () => {
  const { of } = someModes("none");
  assert.equal(of(WEB), "none");
  assert.equal(of({ ...WEB, wish: "sleep" }), "sleep");
  assert.equal(of(WEB, { ...WEB, uid: "api", wish: "hold" }), "hold");
  assert.equal(of({ ...WEB, wish: "auto" }), "hold");
});

test("Pods that may land on the same nodes cost one walk over the nodes in a second, others one of their own", async () => {
  const { clock, modes, walks } = someModes();
  const replica = (spec: object, name: string) => ({ metadata: { name }, spec: { containers: [{ name: "web" }], ...spec } });
  const mode = (spec: object, name = "web-1") => modes.of(replica(spec, name), [WEB]).mode;
  for (const name of ["web-1", "web-2", "web-3"]) assert.equal(mode({}, name), "hold");
  assert.equal(walks(), 1);
  const elsewhere: readonly object[] = [
    { nodeName: "c" },
    { nodeSelector: { zone: "1" } },
    { tolerations: [{ operator: "Exists" }] },
    { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{}] } } } },
  ];
  for (const spec of elsewhere) mode(spec);
  assert.equal(walks(), 1 + elsewhere.length);
  await clock.advance(1_000);
  mode({});
  assert.equal(walks(), 2 + elsewhere.length);
});
