/** What is remembered of listeners and rules that are as they are wanted, and what ends that. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DesiredLoadBalancer, WantedListener } from "../../../../coordinator/domain/intent/desired-load-balancer.ts";
import { DEFAULT_HEALTH_CHECK, type Listener, type LoadBalancer } from "../../../../coordinator/domain/load-balancer.ts";
import { PlanCache } from "../../../../coordinator/domain/plan/plan-cache.ts";
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
  LISTENER_NAME,
  SERVICE_UID,
} from "../../../builders.ts";

const NAMES = { http: LISTENER_NAME.replace("tcp80", "http80"), other: LISTENER_NAME.replace("tcp80", "tcp81") };
const wantedHttp = aWantedHttpListener({ rules: [aWantedRule({ backends: [aBackend()] }), aWantedRule({ domain: "", url: "/own" })] });
const wantedTcp = aWantedHttpListener({ name: NAMES.other, protocol: "TCP", port: 81, backends: [aBackend()] });
const { rules: _, ...tcp } = wantedTcp;
const http = aListener({
  name: NAMES.http,
  protocol: "HTTP",
  rules: [aRule({ targets: [aTarget()] }), aRule({ locationId: "loc-2", domain: "198.18.0.1", url: "/own" })],
});
const bound = aListener({ listenerId: "lbl-2", name: NAMES.other, port: 81, targets: [aTarget()] });

/** A load balancer that is as it is wanted. `plan` compares each plan with one by somebody who remembers nothing. */
function aWorld() {
  const cache = new PlanCache();
  const holders = new Map<string, Holder>([1, 2].map((n) => [`10.244.1.${n}`, { kind: "live", podUid: `pod-${n}` }]));
  let [recalled, asked] = [0, 0];
  const recall = cache.structure.recall.bind(cache.structure);
  cache.structure.recall = (...from) => {
    const known = recall(...from);
    if (known !== undefined) recalled += 1;
    return known;
  };
  const world: { desired: DesiredLoadBalancer; actual: LoadBalancer } = {
    desired: aDesired({ listeners: [wantedHttp, tcp] }),
    actual: aLoadBalancer({ listeners: [http, bound] }),
  };
  const input = (): PlanInput => ({
    clusterId: CLUSTER,
    ...world,
    holderOf: (ip) => {
      asked += 1;
      return holders.get(ip) ?? { kind: "foreign" };
    },
    serving: () => true,
    drained: () => false,
    quotas: { listenersPerLoadBalancer: 3, rulesPerListener: 2, targetsPerPlace: 1 },
  });
  const plan = () => {
    const fresh = planLoadBalancer(input());
    [recalled, asked] = [0, 0];
    const { calls, findings } = planLoadBalancer({ ...input(), cache });
    assert.deepEqual({ calls, findings }, { calls: fresh.calls, findings: fresh.findings });
    return { lanes: calls.map(({ lane }) => lane), findings: findings.map(({ kind }) => kind), recalled, asked };
  };
  const setListeners = (...listeners: readonly Listener[]): void => void (world.actual = { ...world.actual, listeners });
  const want = (...listeners: readonly WantedListener[]): void => void (world.desired = { ...world.desired, listeners });
  return { world, cache, holders, plan, setListeners, want };
}

test("looks at no place in which nothing has changed", () => {
  const { plan } = aWorld();
  assert.deepEqual(plan(), { lanes: [], findings: [], recalled: 0, asked: 2 });
  assert.deepEqual(plan(), { lanes: [], findings: [], recalled: 1, asked: 0 });
});

test("looks at a place whose targets or wanted Pods are others, and at no other one", () => {
  const { plan, setListeners, want } = aWorld();
  plan();
  setListeners(http, { ...bound, targets: [] });
  assert.deepEqual(plan(), { lanes: ["bind"], findings: [], recalled: 1, asked: 0 });
  setListeners(http, bound);
  plan();
  want(wantedHttp, { ...tcp, backends: [aBackend({ weight: 20 })] });
  assert.deepEqual(plan(), { lanes: ["tune"], findings: [], recalled: 1, asked: 1 });
  want({ ...wantedHttp, rules: (wantedHttp.rules ?? []).map((rule) => ({ ...rule, backends: [] })) }, tcp);
  assert.deepEqual(plan().recalled, 1);
  setListeners({ ...http, rules: http.rules.map((rule) => ({ ...rule, targets: [] })) }, bound);
  assert.deepEqual(plan(), { lanes: [], findings: [], recalled: 1, asked: 0 });
});

test("looks at a place again when its Pod has changed, which nothing else shows", () => {
  const { plan, holders, cache } = aWorld();
  plan();
  plan();
  holders.set("10.244.1.1", { kind: "reused", podUid: "pod-0" });
  cache.podsChanged(["10.244.1.1"]);
  assert.deepEqual(plan(), { lanes: ["conflict", "bind"].slice(0, 1), findings: [], recalled: 1, asked: 2 });
  holders.set("10.244.1.1", { kind: "live", podUid: "pod-1" });
  cache.podsChanged(["pod-0"]);
  assert.deepEqual(plan().lanes, []);
});

