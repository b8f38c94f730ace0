/** What is told of what was found before: as long as nothing has changed it is found once, and told by every pass. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import { makeReport } from "../../../coordinator/events/findings.ts";
import type { ConfigRecord } from "../../../coordinator/state/config-objects.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { ListenerOwners } from "../../../coordinator/state/listener-owners.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { anIntent, anOwner, aPod, aService, CLUSTER } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";
import { silentLog } from "../pods.ts";

const NO_WISHES: ConfigRecord["wishes"] = new Map();

/** One Service that names a TkeServiceConfig; `pass` gives the reasons that it tells. */
function aWorld() {
  const known = somePodFacts(aPod());
  const intents = new Intents({ clusterId: CLUSTER, pods: makePodIndex(known.facts), wishes: () => NO_WISHES });
  const world: { config: ConfigRecord | undefined; version: number; order: object } = { config: undefined, version: 0, order: {} };
  const ask = (configName: string): void => {
    intents.set(anOwner(aService(), { state: "served", intent: { ...anIntent(), configName }, loadBalancerId: "lb-1" }));
  };
  ask("checks");
  const mirror = { read: () => undefined };
  const told: Problem[] = [];
  const report = makeReport({
    intents,
    mirror,
    config: (_namespace, name) => (name === "checks" ? world.config : undefined),
    configsVersion: () => `${world.version} ${intents.usesVersion}`,
    listenerOwners: new ListenerOwners({ intents, mirror, clusterId: CLUSTER }),
    facts: known.facts,
    tell: (problem) => void told.push(problem),
    clock: { now: () => 0 },
    log: silentLog,
  });
  const pass = (): readonly Problem[] => {
    told.length = 0;
    report(intents.desired("lb-1"), { calls: [], findings: [] });
    return [...told];
  };
  const config = (change: Partial<ConfigRecord> | undefined): void => {
    world.config = change && {
      uid: "c",
      resourceVersion: "1",
      namespace: "demo",
      name: "checks",
      wishes: new Map(),
      faults: [],
      ...change,
    };
    world.version += 1;
  };
  return { known, ask, config, pass, reasons: (): readonly string[] => pass().map(({ reason }) => reason) };
}

test("every pass tells the same objects, so that their names are made once", () => {
  const { known, config, pass } = aWorld();
  config({ faults: ["a fault"] });
  known.set(aPod({ drain: "none OwnPreStop" }));
  const before = pass();
  assert.deepEqual(before.map(({ reason }) => reason).toSorted(), ["InvalidServiceConfig", "OwnPreStop"]);
  assert.ok(pass().every((problem, at) => problem === before[at]));
});

test("tells what is wrong with a TkeServiceConfig as it is now", () => {
  const { config, ask, reasons } = aWorld();
  assert.deepEqual(reasons(), ["ServiceConfigMissing"]);
  config({});
  assert.deepEqual(reasons(), []);
  config({ faults: ["a fault"] });
  assert.deepEqual(reasons(), ["InvalidServiceConfig"]);
  config({ wishes: new Map([["TCP/99", {}]]) });
  assert.deepEqual(reasons(), ["NoEffect"]);
  config(undefined);
  assert.deepEqual(reasons(), ["ServiceConfigMissing"]);
  ask("others");
  assert.deepEqual(reasons(), ["ServiceConfigMissing"]);
});

test("tells what is wrong with Pods as they are now", () => {
  const { known, config, reasons } = aWorld();
  config({});
  known.set(aPod({ drain: "none OwnPreStop" }));
  assert.deepEqual(reasons(), ["OwnPreStop"]);
  known.set(aPod({ drain: "hold", weights: { service: "much", ingress: "" } }));
  assert.deepEqual(reasons(), ["InvalidAnnotation"]);
  known.end("pod-1");
  assert.deepEqual(reasons(), []);
});
