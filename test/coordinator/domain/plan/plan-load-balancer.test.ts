import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../../coordinator/domain/call.ts";
import { desiredLoadBalancer } from "../../../../coordinator/domain/intent/desire.ts";
import type { OwnerStanding, OwnerWishes } from "../../../../coordinator/domain/intent/owner-intent.ts";
import type { LoadBalancer } from "../../../../coordinator/domain/load-balancer.ts";
import { type PlanInput, planLoadBalancer } from "../../../../coordinator/domain/plan/plan-load-balancer.ts";
import type { Holder } from "../../../../coordinator/domain/plan/plan-targets.ts";
import { Mirror } from "../../../../coordinator/state/mirror.ts";
import { aListener, aLoadBalancer, anIntent, anOwner, aPod, aService, aTarget, CLUSTER, LISTENER_NAME } from "../../../builders.ts";

const pods = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => {
    const n = from + index;
    return aPod({ uid: `pod-${n}`, name: `web-${n}`, ips: [`10.244.${Math.floor(n / 250)}.${n % 250}`] });
  });
const claim = (service = aService(), standing?: OwnerStanding): OwnerWishes => ({ owner: anOwner(service, standing), wishes: new Map() });
const input = (change: Partial<PlanInput> & { podFacts?: ReturnType<typeof pods>; claims?: readonly OwnerWishes[] }): PlanInput => ({
  clusterId: CLUSTER,
  desired: desiredLoadBalancer({
    loadBalancerId: "lb-1",
    clusterId: CLUSTER,
    owners: change.claims ?? [claim()],
    podsOf: () => change.podFacts ?? [],
  }),
  actual: aLoadBalancer(),
  holderOf: (): Holder => ({ kind: "foreign" }),
  serving: () => true,
  drained: () => false,
  ...change,
});
const lanes = (calls: readonly Call[]): string[] => calls.map(({ lane }) => lane);

test("creates the listener before it binds", () => {
  const { calls } = planLoadBalancer(input({ podFacts: pods(2) }));
  assert.deepEqual(lanes(calls), ["structure"]);
  assert.deepEqual(calls[0], {
    lane: "structure",
    create: { protocol: "TCP", healthCheck: {}, listeners: [{ name: LISTENER_NAME, port: 80 }] },
  });
});

test("fills binds to 500 targets", () => {
  const { calls } = planLoadBalancer(input({ podFacts: pods(1_201), actual: aLoadBalancer({ listeners: [aListener()] }) }));
  assert.deepEqual(
    calls.map((call) => ("targets" in call ? call.targets.length : call.lane)),
    [500, 500, 201],
  );
});

test("fills weight calls to 50 targets per entry and 500 per call", () => {
  const targets = pods(600).map(({ ips }) => aTarget({ ip: ips[0] ?? "" }));
  const { calls } = planLoadBalancer(
    input({ actual: aLoadBalancer({ listeners: [aListener({ targets })] }), holderOf: () => ({ kind: "terminating", podUid: "x" }) }),
  );
  assert.deepEqual(
    calls.map((call) => ("weights" in call ? call.weights.length : call.lane)),
    [500, 100],
  );
});

test("orders the lanes: what hurts first, what removes last", () => {
  const listener = aListener({
    targets: [
      aTarget({ ip: "10.244.0.200" }),
      aTarget({ ip: "10.244.0.201" }),
      aTarget({ ip: "10.244.0.202", weight: 0 }),
      aTarget({ ip: "10.244.0.0", weight: 3 }),
    ],
  });
  const holderOf = (ip: string): Holder => {
    if (ip === "10.244.0.200") return { kind: "reused", podUid: "old" };
    if (ip === "10.244.0.201") return { kind: "terminating", podUid: "ending" };
    if (ip === "10.244.0.202") return { kind: "over", podUid: "over", inferred: false };
    return { kind: "live", podUid: "pod-0" };
  };
  const service = aService({
    ports: [
      { name: "http", protocol: "TCP", port: 80, targetPort: 8080 },
      { name: "more", protocol: "TCP", port: 81, targetPort: 8080 },
    ],
  });
  const gone = aService({ uid: "deadbeef-0000-0000-0000-000000000000", name: "gone" });
  const doomed = aListener({ listenerId: "lbl-2", name: `cd-${CLUSTER}-deadbeef0000-tcp79`, port: 79 });
  const deleted: OwnerStanding = { state: "deleted", intent: undefined, loadBalancerId: "lb-1" };
  const { calls } = planLoadBalancer(
    input({
      claims: [claim(service), claim(gone, deleted)],
      podFacts: pods(2),
      actual: aLoadBalancer({ listeners: [listener, doomed] }),
      holderOf,
    }),
  );
  assert.deepEqual(lanes(calls), ["conflict", "drain", "structure", "bind", "unbind", "tune", "delete"]);
});