const OWNER = { kind: "Service", namespace: "demo", name: "web", uid: SERVICE_UID } as const;
const ended: Readonly<Record<string, (from: ReturnType<typeof aWorld>) => void>> = {
  "the check of a listener is wished otherwise": ({ want }) => want(wantedHttp, { ...tcp, healthCheck: { intervalSeconds: 77 } }),
  "the check of a rule is wished otherwise": ({ want }) =>
    want({ ...wantedHttp, rules: (wantedHttp.rules ?? []).map((rule) => ({ ...rule, healthCheck: { intervalSeconds: 77 } })) }, tcp),
  "a listener is set otherwise by hand": ({ setListeners, want }) => {
    want(wantedHttp, { ...tcp, healthCheck: { intervalSeconds: DEFAULT_HEALTH_CHECK.intervalSeconds } });
    setListeners(http, { ...bound, healthCheck: { ...DEFAULT_HEALTH_CHECK, intervalSeconds: 77 } });
  },
  "a listener is deleted by hand": ({ setListeners }) => setListeners(http),
  "a rule is deleted by hand": ({ setListeners }) => setListeners({ ...http, rules: http.rules.slice(0, 1) }, bound),
  "a rule has another path": ({ setListeners }) =>
    setListeners({ ...http, rules: http.rules.map((rule) => ({ ...rule, url: "/new" })) }, bound),
  "a listener is asked for no more": ({ want }) => want(wantedHttp),
  "a rule is asked for no more": ({ want }) => want({ ...wantedHttp, rules: (wantedHttp.rules ?? []).slice(0, 1) }, tcp),
  "another listener is asked for": ({ want }) => want(wantedHttp, tcp, { ...tcp, name: LISTENER_NAME, port: 80 }),
  "an owner is deleted": ({ world }) =>
    void (world.desired = { ...world.desired, owners: [{ ref: OWNER, state: "deleted" }], listeners: [] }),
  "an owner vanishes": ({ world }) => void (world.desired = { ...world.desired, owners: [{ ref: OWNER, state: "vanished" }] }),
  "the load balancer has another address": ({ world }) => void (world.actual = { ...world.actual, vips: ["198.18.0.9"] }),
  "a rule redirects by hand, and is wished not to": ({ setListeners, want }) => {
    want({ ...wantedHttp, rules: (wantedHttp.rules ?? []).map((rule) => ({ ...rule, redirect: "none" as const })) }, tcp);
    const redirect = { listenerId: "lbl-1", locationId: "loc-2", code: 301 };
    setListeners({ ...http, rules: http.rules.map((rule, at) => (at === 0 ? { ...rule, redirect } : rule)) }, bound);
  },
  "a listener of another name is there in place of ours": ({ setListeners }) => setListeners(http, { ...bound, name: "by hand" }),
};
for (const [what, change] of Object.entries(ended))
  test(`plans all anew when ${what}`, () => {
    const from = aWorld();
    from.plan();
    assert.equal(from.plan().recalled, 1);
    change(from);
    const { lanes, findings, recalled } = from.plan();
    assert.equal(recalled, 0);
    assert.ok(lanes.length + findings.length > 0, "it made no difference");
  });

test("tells of a place in each pass what it told of it before", () => {
  const { plan, want, setListeners } = aWorld();
  const [ready, unready] = [aBackend(), aBackend({ podUid: "pod-2", ip: "10.244.1.2", bindable: false })];
  want(wantedHttp, { ...tcp, backends: [ready, unready] });
  setListeners(http, { ...bound, targets: [aTarget(), aTarget({ ip: "10.244.1.2", weight: 0 })] });
  const told = plan();
  assert.deepEqual([told.findings, plan().findings, plan().findings], [told.findings, told.findings, told.findings]);
  assert.ok(told.findings.includes("unready"));
});

test("forecasts what is refused, also where listeners and rules are as they are wanted", () => {
  const { plan, want, world } = aWorld();
  plan();
  want(wantedHttp, { ...tcp, backends: [aBackend(), aBackend({ podUid: "pod-2", ip: "10.244.1.2" })] });
  assert.deepEqual(plan().findings, ["quota"]);
  want(wantedHttp, tcp);
  const hand = [1, 2].map((n) => aListener({ listenerId: `lbl-9${n}`, name: `by hand ${n}`, port: 9_000 + n }));
  world.actual = { ...world.actual, listeners: [...world.actual.listeners, ...hand] };
  assert.deepEqual([plan().findings, plan()], [["quota"], { lanes: [], findings: ["quota"], recalled: 1, asked: 0 }]);
});

test("a conflict that comes up is no matter of listeners, and is not passed over", () => {
  const { plan, world } = aWorld();
  plan();
  const conflict = { owner: { ...OWNER, uid: "6e21c0ff-ee12-0000-0000-000000000000" }, holder: OWNER, protocol: "TCP", port: 81 } as const;
  world.desired = { ...world.desired, conflicts: [conflict] };
  assert.equal(plan().recalled, 0);
});
