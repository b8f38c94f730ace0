import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../../coordinator/domain/call.ts";
import type { DesiredLoadBalancer, WantedListener } from "../../../../coordinator/domain/intent/desired-load-balancer.ts";
import { type Listener, placesOf } from "../../../../coordinator/domain/load-balancer.ts";
import { applyCall } from "../../../../coordinator/domain/plan/apply-call.ts";
import { type PlanInput, planLoadBalancer } from "../../../../coordinator/domain/plan/plan-load-balancer.ts";
import type { Holder } from "../../../../coordinator/domain/plan/plan-targets.ts";
import {
  aBackend,
  aDesired,
  aListener,
  aLoadBalancer,
  aRule,
  aTarget,
  aWantedHttpListener,
  aWantedRule,
  CLUSTER,
} from "../../../builders.ts";

const NAME = aWantedHttpListener().name;
const backends = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => {
    const n = from + index;
    return aBackend({ podUid: `pod-${n}`, ip: `10.244.${Math.floor(n / 250)}.${n % 250}` });
  });
const wantedRules = (count: number, perRule: number, from = 0) =>
  Array.from({ length: count }, (_, index) => aWantedRule({ url: `/${from + index}`, backends: backends(perRule) }));
const anHttpListener = (change: Partial<Listener> = {}): Listener => aListener({ name: NAME, protocol: "HTTP", ...change });
const input = (change: Partial<PlanInput>): PlanInput => ({
  clusterId: CLUSTER,
  desired: aDesired({ listeners: [aWantedHttpListener()] }),
  actual: aLoadBalancer({ listeners: [anHttpListener()] }),
  holderOf: (): Holder => ({ kind: "foreign" }),
  serving: () => true,
  drained: () => false,
  ...change,
});
const wanting = (rules: WantedListener["rules"] = []): DesiredLoadBalancer => aDesired({ listeners: [aWantedHttpListener({ rules })] });
const plan = (change: Partial<PlanInput>): readonly Call[] => planLoadBalancer(input(change)).calls;
/** E.g. ["rules 20", "bind 500"]. */
const brief = (calls: readonly Call[]): string[] =>
  calls.map((call) => {
    if ("createRules" in call) return `rules ${call.createRules.rules.length}`;
    if ("targets" in call) return `bind ${call.targets.length}`;
    return "weights" in call ? `${call.lane} ${call.weights.length}` : call.lane;
  });

/** Carries the plan out to the end; ids are given as the cloud would. */
function carryOut(from: PlanInput): { readonly done: string[]; readonly listeners: readonly Listener[] } {
  let { listeners } = from.actual;
  const done: string[] = [];
  for (; done.length < 200; ) {
    const [call] = planLoadBalancer({ ...from, actual: { ...from.actual, listeners } }).calls;
    if (call === undefined) return { done, listeners };
    const made = "createRules" in call ? call.createRules.rules : "create" in call ? call.create.listeners : [];
    listeners = applyCall(
      listeners,
      call,
      made.map((_, index) => `id-${done.length}-${index}`),
    );
    done.push(...brief([call]));
  }
  throw new Error(`no end after ${done.slice(0, 20).join(", ")}`);
}

test("an HTTP listener comes first, then its rules, then their backends", () => {
  const { done, listeners } = carryOut(input({ desired: wanting(wantedRules(3, 4)), actual: aLoadBalancer() }));
  assert.deepEqual(done, ["structure", "rules 3", "bind 12"]);
  assert.deepEqual(
    placesOf({ listeners }).map(({ targets }) => targets.length),
    [4, 4, 4],
  );
});

