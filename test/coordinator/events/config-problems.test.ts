import assert from "node:assert/strict";
import { test } from "node:test";
import type { OwnerIntent } from "../../../coordinator/domain/intent/owner-intent.ts";
import { configProblems } from "../../../coordinator/events/config-problems.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { anIntent, anOwner, aService, CLUSTER } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";

const CONFIG = { uid: "c", resourceVersion: "1", namespace: "demo", name: "shared", faults: [], settings: new Map() };

/** Owners in "demo" that name the TkeServiceConfig "shared", which has sections for TCP/80 and TCP/81. */
function aWorld() {
  const intents = new Intents({ clusterId: CLUSTER, pods: makePodIndex(somePodFacts().facts), wishes: () => new Map() });
  const config = { ...CONFIG, wishes: new Map([80, 81].map((port) => [`TCP/${port}`, {}])) };
  const set = (uid: string, port: number, configName: string | undefined = "shared"): OwnerIntent => {
    const service = aService({ uid, name: uid });
    const { ports, ...intent } = anIntent(service);
    const asking = { ...intent, ports: ports.map((one) => ({ ...one, port })), ...(configName !== undefined && { configName }) };
    const owner = anOwner(service, { state: "served", intent: asking, loadBalancerId: "lb-1" }, uid);
    intents.set(owner);
    return owner;
  };
  const told = ({ ref }: OwnerIntent): string[] =>
    configProblems({ intents, config: () => config }, [ref], undefined).map(
      ({ message }) => /section (.*?) of/.exec(message)?.[1] ?? message,
    );
  return { intents, set, told };
}

test("a section that fits nothing of all that name the TkeServiceConfig is told on each of them", () => {
  const { intents, set, told } = aWorld();
  const first = set("a", 80);
  assert.deepEqual(told(first), ["l4Listeners TCP/81"]);
  const second = set("b", 81);
  assert.deepEqual([told(first), told(second)], [[], []]);
  set("b", 82);
  assert.deepEqual([told(first), told(second)], [["l4Listeners TCP/81"], ["l4Listeners TCP/81"]]);
  set("b", 81);
  set("b", 81, "other");
  assert.deepEqual(told(first), ["l4Listeners TCP/81"]);
  set("b", 81);
  set("c", 81);
  intents.remove("b");
  assert.deepEqual(told(first), []);
  intents.remove("c");
  assert.deepEqual(told(first), ["l4Listeners TCP/81"]);
});

test("a TkeServiceConfig is looked at once for all owners of a pass, and the other owners that name it are not gone through", () => {
  const { intents, set } = aWorld();
  const owners = Array.from({ length: 50 }, (_, at) => set(`a${at}`, 80).ref);
  let looks = 0;
  const asked = { has: () => ++looks > 0 };
  const counted = { get: (uid: string) => intents.get(uid), askedThrough: () => asked };
  const config = { ...CONFIG, wishes: new Map([80, 81].map((port) => [`TCP/${port}`, {}])) };
  assert.deepEqual(configProblems({ intents: counted, config: () => config }, owners, undefined), []);
  assert.equal(looks, 2);
});
