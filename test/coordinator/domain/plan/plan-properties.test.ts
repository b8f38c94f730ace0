import assert from "node:assert/strict";
import { test } from "node:test";
import { CALL_LIMITS, type Call } from "../../../../coordinator/domain/call.ts";
import type { WantedBackend } from "../../../../coordinator/domain/intent/backends.ts";
import type { DesiredLoadBalancer, WantedListener } from "../../../../coordinator/domain/intent/desired-load-balancer.ts";
import { isLayer7, type Listener, type LoadBalancer } from "../../../../coordinator/domain/load-balancer.ts";
import { applyCall } from "../../../../coordinator/domain/plan/apply-call.ts";
import { weightEntries } from "../../../../coordinator/domain/plan/fill-calls.ts";
import { PlanCache } from "../../../../coordinator/domain/plan/plan-cache.ts";
import { type Plan, type PlanInput, planLoadBalancer } from "../../../../coordinator/domain/plan/plan-load-balancer.ts";
import type { Holder } from "../../../../coordinator/domain/plan/plan-targets.ts";
import { aDesired, aListener, aLoadBalancer, aRule, aTarget, aWantedHttpListener, aWantedRule, CLUSTER } from "../../../builders.ts";
import { makeRandom } from "../../../cloud/runtime/random.ts";

const NAME = aWantedHttpListener().name;
const SEEDS = Array.from({ length: 60 }, (_, n) => n + 1);

/** What the cloud would answer to a call that makes something. */
const idsFor = (call: Call, step: number): string[] => {
  const made = "create" in call ? call.create.listeners : "createRules" in call ? call.createRules.rules : [];
  return made.map((_, index) => `new-${step}-${index}`);
};

