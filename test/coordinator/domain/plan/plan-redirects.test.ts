import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../../coordinator/domain/call.ts";
import type { WantedListener, WantedRule } from "../../../../coordinator/domain/intent/desired-load-balancer.ts";
import type { Listener, Rule } from "../../../../coordinator/domain/load-balancer.ts";
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

const HTTP = aWantedHttpListener().name;
const HTTPS = HTTP.replace("http80", "https443");
const TO = { listener: HTTPS, domain: "example.com", url: "/", code: 301 } as const;
const MADE = { listenerId: "lbl-2", locationId: "loc-2", code: 301 } as const;
const POD = aBackend({ podUid: "pod-1", ip: "10.244.0.1" });
const BOUND = [aTarget({ ip: POD.ip })];

const http = (rule: Partial<Rule>, ...more: readonly Rule[]): Listener =>
  aListener({ name: HTTP, protocol: "HTTP", rules: [aRule(rule), ...more] });
const https = (targets = BOUND): Listener =>
  aListener({
    listenerId: "lbl-2",
    name: HTTPS,
    protocol: "HTTPS",
    port: 443,
    rules: [aRule({ listenerId: "lbl-2", locationId: "loc-2", targets })],
  });
const wanted = (...rules: readonly Partial<WantedRule>[]): WantedListener[] => [
  ...(rules.length === 0 ? [] : [aWantedHttpListener({ rules: rules.map(aWantedRule) })]),
  aWantedHttpListener({ name: HTTPS, protocol: "HTTPS", port: 443, rules: [aWantedRule({ backends: [POD] })] }),
];

function planned(listeners: readonly Listener[], wish: readonly WantedListener[], change: Partial<PlanInput> = {}): string[] {
  const { calls } = planLoadBalancer({
    clusterId: CLUSTER,
    desired: aDesired({ listeners: wish, owners: [{ ref: wish[0]?.owner ?? aWantedHttpListener().owner, state: "served" }] }),
    actual: aLoadBalancer({ listeners }),
    holderOf: (): Holder => ({ kind: "live", podUid: "pod-1" }),
    serving: () => true,
    drained: () => false,
    ...change,
  });
  return calls.map(brief);
}
function brief(call: Call): string {
  if ("redirects" in call) {
    const { listenerId, targetListenerId, rules } = call.redirects;
    const pairs = rules.map((rule) => `${rule.locationId} to ${rule.targetLocationId} ${rule.code}${rule.keepsPath ? " path" : ""}`);
    return `${call.lane === "structure" ? "make" : "end"} ${listenerId} ${targetListenerId} ${pairs.join()}`;
  }
  if ("weights" in call) return `${call.lane} ${call.weights.map(({ locationId, weight }) => `${locationId}=${weight}`).join()}`;
  if ("targets" in call) return `bind ${call.targets.map(({ locationId }) => locationId).join()}`;
  if ("rules" in call) return `delete ${call.rules.locationIds.join()}`;
  return "listenerIds" in call ? `delete ${call.listenerIds.join()}` : call.lane;
}
const MAKE = "make lbl-1 lbl-2 loc-1 to loc-2 301 path";
const END = "end lbl-1 lbl-2 loc-1 to loc-2 301";

for (const [title, listeners, rule, calls] of [
  ["a rule that serves nobody redirects as soon as the other one is there", [http({}), https()], { redirect: TO }, [MAKE]],
  ["one that redirects already is left alone", [http({ redirect: MADE }), https()], { redirect: TO }, []],
  ["so is one whose code the cloud does not tell", [http({ redirect: { ...MADE, code: 0 } }), https()], { redirect: TO }, []],
  ["what it serves leaves when it redirects", [http({ targets: BOUND, redirect: MADE }), https()], { redirect: TO }, ["drain loc-1=0"]],
  ["and no sooner", [http({ targets: BOUND }), https()], { redirect: TO }, [MAKE]],
  ["another code: a rule has one redirect only", [http({ redirect: MADE }), https()], { redirect: { ...TO, code: 302 } }, [END]],
  ["one that nobody wrote of stays", [http({ redirect: MADE }), https()], { backends: [POD] }, ["bind loc-1"]],
  ["it ends when its backends serve", [http({ redirect: MADE, targets: BOUND }), https()], { backends: [POD], redirect: "none" }, [END]],
  ["and no sooner than they do", [http({ redirect: MADE }), https()], { backends: [POD], redirect: "none" }, ["bind loc-1"]],
] as const satisfies readonly (readonly [string, readonly Listener[], Partial<WantedRule>, readonly string[]])[])
  test(`redirects: ${title}`, () => assert.deepEqual(planned(listeners, wanted(rule)), calls));

test("clients are not sent from a rule that serves to one that does not", () => {
  const notYet = { serving: (place: { readonly listenerId: string }) => place.listenerId === "lbl-1" };
  assert.deepEqual(planned([http({ targets: BOUND }), https()], wanted({ redirect: TO }), notYet), []);
  assert.deepEqual(planned([http({ targets: BOUND }), https([])], wanted({ redirect: TO }), notYet), ["bind loc-2"]);
});

test("one that leads elsewhere stays until what it is to lead to serves", () => {
  const other = { ...MADE, locationId: "loc-3" };
  const old = aRule({ listenerId: "lbl-2", locationId: "loc-3", domain: "old.example.com", targets: BOUND });
  const listeners = (targets = BOUND) => [http({ redirect: other }), { ...https(targets), rules: [...https(targets).rules, old] }];
  assert.deepEqual(planned(listeners([]), wanted({ redirect: TO }))[0], "bind loc-2");
  assert.ok(!planned(listeners([]), wanted({ redirect: TO })).some((call) => call.startsWith("end")));
  assert.deepEqual(planned(listeners(), wanted({ redirect: TO })), ["end lbl-1 lbl-2 loc-1 to loc-3 301"]);
});

test("where a load balancer binds nothing beside a redirect, that ends all the same", () => {
  const refused = { broken: () => true };
  const calls = planned([http({ redirect: MADE }), https()], wanted({ backends: [POD], redirect: "none" }), refused);
  assert.deepEqual(calls, ["bind loc-1", END]);
});

test("a rule that redirects goes when what replaces it serves, and its redirect before it", () => {
  const gone = http({ redirect: MADE });
  assert.deepEqual(planned([gone, https()], wanted()), [END]);
  assert.deepEqual(planned([http({}), https()], wanted()), ["delete lbl-1"]);
  // Empty, but it serves its clients: it stays as long as one with backends would.
  assert.deepEqual(planned([gone, https()], wanted(), { serving: () => false }), []);
});

test("a redirect to what goes ends first, also where its own rule stays", () => {
  const gone = { ...aDesired().owners[0], ref: aWantedHttpListener().owner, state: "deleted" as const };
  const desired = aDesired({ listeners: [], owners: [gone] });
  assert.deepEqual(planned([http({ redirect: MADE }), https([])], [], { desired }), [END]);
  assert.deepEqual(planned([http({}), https([])], [], { desired }), ["delete lbl-1,lbl-2"]);
});