test("a conflict that gets no traffic any more waits for the drains, unless it can go along with one that does", () => {
  const holderOf = (ip: string): Holder =>
    ip === "10.244.0.201" ? { kind: "terminating", podUid: "ending" } : { kind: "reused", podUid: `former ${ip}` };
  const planned = (weight: number) =>
    planLoadBalancer(
      input({
        actual: aLoadBalancer({
          listeners: [
            aListener({
              targets: [
                aTarget({ ip: "10.244.0.200", weight: 0 }),
                aTarget({ ip: "10.244.0.201" }),
                aTarget({ ip: "10.244.0.202", weight }),
              ],
            }),
          ],
        }),
        holderOf,
      }),
    ).calls.map((call) => [call.lane, "slots" in call ? call.slots.length : 1]);
  assert.deepEqual(planned(0), [
    ["drain", 1],
    ["conflict", 2],
  ]);
  assert.deepEqual(planned(10), [
    ["conflict", 2],
    ["drain", 1],
  ]);
});

test("never touches a foreign listener, not even one of another cluster on the same load balancer", () => {
  const foreign = [
    aListener({ name: "TKE-DEDICATED-LISTENER", targets: [aTarget()] }),
    aListener({ listenerId: "lbl-2", name: LISTENER_NAME.replace(CLUSTER, "0123abcd"), port: 81, targets: [aTarget()] }),
  ];
  const plan = planLoadBalancer(
    input({ claims: [], actual: aLoadBalancer({ listeners: foreign }), holderOf: () => ({ kind: "over", podUid: "x", inferred: false }) }),
  );
  assert.deepEqual(plan, { calls: [], findings: [] });
});

test("reports a listener whose owner is unknown, and keeps it", () => {
  const plan = planLoadBalancer(input({ claims: [], actual: aLoadBalancer({ listeners: [aListener({ targets: [aTarget()] })] }) }));
  assert.deepEqual([plan.calls, plan.findings.map(({ kind }) => kind)], [[], ["orphaned"]]);
});

test("deletes the listeners of an owner whose deletion was seen", () => {
  const plan = planLoadBalancer(
    input({
      claims: [claim(aService(), { state: "deleted", intent: anIntent(), loadBalancerId: "lb-1" })],
      actual: aLoadBalancer({ listeners: [aListener({ targets: [aTarget()] })] }),
    }),
  );
  assert.deepEqual(plan.calls, [{ lane: "delete", listenerIds: ["lbl-1"] }]);
});

test("keeps the listeners of an owner that cannot be read", () => {
  const held = claim(aService(), { state: "held", loadBalancerId: "lb-1", blocker: undefined });
  const plan = planLoadBalancer(input({ claims: [held], actual: aLoadBalancer({ listeners: [aListener()] }) }));
  assert.deepEqual(plan.calls, []);
});

test("names the foreign listener that has the port", () => {
  const plan = planLoadBalancer(input({ actual: aLoadBalancer({ listeners: [aListener({ name: "by hand" })] }) }));
  assert.deepEqual([lanes(plan.calls), plan.findings.map(({ kind }) => kind)], [[], ["port-taken"]]);
});

test("lets TCP and UDP share a port", () => {
  const plan = planLoadBalancer(input({ actual: aLoadBalancer({ listeners: [aListener({ name: "by hand", protocol: "UDP" })] }) }));
  assert.deepEqual(lanes(plan.calls), ["structure"]);
});

test("changes a health check only where the wish differs", () => {
  const actual = aLoadBalancer({ listeners: [aListener()] });
  const wishing = (wish: object) => input({ claims: [{ ...claim(), wishes: new Map([["TCP/80", wish]]) }], actual });
  assert.deepEqual(lanes(planLoadBalancer(wishing({ intervalSeconds: 5 })).calls), []);
  assert.deepEqual(lanes(planLoadBalancer(wishing({ intervalSeconds: 2 })).calls), ["tune"]);
});

test("a plan that has been carried out leaves an empty plan", () => {
  const mirror = new Mirror(() => {});
  const bare: LoadBalancer = aLoadBalancer({ listeners: [aListener({ targets: [aTarget({ ip: "10.244.3.1" })] })] });
  const facts = { ...bare, running: true };
  mirror.fill(facts, bare.listeners, 0);
  const holderOf = (ip: string): Holder =>
    ip === "10.244.3.1" ? { kind: "terminating", podUid: "old" } : { kind: "live", podUid: podAt(ip) };
  const podFacts = pods(120);
  const podAt = (ip: string): string => podFacts.find(({ ips }) => ips.includes(ip))?.uid ?? "";
  const service = aService({ ports: [80, 81, 82].map((port) => ({ name: "", protocol: "TCP", port, targetPort: 8080 })) });
  let made = 0;
  for (; made < 50; made += 1) {
    const actual = mirror.read("lb-1") ?? bare;
    const [call] = planLoadBalancer(input({ claims: [claim(service)], podFacts, actual, holderOf, drained: () => true })).calls;
    if (call === undefined) break;
    mirror.fold("lb-1", call, "create" in call ? call.create.listeners.map((_, index) => `lbl-new-${made}-${index}`) : [], made);
  }
  assert.equal(made, 4); // drain, structure, bind of 360, unbind
  assert.deepEqual(
    mirror.read("lb-1")?.listeners.map(({ targets }) => targets.length),
    [120, 120, 120],
  );
});
