import assert from "node:assert/strict";
import { test } from "node:test";
import type { HealthState, Listener } from "../../../coordinator/domain/load-balancer.ts";
import { makeAwaited } from "../../../coordinator/health/awaited-targets.ts";
import { Mirror } from "../../../coordinator/state/mirror.ts";
import { aListener, aLoadBalancer, aPod, aRule, aTarget } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";
import { aFakeClock } from "../pods.ts";
import { memoryClaims } from "../stage.ts";

const CHECK = { enabled: true, intervalSeconds: 5, timeoutSeconds: 2, healthyCount: 3, unhealthyCount: 3 };

/** Load balancer "lb-1" with these listeners; every address "10.244.1.n" belongs to Pod "pod-n". */
async function aWorld(listeners: readonly Listener[]) {
  const clock = aFakeClock();
  const looks = { health: 0 };
  const mirror = new Mirror(() => undefined);
  const addressClaims = memoryClaims();
  const known = somePodFacts(...[1, 2, 3].map((n) => aPod({ uid: `pod-${n}`, ips: [`10.244.1.${n}`] })));
  await addressClaims.claim("lb-1", new Map([1, 2, 3].map((n) => [`10.244.1.${n}`, `pod-${n}`])), new AbortController().signal);
  const waitingForGate = new Set<string>();
  const counted = {
    listeners: (id: string) => mirror.listeners(id),
    boundAtMs: mirror.boundAtMs.bind(mirror),
    health: (...of: Parameters<Mirror["health"]>) => {
      looks.health += 1;
      return mirror.health(...of);
    },
  };
  const fill = (of: readonly Listener[]): void => mirror.fill({ ...aLoadBalancer(), running: true }, of, clock.now());
  fill(listeners);
  const say = (state: HealthState, ...keys: string[]): void => {
    mirror.noteHealth("lb-1", new Map(keys.map((key) => [key, state])), { askedMs: clock.now(), nowMs: clock.now() });
  };
  const awaitedAt = makeAwaited({ mirror: counted, addressClaims, facts: known.facts, clock, waitingForGate });
  return { clock, mirror, known, waitingForGate, looks, fill, say, awaited: () => awaitedAt("lb-1").length, awaitedAt };
}
const targets = (...ns: readonly number[]) => ns.map((n) => aTarget({ ip: `10.244.1.${n}` }));

test("a young target is awaited until it is healthy, and again when it no longer is", async () => {
  const { clock, say, awaited, awaitedAt } = await aWorld([aListener({ healthCheck: CHECK, targets: targets(1, 2) })]);
  const startedMs = clock.now();
  const [one] = awaitedAt("lb-1");
  assert.deepEqual([one?.boundAtMs, one?.intervalSeconds, one?.healthyCount, awaited()], [startedMs, 5, 3, 2]);
  say("Alive", "lbl-1 10.244.1.1:8080");
  assert.equal(awaited(), 1);
  say("Dead", "lbl-1 10.244.1.1:8080");
  assert.equal(awaited(), 2);
});

test("an old target is awaited only by its Pod's gate", async () => {
  const { clock, waitingForGate, awaited } = await aWorld([aListener({ healthCheck: CHECK, targets: targets(1, 2) })]);
  assert.equal(awaited(), 2);
  await clock.advance(61_000);
  assert.equal(awaited(), 0);
  waitingForGate.add("pod-2");
  assert.equal(awaited(), 1);
  waitingForGate.add("a Pod elsewhere").delete("pod-2");
  assert.equal(awaited(), 0);
});

test("a target that came meanwhile is awaited, beside old ones", async () => {
  const { clock, mirror, awaited } = await aWorld([aListener({ healthCheck: CHECK, targets: targets(1) })]);
  await clock.advance(61_000);
  assert.equal(awaited(), 0);
  const slot = { listenerId: "lbl-1", ip: "10.244.1.3", port: 8080, weight: 10, podUid: "pod-3" };
  mirror.fold("lb-1", { lane: "bind", targets: [slot] }, [], clock.now());
  assert.equal(awaited(), 1);
  mirror.fold("lb-1", { lane: "drain", weights: [{ ...slot, weight: 0 }] }, [], clock.now());
  assert.equal(awaited(), 0);
});

