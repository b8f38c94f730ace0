import assert from "node:assert/strict";
import { test } from "node:test";
import { type Call, itemsOf } from "../../../coordinator/domain/call.ts";
import type { HealthState, Listener, Rule } from "../../../coordinator/domain/load-balancer.ts";
import { Planner } from "../../../coordinator/load-balancers/planner.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { Mirror } from "../../../coordinator/state/mirror.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { aLoadBalancer, anOwner, aPod, aTarget, CLUSTER } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";
import { aFakeClock } from "../pods.ts";
import { anHttpListener, cartRule, desiredInRules, homeRule } from "../rules.ts";
import { memoryClaims } from "../stage.ts";

const DRAIN_MS = 5_000;
const FRONT = { app: "web", tier: "front" };
const ip = (n: number): string => `10.244.1.${n}`;
const front = (n: number, change = {}) => aPod({ uid: `pod-${n}`, ips: [ip(n)], labels: FRONT, ...change });

/** Plans of lb-1, with two rules for Pods "pod-n" at "10.244.1.n". */
async function aWorld(rules: readonly [Rule, ...Rule[]], count = 2) {
  const clock = aFakeClock();
  const known = somePodFacts(...Array.from({ length: count }, (_, n) => front(n + 1)));
  const pods = makePodIndex(known.facts);
  const intents = new Intents({ clusterId: CLUSTER, pods, wishes: () => new Map() });
  intents.set(anOwner());
  const mirror = new Mirror(() => undefined);
  const fill = (...listeners: readonly Listener[]): void => mirror.fill({ ...aLoadBalancer(), running: true }, listeners, clock.now());
  fill(anHttpListener(...rules));
  const addressClaims = memoryClaims();
  const claims = new Map(Array.from({ length: count }, (_, n) => [ip(n + 1), `pod-${n + 1}`]));
  await addressClaims.claim("lb-1", claims, new AbortController().signal);
  /** Keys of slots that the cloud keeps refusing. */
  const refused = new Set<string>();
  const planner = new Planner({
    facts: known.facts,
    pods,
    addressClaims,
    mirror,
    clock,
    writer: { running: () => undefined, overQuota: () => 0, weightsLast: () => false },
    unreadyPods: { sinceMs: () => undefined },
    refusedItems: { keepsRefusing: (_id, slot) => refused.has(slot) },
    guard: { hold: (_actual, calls) => calls, floorOf: () => 0, isHealthRead: () => true },
    quotas: () => undefined,
    settings: { clusterId: CLUSTER, drainMs: DRAIN_MS, rulesPerCall: 20, policy: "enforce" },
  });
  const plan = (): readonly Call[] => {
    const actual = mirror.read("lb-1");
    assert.ok(actual !== undefined);
    return planner.plan(desiredInRules(intents.desired("lb-1")), actual).calls;
  };
  /** E.g. ["drain loc-1", "unbind loc-2"]. */
  const brief = (): string[] =>
    plan().map((call) => {
      const items = "slots" in call ? call.slots : "weights" in call ? call.weights : "targets" in call ? call.targets : [];
      assert.equal(items.length, itemsOf(call));
      return [call.lane, ...items.map(({ locationId }) => locationId ?? "-").sort()].join(" ");
    });
  const carryOut = (lane: Call["lane"]): void => {
    const call = plan().find((one) => one.lane === lane);
    assert.ok(call !== undefined, lane);
    mirror.fold("lb-1", call, [], clock.now());
  };
  const say = (state: HealthState, place: string, ...ns: readonly number[]): void =>
    void mirror.noteHealth("lb-1", new Map(ns.map((n) => [`lbl-1/${place} ${ip(n)}:8080`, state])), {
      askedMs: clock.now(),
      nowMs: clock.now(),
    });
  return { clock, known, mirror, refused, brief, carryOut, say };
}
const targets = (...ns: readonly number[]) => ns.map((n) => aTarget({ ip: ip(n) }));
/** The Pod is not asked for any more: it waits until what is asked for instead serves. */
const relabelled = (n: number) => front(n, { labels: { app: "other" } });