test("a rule carries its place into every lane of its backends", () => {
  const rule = aRule({
    targets: [
      aTarget({ ip: "10.244.9.1" }),
      aTarget({ ip: "10.244.9.2" }),
      aTarget({ ip: "10.244.9.3", weight: 0 }),
      aTarget({ ip: "10.244.0.0", weight: 3 }),
    ],
  });
  const kinds: Record<string, Holder> = {
    "10.244.9.1": { kind: "reused", podUid: "old" },
    "10.244.9.2": { kind: "terminating", podUid: "ending" },
    "10.244.9.3": { kind: "over", podUid: "over", inferred: false },
  };
  const calls = plan({
    desired: wanting([aWantedRule({ backends: backends(2) })]),
    actual: aLoadBalancer({ listeners: [anHttpListener({ rules: [rule] })] }),
    holderOf: (ip) => kinds[ip] ?? { kind: "live", podUid: "pod-0" },
  });
  const at = { listenerId: "lbl-1", locationId: "loc-1", port: 8080 };
  assert.deepEqual(calls, [
    { lane: "conflict", slots: [{ ...at, ip: "10.244.9.1" }] },
    { lane: "drain", weights: [{ ...at, ip: "10.244.9.2", weight: 0 }] },
    { lane: "bind", targets: [{ ...at, ip: "10.244.0.1", weight: 10, podUid: "pod-1" }] },
    { lane: "unbind", slots: [{ ...at, ip: "10.244.9.3" }] },
    { lane: "tune", weights: [{ ...at, ip: "10.244.0.0", weight: 10 }] },
  ]);
});

test("creates as many rules per call as configured, one listener per call, those with backends first", () => {
  const bare = Array.from({ length: 30 }, (_, n) => aWantedRule({ url: `/bare/${n}` }));
  const desired = wanting([...bare, ...wantedRules(25, 1)]);
  const releases = (calls: readonly Call[]) =>
    calls.map((call) =>
      "createRules" in call ? call.createRules.rules.map(({ url }) => (url.startsWith("/bare") ? "-" : "+")).join("") : "",
    );
  assert.deepEqual(releases(plan({ desired })), ["+".repeat(20), `${"+".repeat(5)}${"-".repeat(15)}`, "-".repeat(15)]);
  assert.deepEqual(brief(plan({ desired, rulesPerCall: 50 })), ["rules 50", "rules 5"]);
});

test("takes domains in any case for one, and the load balancer's address for none", () => {
  const rules = [aRule({ domain: "shop.example.com" }), aRule({ locationId: "loc-2", domain: "198.18.0.1" })];
  const actual = aLoadBalancer({ listeners: [anHttpListener({ rules })] });
  const same = [aWantedRule({ domain: "Shop.EXAMPLE.com" }), aWantedRule({ domain: "" })];
  assert.deepEqual(plan({ desired: wanting(same), actual }), []);
  assert.deepEqual(brief(plan({ desired: wanting([...same, aWantedRule({ domain: "~^Shop" })]), actual })), ["rules 1"]);
});

test("what the cloud fills in is no difference; what is wished and differs is one", () => {
  const echoed = { ...aRule().healthCheck, httpPath: "/", httpMethod: "HEAD", httpCodes: 31 } as const;
  const actual = aLoadBalancer({ listeners: [anHttpListener({ rules: [aRule({ healthCheck: echoed })] })] });
  const wish = (healthCheck: object) => plan({ desired: wanting([aWantedRule({ healthCheck })]), actual });
  assert.deepEqual([wish({}), wish({ httpPath: "/", intervalSeconds: 5 })], [[], []]);
  const place = { lane: "tune", listenerId: "lbl-1", locationId: "loc-1" };
  assert.deepEqual(wish({ httpPath: "/health" }), [{ ...place, healthCheck: { ...echoed, httpPath: "/health" } }]);
  const scheduled = plan({ desired: wanting([aWantedRule({ scheduler: "IP_HASH" })]), actual });
  assert.deepEqual(scheduled, [{ ...place, healthCheck: echoed, scheduler: "IP_HASH" }]);
});