/** A load balancer on which anything may be wrong, and what it should be, out of one number. */
function aMess(seed: number) {
  const random = makeRandom(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const some = <T>(items: readonly T[]): T[] => items.filter(() => random() < 0.6);
  const shuffled = <T>(items: readonly T[]): T[] =>
    items
      .map((item) => ({ item, at: random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ item }) => item);
  const ip = (n: number): string => `10.244.0.${n}`;
  const pods = Array.from({ length: 40 }, (_, n) => n);
  const backends = (): WantedBackend[] =>
    some(pods.slice(0, 25)).map((n) => ({ podUid: `pod-${n}`, ip: ip(n), port: 8080, weight: 10, bindable: random() < 0.9 }));
  const targets = () => some(pods).map((n) => aTarget({ ip: ip(n), weight: below(3) * 10 }));
  const wanted = Array.from({ length: 4 }, (_, n): WantedListener => {
    const port = 80 + n;
    const name = NAME.replace("http80", n % 2 === 0 ? `http${port}` : `tcp${port}`);
    if (n % 2 === 1) return aWantedHttpListener({ name, port, protocol: "TCP", backends: backends() });
    const rules = Array.from({ length: 5 }, (_none, r) =>
      aWantedRule({
        domain: r === 0 ? "" : `S${r}.example.com`,
        url: `/${r}`,
        backends: backends(),
        healthCheck: { intervalSeconds: 5 + (r % 2) },
      }),
    );
    return aWantedHttpListener({ name, port, rules: some(rules) });
  });
  const listeners = wanted.map(({ name, port, protocol }, n): Listener => {
    const listenerId = `lbl-${n}`;
    const rules = Array.from({ length: 7 }, (_, r) =>
      aRule({
        listenerId,
        locationId: `loc-${n}-${r}`,
        domain: r === 0 ? "198.18.0.1" : `s${r}.example.com`,
        url: `/${r}`,
        targets: targets(),
      }),
    );
    return aListener({ listenerId, name, port, protocol, ...(isLayer7(protocol) ? { rules: some(rules) } : { targets: targets() }) });
  });
  const foreign = aListener({ listenerId: "lbl-foreign", name: "by hand", port: 9_000, targets: targets() });
  const leftover = aListener({ listenerId: "lbl-left", name: NAME.replace("http80", "tcp99"), port: 99, targets: targets() });
  const desired = aDesired({ listeners: some(wanted) });
  const actual = aLoadBalancer({ listeners: [...some(listeners), foreign, ...some([leftover])] });
  // Who each address was bound for, and what has become of that Pod.
  const addressClaims = new Map(pods.map((n) => [ip(n), n % 7 === 3 ? `former-${n}` : `pod-${n}`]));
  const holderOf = (address: string): Holder => {
    const n = Number(address.split(".")[3]);
    const podUid = addressClaims.get(address) ?? "";
    if (podUid.startsWith("former")) return { kind: "reused", podUid };
    if (n >= 38) return { kind: "foreign" };
    if (n >= 30) return n % 2 === 0 ? { kind: "terminating", podUid } : { kind: "over", podUid, inferred: false };
    return { kind: "live", podUid };
  };
  const input = (change: Partial<PlanInput> = {}): PlanInput => ({
    clusterId: CLUSTER,
    desired,
    actual,
    holderOf,
    serving: () => true,
    drained: () => true,
    rulesPerCall: 3,
    ...change,
  });
  return { input, shuffled, addressClaims };
}

const mixed = (desired: DesiredLoadBalancer, shuffled: <T>(items: readonly T[]) => T[]): DesiredLoadBalancer => ({
  ...desired,
  listeners: shuffled(desired.listeners).map((listener) => ({
    ...listener,
    backends: shuffled(listener.backends),
    ...(listener.rules && { rules: shuffled(listener.rules).map((rule) => ({ ...rule, backends: shuffled(rule.backends) })) }),
  })),
});
const mixedActual = (actual: LoadBalancer, shuffled: <T>(items: readonly T[]) => T[]): LoadBalancer => ({
  ...actual,
  listeners: shuffled(actual.listeners).map((listener) => ({
    ...listener,
    targets: shuffled(listener.targets),
    rules: shuffled(listener.rules).map((rule) => ({ ...rule, targets: shuffled(rule.targets) })),
  })),
});
/** Findings hold whole listeners, in which nothing is promised about order. */
const found = ({ findings }: Plan): string[] =>
  findings
    .map((finding) =>
      [finding.kind, ...("target" in finding ? [finding.rule?.locationId ?? finding.listener.listenerId, finding.target.ip] : [])].join(
        " ",
      ),
    )
    .sort();

test("the order of what is given decides nothing", () => {
  for (const seed of SEEDS) {
    const { input, shuffled } = aMess(seed);
    const plan = planLoadBalancer(input());
    const { desired, actual } = input();
    const again = planLoadBalancer(input({ desired: mixed(desired, shuffled), actual: mixedActual(actual, shuffled) }));
    assert.deepEqual(again.calls, plan.calls, `seed ${seed}`);
    assert.deepEqual(found(again), found(plan), `seed ${seed}`);
  }
});

/** Carries out one call after the other, as the coordinator does. */
function carryOut(seed: number, look: (step: { input: PlanInput; plan: Plan; call: Call }) => void): void {
  const { input, addressClaims } = aMess(seed);
  let { actual } = input();
  for (let step = 0; step < 60; step++) {
    const plan = planLoadBalancer(input({ actual }));
    const [call] = plan.calls;
    if (call === undefined) return;
    look({ input: input({ actual }), plan, call });
    if ("targets" in call) for (const { ip, podUid } of call.targets) addressClaims.set(ip, podUid);
    if ("slots" in call)
      for (const { ip } of call.slots) if (addressClaims.get(ip)?.startsWith("former")) addressClaims.set(ip, `pod-${ip.split(".")[3]}`);
    actual = { ...actual, listeners: applyCall(actual.listeners, call, idsFor(call, step)) };
  }
  throw new Error(`seed ${seed}: still writing after 60 calls`);
}

test("a plan that has been carried out leaves an empty plan, whatever it began with", () => {
  let calls = 0;
  for (const seed of SEEDS) carryOut(seed, () => (calls += 1));
  assert.ok(calls > 300, `only ${calls} calls: the messes are too tidy`);
});

test("never touches what is foreign, and never exceeds a limit of a call", () => {
  for (const seed of SEEDS)
    carryOut(seed, ({ call, plan }) => {
      assert.ok(!JSON.stringify(plan.calls).includes("lbl-foreign"), `seed ${seed}`);
      if ("createRules" in call) assert.ok(call.createRules.rules.length <= 3);
      if ("weights" in call) {
        assert.ok(call.weights.length <= CALL_LIMITS.targets && weightEntries(call.weights).length <= CALL_LIMITS.weightEntries);
        assert.ok(weightEntries(call.weights).every((entry) => entry.length <= CALL_LIMITS.weightsPerEntry));
      }
    });
});

test("a call under way is not planned again: the plan is the one that comes when it is done", () => {
  for (const seed of SEEDS)
    carryOut(seed, ({ input, plan, call }) => {
      const during = planLoadBalancer({ ...input, inFlight: call }).calls;
      if (call.lane !== "structure") {
        const done = { ...input.actual, listeners: applyCall(input.actual.listeners, call, []) };
        assert.deepEqual(during, planLoadBalancer({ ...input, actual: done }).calls, `seed ${seed}`);
      } else assert.deepEqual(during, plan.calls.slice(1), `seed ${seed}`);
    });
});

test("what is remembered of unchanged places changes no plan", () => {
  for (const seed of SEEDS) {
    const cache = new PlanCache();
    let before = new Map<string, string>();
    carryOut(seed, ({ input, plan }) => {
      const { holderOf } = input;
      const now = new Map(Array.from({ length: 40 }, (_, n) => [`10.244.0.${n}`, JSON.stringify(holderOf(`10.244.0.${n}`))]));
      cache.podsChanged([...now].flatMap(([ip, holder]) => (before.get(ip) === holder ? [] : [ip])));
      before = now;
      assert.deepEqual(planLoadBalancer({ ...input, cache }).calls, plan.calls, `seed ${seed}`);
    });
  }
});

test("a pass after one change plans the changed place only", () => {
  const rules = Array.from({ length: 50 }, (_, n) => {
    const address = `10.244.1.${n}`;
    const backend = { podUid: `pod-${n}`, ip: address, port: 8080, weight: 10, bindable: true };
    return {
      wanted: aWantedRule({ url: `/${n}`, backends: [backend] }),
      bound: aRule({ locationId: `loc-${n}`, url: `/${n}`, targets: [aTarget({ ip: address })] }),
    };
  });
  const asked: string[] = [];
  const cache = new PlanCache();
  const plan = (change: Partial<PlanInput> = {}) => {
    asked.length = 0;
    return planLoadBalancer({
      clusterId: CLUSTER,
      desired: aDesired({ listeners: [aWantedHttpListener({ rules: rules.map(({ wanted }) => wanted) })] }),
      actual: aLoadBalancer({ listeners: [aListener({ name: NAME, protocol: "HTTP", rules: rules.map(({ bound }) => bound) })] }),
      holderOf: (ip) => {
        asked.push(ip);
        return { kind: "live", podUid: `pod-${ip.split(".")[3]}` };
      },
      serving: () => true,
      drained: () => false,
      cache,
      ...change,
    }).calls;
  };
  assert.deepEqual([plan(), asked.length], [[], 50]);
  assert.deepEqual([plan(), asked.length], [[], 0]);
  cache.podsChanged(["10.244.1.7"]);
  assert.deepEqual([plan(), asked], [[], ["10.244.1.7"]]);
  cache.podsChanged(["pod-9"]); // by UID, whatever address it has now
  assert.deepEqual([plan(), asked], [[], ["10.244.1.9"]]);
  const edited = rules.map(({ bound }, n) => (n === 3 ? { ...bound, targets: [] } : bound));
  const calls = plan({ actual: aLoadBalancer({ listeners: [aListener({ name: NAME, protocol: "HTTP", rules: edited })] }) });
  assert.deepEqual([calls.map(({ lane }) => lane), asked], [["bind"], []]);
});

test("plans a place anew where an end or a drain may come without a word about a Pod", () => {
  const actual = aLoadBalancer({
    listeners: [aListener({ name: NAME, protocol: "HTTP", rules: [aRule({ targets: [aTarget({ weight: 0 })] })] })],
  });
  const desired = aDesired({ listeners: [aWantedHttpListener({ rules: [aWantedRule()] })] });
  const cache = new PlanCache();
  const state: { holder: Holder; drained: boolean } = { holder: { kind: "terminating", podUid: "pod-1" }, drained: false };
  const lanes = () => {
    const input = {
      clusterId: CLUSTER,
      desired,
      actual,
      cache,
      serving: () => true,
      drained: () => state.drained,
      holderOf: () => state.holder,
    };
    return planLoadBalancer(input).calls.map(({ lane }) => lane);
  };
  assert.deepEqual(lanes(), []);
  state.drained = true; // time has passed
  assert.deepEqual(lanes(), ["unbind"]);
  state.drained = false;
  state.holder = { kind: "unknown", podUid: "pod-1" };
  assert.deepEqual(lanes(), []);
  state.holder = { kind: "over", podUid: "pod-1", inferred: true }; // the API server has it no more
  assert.deepEqual(lanes(), []); // nobody saw it end, so its drain is waited for
  state.drained = true;
  assert.deepEqual(lanes(), ["unbind"]);
  state.drained = false;
  state.holder = { kind: "over", podUid: "pod-1", inferred: false };
  assert.deepEqual(lanes(), ["unbind"]);
});