test("nobody waits for a Pod that is gone, for a target of nobody, or where checks are off", async () => {
  const off = { ...CHECK, enabled: false };
  const rules = [
    aRule({ locationId: "loc-1", healthCheck: CHECK, targets: targets(1, 9) }),
    aRule({ locationId: "loc-2", healthCheck: off, targets: targets(2) }),
  ];
  const { known, awaited } = await aWorld([aListener({ protocol: "HTTP", rules })]);
  assert.equal(awaited(), 1);
  known.end("pod-1");
  assert.equal(awaited(), 0);
});

test("a Pod is awaited in each of its rules until that rule finds it healthy, by the check of that rule", async () => {
  const rules = [
    aRule({ locationId: "loc-1", healthCheck: CHECK, targets: targets(1) }),
    aRule({ locationId: "loc-2", healthCheck: { ...CHECK, intervalSeconds: 9, healthyCount: 2 }, targets: targets(1, 2) }),
  ];
  const { clock, mirror, waitingForGate, say, awaited, awaitedAt } = await aWorld([aListener({ protocol: "HTTP", rules })]);
  const times = (): string[] => awaitedAt("lb-1").map((one) => `${one.intervalSeconds} s x ${one.healthyCount} since ${one.boundAtMs}`);
  const startedMs = clock.now();
  assert.deepEqual(times(), [`5 s x 3 since ${startedMs}`, ...[1, 2].map(() => `9 s x 2 since ${startedMs}`)]);
  say("Alive", "lbl-1/loc-1 10.244.1.1:8080");
  assert.deepEqual(
    times(),
    [1, 2].map(() => `9 s x 2 since ${startedMs}`),
  );
  say("Alive", "lbl-1 10.244.1.1:8080", "lbl-1 10.244.1.2:8080"); // says nothing of rules
  assert.equal(awaited(), 2);
  await clock.advance(61_000);
  assert.equal(awaited(), 0);
  waitingForGate.add("pod-1");
  assert.equal(awaited(), 1); // in the second rule; the first has found it healthy
  const slot = { listenerId: "lbl-1", locationId: "loc-1", ip: "10.244.1.3", port: 8080, weight: 10, podUid: "pod-3" };
  mirror.fold("lb-1", { lane: "bind", targets: [slot] }, [], clock.now());
  assert.deepEqual(times(), [`5 s x 3 since ${startedMs + 61_000}`, `9 s x 2 since ${startedMs}`]);
  say("Dead", "lbl-1/loc-1 10.244.1.1:8080");
  assert.equal(awaited(), 3);
  mirror.fold("lb-1", { lane: "delete", rules: { listenerId: "lbl-1", locationIds: ["loc-2"] } }, [], clock.now());
  assert.equal(awaited(), 2);
});

test("checks that are switched on, and a load balancer that is gone", async () => {
  const { mirror, fill, awaited } = await aWorld([aListener({ healthCheck: { ...CHECK, enabled: false }, targets: targets(1) })]);
  assert.equal(awaited(), 0);
  fill([aListener({ healthCheck: CHECK, targets: targets(1) })]);
  assert.equal(awaited(), 1);
  mirror.forget("lb-1");
  assert.equal(awaited(), 0);
});

test("works out a place once as long as nothing of it changes, also after a new read of the load balancer", async () => {
  const listeners = [1, 2].map((n) => aListener({ listenerId: `lbl-${n}`, port: n, healthCheck: CHECK, targets: targets(1, 2, 3) }));
  const { clock, looks, fill, say, awaited } = await aWorld(listeners);
  for (let n = 0; n < 100; n++) awaited();
  assert.equal(looks.health, 6);
  await clock.advance(61_000);
  fill(structuredClone(listeners));
  awaited();
  assert.equal(looks.health, 6);
  say("Dead", "lbl-2 10.244.1.2:8080");
  awaited();
  assert.equal(looks.health, 9);
});