test("deletes rules that nobody asks for, at most 20 per call, and only where the owner is known to ask", () => {
  const rules = Array.from({ length: 21 }, (_, n) => aRule({ locationId: `loc-${n}`, url: `/${n}` }));
  const actual = aLoadBalancer({ listeners: [anHttpListener({ rules })] });
  const gone = plan({ desired: wanting([aWantedRule({ url: "/3" })]), actual });
  assert.deepEqual(
    gone.map((call) => "rules" in call && [call.rules.listenerId, call.rules.locationIds.length, call.rules.locationIds.includes("loc-3")]),
    [["lbl-1", 20, false]],
  );
  const [owner] = aDesired().owners;
  assert.ok(owner !== undefined);
  assert.deepEqual(plan({ desired: aDesired({ owners: [{ ...owner, state: "held" }] }), actual }), []);
  assert.deepEqual(plan({ desired: aDesired({ owners: [] }), actual }), []);
  const deleted = plan({ desired: aDesired({ owners: [{ ...owner, state: "deleted" }] }), actual });
  assert.deepEqual(deleted, [{ lane: "delete", listenerIds: ["lbl-1"] }]); // with its rules
});

test("leaves the rules of a foreign listener alone", () => {
  const foreign = anHttpListener({ name: "by hand", rules: [aRule({ targets: [aTarget()] })], port: 81 });
  const { calls, findings } = planLoadBalancer(input({ actual: aLoadBalancer({ listeners: [anHttpListener(), foreign] }) }));
  assert.deepEqual([calls, findings], [[], []]);
});

test("fills binds across listeners and rules", () => {
  const rules = Array.from({ length: 6 }, (_, n) => aRule({ locationId: `loc-${n}`, url: `/${n}` }));
  const flat = aListener({ listenerId: "lbl-2", name: NAME.replace("http80", "tcp81"), port: 81 });
  const { name, port } = flat;
  const desired = aDesired({
    listeners: [
      aWantedHttpListener({ rules: wantedRules(6, 90) }),
      { ...aWantedHttpListener({ name, port, backends: backends(90) }), protocol: "TCP" },
    ],
  });
  const calls = plan({ desired, actual: aLoadBalancer({ listeners: [anHttpListener({ rules }), flat] }) });
  assert.deepEqual(brief(calls), ["bind 500", "bind 130"]);
});

test("binds a full call before it creates more rules, and otherwise lets the next rules fill it", () => {
  const { done } = carryOut(input({ desired: wanting(wantedRules(60, 30)) }));
  // 600 backends per 20 rules: 100 are left, then 200, then 300.
  assert.deepEqual(done, ["rules 20", "bind 500", "rules 20", "bind 500", "rules 20", "bind 500", "bind 300"]);
});

test("is never slower than all rules first, with the same number of calls", () => {
  const podAt = new Map(backends(50).map(({ ip, podUid }) => [ip, podUid]));
  const tau = (rules: number): number => 3.88 + 0.005 * rules;
  for (const [rules, perCall] of [
    [199, 20],
    [399, 20],
    [399, 50],
  ] as const) {
    const existing = aRule({ locationId: "loc-old", url: "/old", targets: backends(50).map(({ ip }) => aTarget({ ip })) });
    const desired = wanting([...wantedRules(rules, 50), aWantedRule({ url: "/old", backends: backends(50) })]);
    const holderOf = (ip: string): Holder => ({ kind: "live", podUid: podAt.get(ip) ?? "" });
    const actual = aLoadBalancer({ listeners: [anHttpListener({ rules: [existing] })] });
    const { done } = carryOut(input({ desired, actual, holderOf, rulesPerCall: perCall }));
    const creations = Math.ceil(rules / perCall);
    const binds = Math.ceil((rules * 50) / 500);
    assert.equal(done.length, creations + binds);
    let present = 1;
    let seconds = 0;
    for (const step of done) {
      seconds += tau(present);
      if (step.startsWith("rules")) present += Number(step.slice(6));
    }
    const first = Array.from({ length: creations }, (_, n) => tau(1 + n * perCall)).reduce((sum, each) => sum + each, 0);
    const allRulesFirst = first + binds * tau(rules + 1);
    assert.ok(seconds < allRulesFirst * 0.95, `${seconds} s instead of ${allRulesFirst} s`);
  }
});