test("what ends is drained in its rules, and unbound in each when the drain there is over", async () => {
  const { clock, known, mirror, brief, carryOut } = await aWorld([
    cartRule({ targets: targets(1, 2) }),
    homeRule({ targets: [aTarget({ ip: ip(1), weight: 0 }), aTarget({ ip: ip(2) })] }),
  ]);
  known.set(front(1, { deletionAtMs: 1 }));
  await clock.advance(1_000);
  assert.deepEqual(brief(), ["drain loc-1"]); // in the other rule it has weight 0 since the look
  carryOut("drain");
  await clock.advance(DRAIN_MS - 1_001);
  assert.deepEqual(brief(), []);
  await clock.advance(1);
  assert.deepEqual(brief(), ["unbind loc-2"]);
  carryOut("unbind");
  await clock.advance(999);
  assert.deepEqual(brief(), []);
  await clock.advance(1);
  assert.deepEqual(brief(), ["unbind loc-1"]);
  carryOut("unbind");
  assert.deepEqual(brief(), []);
  assert.deepEqual(
    mirror.read("lb-1")?.listeners[0]?.rules.map((rule) => rule.targets.map((target) => target.ip)),
    [[ip(2)], [ip(2)]],
  );
});

test("a Pod with our hold is not cut off before its grace period is over, or nothing of it runs any more", async () => {
  const { clock, known, brief } = await aWorld([
    cartRule({ targets: [aTarget({ ip: ip(1), weight: 0 }), aTarget({ ip: ip(2) })] }),
    homeRule({ targets: targets(2) }),
  ]);
  const held = (change = {}) => front(1, { drain: "hold", deletionAtMs: clock.now() + 20_000, ...change });
  const ending = held();
  known.set(ending);
  await clock.advance(DRAIN_MS + 10_000);
  assert.deepEqual(brief(), [], "its drain is over, and it may still answer what is open");
  known.set({ ...ending, phase: "Succeeded" });
  assert.deepEqual(brief(), ["unbind loc-1"]);
  known.set(held({ deletionAtMs: ending.deletionAtMs }));
  await clock.advance(5_000);
  assert.deepEqual(brief(), ["unbind loc-1"]);
});

test("a backend that is merely not asked for leaves a rule when what is asked for serves in that rule", async () => {
  const { known, brief, say } = await aWorld([cartRule({ targets: targets(1, 2) }), homeRule({ targets: targets(1, 2) })]);
  known.set(relabelled(1));
  assert.deepEqual(brief(), []);
  say("Alive", "loc-2", 2);
  assert.deepEqual(brief(), ["drain loc-2"]);
  say("Alive", "loc-1", 2);
  assert.deepEqual(brief(), ["drain loc-1 loc-2"]);
});

test("a backend that is dead for long, or refused, is not waited for in its rule; it is in the other", async () => {
  const rules = [cartRule({ targets: targets(1, 2, 3) }), homeRule({ targets: targets(1, 2, 3) })] as const;
  const dead = await aWorld(rules, 3);
  dead.known.set(relabelled(1));
  dead.say("Alive", "loc-1", 2);
  dead.say("Alive", "loc-2", 2);
  dead.say("Dead", "loc-1", 3);
  await dead.clock.advance(299_000);
  assert.deepEqual(dead.brief(), []);
  await dead.clock.advance(1_000);
  assert.deepEqual(dead.brief(), ["drain loc-1"]);

  const refused = await aWorld([cartRule({ targets: targets(1, 2) }), homeRule({ targets: targets(1, 2) })], 3);
  refused.known.set(relabelled(1));
  refused.say("Alive", "loc-1", 2);
  refused.say("Alive", "loc-2", 2);
  assert.deepEqual(refused.brief(), ["bind loc-1 loc-2"]);
  refused.refused.add(`lbl-1/loc-2 ${ip(3)}:8080`);
  assert.deepEqual(refused.brief(), ["drain loc-2", "bind loc-1 loc-2"]);
});