test("a rollout waits for one creation of rules at most, also if that costs a call", () => {
  const old = aRule({ locationId: "loc-old", url: "/old", targets: [aTarget({ ip: "10.244.0.0" })] });
  const actual = aLoadBalancer({ listeners: [anHttpListener({ rules: [old] })] });
  const holderOf = (): Holder => ({ kind: "live", podUid: "pod-0" });
  const rollout = (rules: number, perRule: number) => {
    const desired = wanting([...wantedRules(rules, perRule), aWantedRule({ url: "/old", backends: backends(5) })]);
    return brief(plan({ desired, actual, holderOf }));
  };
  assert.deepEqual(rollout(60, 2), ["bind 4", "rules 20", "rules 20", "rules 20"]);
  assert.deepEqual(rollout(60, 30), ["rules 20", "rules 20", "rules 20", "bind 4"]); // the first creation fills the call
  const fresh = aLoadBalancer({ listeners: [anHttpListener({ rules: [{ ...old, targets: [] }] })] });
  const desired = wanting([...wantedRules(60, 2), aWantedRule({ url: "/old", backends: backends(5) })]);
  assert.deepEqual(brief(plan({ desired, actual: fresh })), ["rules 20", "rules 20", "rules 20", "bind 5"]); // nobody serves there yet
});

test("what a running call does is not planned again", () => {
  const desired = wanting(wantedRules(30, 2));
  const actual = aLoadBalancer({ listeners: [anHttpListener({ rules: [aRule({ url: "/0" })] })] });
  const calls = plan({ desired, actual });
  assert.deepEqual(brief(calls), ["rules 20", "rules 9", "bind 2"]);
  assert.deepEqual(brief(plan({ desired, actual, inFlight: calls[0] })), ["rules 9", "bind 2"]);
  assert.deepEqual(brief(plan({ desired, actual, inFlight: calls[2] })), ["rules 20", "rules 9"]);
  const [listener] = plan({ desired, actual: aLoadBalancer() });
  assert.deepEqual(
    [brief(plan({ desired, actual: aLoadBalancer() })), plan({ desired, actual: aLoadBalancer(), inFlight: listener })],
    [["structure"], []],
  );
});

test("makes room first where the cloud refused more for a quota", () => {
  const gone = aRule({ locationId: "loc-gone", url: "/gone" });
  const kept = aRule({ targets: [aTarget({ ip: "10.244.9.1", weight: 0 })] });
  const actual = aLoadBalancer({ listeners: [anHttpListener({ rules: [gone, kept] })] });
  const desired = wanting([aWantedRule({ backends: backends(2) }), ...wantedRules(1, 0)]);
  const holderOf = (): Holder => ({ kind: "over", podUid: "old", inferred: false });
  assert.deepEqual(brief(plan({ desired, actual, holderOf })), ["rules 1", "bind 2", "unbind"]); // an old rule goes when the new ones are there
  assert.deepEqual(brief(plan({ desired, actual, holderOf, roomFirst: true })), ["unbind", "delete", "rules 1", "bind 2"]);
});

test("a quota that will not do is found, and nothing is planned less for it", () => {
  const quotas = { listenersPerLoadBalancer: 50, rulesPerListener: 50, targetsPerPlace: 3 };
  const from = input({
    desired: wanting([aWantedRule({ backends: backends(5) })]),
    actual: aLoadBalancer({ listeners: [anHttpListener({ rules: [aRule()] })] }),
    quotas,
  });
  const { calls, findings } = planLoadBalancer(from);
  assert.deepEqual([brief(calls), findings.map(({ kind }) => kind)], [["bind 5"], ["quota"]]);
});

test("a rule without a host is for the VIP, and for the name of a load balancer that has none", () => {
  const desired = wanting([aWantedRule({ domain: "" })]);
  for (const [at, domain] of [
    [{}, "198.18.0.1"],
    [{ vips: [], domain: "LB-1.clb.example.com" }, "lb-1.clb.example.com"],
  ] as const) {
    const { done, listeners } = carryOut(input({ desired, actual: aLoadBalancer(at) }));
    assert.deepEqual(done, ["structure", "rules 1"]);
    assert.equal(listeners[0]?.rules[0]?.domain, domain);
  }
});
