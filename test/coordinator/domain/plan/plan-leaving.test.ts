/** Listeners and rules that their owner asks for no more: what replaces them serves before they go. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Call } from "../../../../coordinator/domain/call.ts";
import { desiredLoadBalancer } from "../../../../coordinator/domain/intent/desire.ts";
import type { OwnerStanding } from "../../../../coordinator/domain/intent/owner-intent.ts";
import type { ServiceRecord } from "../../../../coordinator/domain/intent/service.ts";
import type { Listener, Target } from "../../../../coordinator/domain/load-balancer.ts";
import { applyCall } from "../../../../coordinator/domain/plan/apply-call.ts";
import { type Plan, type PlanInput, planLoadBalancer } from "../../../../coordinator/domain/plan/plan-load-balancer.ts";
import type { Holder } from "../../../../coordinator/domain/plan/plan-targets.ts";
import {
  aBackend,
  aDesired,
  aListener,
  aLoadBalancer,
  anOwner,
  aPod,
  aRule,
  aService,
  aTarget,
  aWantedHttpListener,
  aWantedRule,
  CLUSTER,
} from "../../../builders.ts";

const [A, B] = ["aaaaaaaa-aaaa-0000-0000-000000000000", "bbbbbbbb-bbbb-0000-0000-000000000000"];
/** Each Service selects two Pods of its own; `ports`: e.g. "tcp80:8080", "sctp90". */
const service = (uid: string, ...ports: string[]): ServiceRecord =>
  aService({
    uid,
    name: uid.slice(0, 1),
    selector: { app: uid.slice(0, 1) },
    ports: ports.map((text) => {
      const [, protocol = "", port = "", targetPort = "8080"] = /^([a-z]+)(\d+)(?::(\d+))?$/.exec(text) ?? [];
      return { name: text, protocol: protocol.toUpperCase(), port: Number(port), targetPort: Number(targetPort) };
    }),
  });
const PODS = [A, B].flatMap((uid, at) =>
  [1, 2].map((n) =>
    aPod({
      uid: `pod-${uid.slice(0, 1)}${n}`,
      name: `${uid.slice(0, 1)}${n}`,
      ips: [`10.244.${at}.${n}`],
      labels: { app: uid.slice(0, 1) },
    }),
  ),
);
const podAt = (ip: string): Holder => {
  const pod = PODS.find(({ ips }) => ips.includes(ip));
  return pod === undefined ? { kind: "foreign" } : { kind: "live", podUid: pod.uid };
};
/** A listener of A or B, e.g. "a tcp80" with both Pods at weight 10; "by hand tcp81" is foreign. */
const listener = (text: string, targets?: readonly Target[]): Listener => {
  const [, who = "", protocol = "", port = ""] = /^(.+) ([a-z]+)(\d+)$/.exec(text) ?? [];
  const at = ["a", "b"].indexOf(who);
  const name = at < 0 ? who : `cd-${CLUSTER}-${who.repeat(12)}-${protocol}${port}`;
  const own = [1, 2].map((n) => aTarget({ ip: `10.244.${at}.${n}` }));
  return aListener({
    listenerId: text.replaceAll(" ", "-"),
    name,
    protocol: protocol.toUpperCase(),
    port: Number(port),
    targets: targets ?? (at < 0 ? [] : own),
  });
};

type Given = {
  readonly services: readonly (readonly [ServiceRecord, OwnerStanding?])[];
  readonly listeners: readonly Listener[];
  readonly over?: Partial<PlanInput>;
  readonly pods?: typeof PODS;
};
const planOf = ({ services, listeners, over, pods = PODS }: Given): Plan =>
  planLoadBalancer({
    clusterId: CLUSTER,
    desired: desiredLoadBalancer({
      loadBalancerId: "lb-1",
      clusterId: CLUSTER,
      owners: services.map(([record, standing]) => ({ owner: anOwner(record, standing, record.uid), wishes: new Map() })),
      podsOf: () => pods,
      present: listeners,
    }),
    actual: aLoadBalancer({ listeners }),
    holderOf: podAt,
    serving: (_place, { weight }) => weight > 0,
    drained: () => true,
    ...over,
  });
const brief = (call: Call): string => {
  if ("create" in call) return `create ${call.create.listeners.map(({ port }) => `${call.create.protocol.toLowerCase()}${port}`).join()}`;
  if ("listenerIds" in call) return `delete ${call.listenerIds.join()}`;
  if ("rules" in call) return `delete rules ${call.rules.locationIds.join()}`;
  const slots = "targets" in call ? call.targets : "weights" in call ? call.weights : "slots" in call ? call.slots : [];
  return `${call.lane} ${slots.length} at ${[...new Set(slots.map(({ listenerId }) => listenerId))].join()}`;
};
const briefly = (given: Given): string[] => planOf(given).calls.map(brief);
/** Carries the plan out, one call at a time, as the coordinator does; what is created gets the id that `listener` would give it. */
function carriedOut(given: Given): string[] {
  let { listeners } = given;
  const done: string[] = [];
  for (; done.length < 20; ) {
    const [call] = planOf({ ...given, listeners }).calls;
    if (call === undefined) return done;
    done.push(brief(call));
    const ids = "create" in call ? call.create.listeners.map(({ name }) => `new-${name.split("-").at(-1)}`) : [];
    listeners = applyCall(listeners, call, ids);
  }
  throw new Error(`no end: ${done.join("; ")}`);
}

suite("a port that is edited", () => {
  const edits: readonly (readonly [title: string, Given, expected: readonly string[]])[] = [
    [
      "to a free one: create, bind, drain, delete",
      { services: [[service(A, "tcp81")]], listeners: [listener("a tcp80")] },
      ["create tcp81", "bind 2 at new-tcp81", "drain 2 at a-tcp80", "delete a-tcp80"],
    ],
    [
      "to UDP of the same number: the two may be there together",
      { services: [[service(A, "udp80")]], listeners: [listener("a tcp80")] },
      ["create udp80", "bind 2 at new-udp80", "drain 2 at a-tcp80", "delete a-tcp80"],
    ],
    [
      "away: what is left serves, so it drains and goes",
      { services: [[service(A, "tcp81")]], listeners: [listener("a tcp80"), listener("a tcp81")] },
      ["drain 2 at a-tcp80", "delete a-tcp80"],
    ],
    [
      "with another targetPort at once: the new Pods' port serves first",
      { services: [[service(A, "tcp81:9090")]], listeners: [listener("a tcp80")] },
      ["create tcp81", "bind 2 at new-tcp81", "drain 2 at a-tcp80", "delete a-tcp80"],
    ],
    [
      "to SCTP: the last good one stays",
      { services: [[service(A, "tcp80", "sctp81")]], listeners: [listener("a tcp80"), listener("a tcp81")] },
      [],
    ],
    [
      "away, where another one is SCTP that has nothing to do with it",
      { services: [[service(A, "tcp80", "sctp82:9000")]], listeners: [listener("a tcp80"), listener("a tcp81")] },
      ["drain 2 at a-tcp81", "delete a-tcp81"],
    ],
    [
      "to one that a foreign listener has: the old one stays",
      { services: [[service(A, "tcp81")]], listeners: [listener("a tcp80"), listener("by hand tcp81")] },
      [],
    ],
    [
      "to one that another Service has: the old one stays",
      { services: [[service(A, "tcp81")], [service(B, "tcp81")]], listeners: [listener("a tcp80"), listener("b tcp81")] },
      [],
    ],
    [
      "to one that another Service leaves: that one first",
      { services: [[service(A, "tcp81")], [service(B, "tcp82")]], listeners: [listener("a tcp80"), listener("b tcp81")] },
      [
        "create tcp82",
        "bind 2 at new-tcp82",
        "drain 2 at b-tcp81",
        "delete b-tcp81",
        "create tcp81",
        "bind 2 at new-tcp81",
        "drain 2 at a-tcp80",
        "delete a-tcp80",
      ],
    ],
    [
      "in exchange with another Service: both go at once, because nothing can be added before",
      { services: [[service(A, "tcp81")], [service(B, "tcp80")]], listeners: [listener("a tcp80"), listener("b tcp81")] },
      ["delete a-tcp80,b-tcp81", "create tcp81,tcp80", "bind 4 at new-tcp81,new-tcp80"],
    ],
    [
      "in exchange with another port of the same Service: the listeners stay, their targets change",
      {
        services: [[service(A, "tcp80:9090", "tcp81:8080")]],
        listeners: [
          listener("a tcp80"),
          listener(
            "a tcp81",
            [1, 2].map((n) => aTarget({ ip: `10.244.0.${n}`, port: 9090 })),
          ),
        ],
      },
      ["bind 4 at a-tcp80,a-tcp81", "drain 4 at a-tcp80,a-tcp81", "unbind 4 at a-tcp80,a-tcp81"],
    ],
    [
      "where nothing is bound: the old one goes when the new one is there",
      { services: [[service(A, "tcp81")]], listeners: [listener("a tcp80", [])], pods: [] },
      ["create tcp81", "delete a-tcp80"],
    ],
    [
      "of a Service that is deleted: at once",
      {
        services: [[service(A, "tcp81"), { state: "deleted", intent: undefined, loadBalancerId: "lb-1" }]],
        listeners: [listener("a tcp80")],
      },
      ["delete a-tcp80"],
    ],
  ];
  for (const [title, given, expected] of edits) test(title, () => assert.deepEqual(carriedOut(given), expected));

  test("is told: who has the port, or that requests will fail", () => {
    const found = (given: Given) =>
      planOf(given).findings.map((one) => ("listener" in one ? `${one.kind} ${one.listener.listenerId}` : one.kind));
    const foreign = { services: [[service(A, "tcp81")]], listeners: [listener("a tcp80"), listener("by hand tcp81")] } as const;
    assert.deepEqual(found(foreign), ["leaving a-tcp80", "port-taken"]);
    const swap = planOf({
      services: [[service(A, "tcp81")], [service(B, "tcp80")]],
      listeners: [listener("a tcp80"), listener("b tcp81")],
    });
    assert.deepEqual(
      swap.findings.filter((one) => one.kind === "leaving").map(({ makesWay }) => makesWay),
      [true, true],
    );
  });
});

suite("a listener that its owner asks for no more", () => {
  const blocked = (targets: readonly Target[], pods = PODS): Given => ({
    services: [[service(A, "tcp81")]],
    listeners: [listener("a tcp80", targets), listener("by hand tcp81")],
    pods,
  });
  test("is looked after until then: new Pods are bound at the port that the others have, Pods that end are drained", () => {
    const targets = [aTarget({ ip: "10.244.0.1", port: 7070 }), aTarget({ ip: "10.244.9.9", port: 7070 })];
    const given = blocked(targets);
    const holderOf = (ip: string): Holder => (ip === "10.244.9.9" ? { kind: "terminating", podUid: "old" } : podAt(ip));
    const { calls } = planOf({ ...given, over: { holderOf } });
    assert.deepEqual(calls.map(brief), ["drain 1 at a-tcp80", "bind 1 at a-tcp80"]);
    const bind = calls.find((call) => "targets" in call);
    assert.deepEqual(
      bind?.targets.map(({ ip, port }) => [ip, port]),
      [["10.244.0.2", 7070]],
    );
  });

  test("is not created anew when it is gone, nor while its deletion runs", () => {
    const given: Given = { services: [[service(A, "tcp81")]], listeners: [listener("a tcp80", []), listener("a tcp81")] };
    const [call] = planOf(given).calls;
    assert.deepEqual([call && brief(call), briefly({ ...given, over: { inFlight: call } })], ["delete a-tcp80", []]);
  });

  test("waits for what does not serve yet, and keeps serving; what is unready for long is not waited for by all of them", () => {
    const both = { services: [[service(A, "tcp81")]], listeners: [listener("a tcp80"), listener("a tcp81")] } as const;
    const dead = (ips: readonly string[]) => ({
      ...both,
      over: { serving: (place: { listenerId: string }, { ip }: Target) => place.listenerId !== "a-tcp81" || !ips.includes(ip) },
    });
    assert.deepEqual(briefly(dead(["10.244.0.1", "10.244.0.2"])), []);
    assert.deepEqual(briefly(dead(["10.244.0.2"])), []);
    const broken = { ...dead(["10.244.0.2"]).over, broken: () => true };
    assert.deepEqual(briefly({ ...both, over: broken }), ["drain 2 at a-tcp80"]);
  });

  test("is drained to the end before it is deleted", () => {
    const given: Given = {
      services: [[service(A, "tcp81")]],
      listeners: [
        listener("a tcp80", [aTarget({ ip: "10.244.0.1", weight: 0 }), aTarget({ ip: "10.244.0.2", weight: 0 })]),
        listener("a tcp81"),
      ],
    };
    assert.deepEqual(briefly({ ...given, over: { drained: (_place, { ip }) => ip === "10.244.0.1" } }), ["unbind 1 at a-tcp80"]);
    assert.deepEqual(briefly(given), ["delete a-tcp80"]);
  });

  test("stays where a quota is met, unless nothing is bound there: that makes room", () => {
    const given = (targets?: readonly Target[]): Given => ({
      services: [[service(A, "tcp81", "tcp82")]],
      listeners: [listener("a tcp80", targets), listener("a tcp81")],
      over: { roomFirst: true },
    });
    assert.deepEqual(briefly(given()), ["create tcp82"]);
    assert.deepEqual(briefly(given([])), ["delete a-tcp80", "create tcp82"]);
  });

  test("with a target that somebody else bound is planned to go; the brake judges that", () => {
    const strange = listener("a tcp80", [aTarget({ ip: "10.9.9.9" })]);
    assert.deepEqual(briefly({ services: [[service(A, "tcp81")]], listeners: [strange, listener("a tcp81")] }), ["delete a-tcp80"]);
  });
});

suite("a rule that nobody asks for any more", () => {
  const NAME = aWantedHttpListener().name;
  const old = aRule({ locationId: "loc-old", url: "/old", targets: [aTarget()] });
  const fresh = (targets: readonly Target[]) => aRule({ locationId: "loc-new", url: "/new", targets });
  const holderOf = (): Holder => ({ kind: "live", podUid: "pod-1" });
  const rules = (
    present: readonly ReturnType<typeof aRule>[],
    wanted = [aWantedRule({ url: "/new", backends: [aBackend()] })],
    over: Partial<PlanInput> = {},
  ) =>
    planLoadBalancer({
      clusterId: CLUSTER,
      desired: aDesired({ listeners: [aWantedHttpListener({ rules: wanted })] }),
      actual: aLoadBalancer({ listeners: [aListener({ name: NAME, protocol: "HTTP", rules: present })] }),
      holderOf,
      serving: (_place, { weight }) => weight > 0,
      drained: () => true,
      ...over,
    }).calls.map((call) => ("createRules" in call ? "create" : brief(call)));

  test("drains when the new one serves, then goes", () => {
    assert.deepEqual(rules([old]), ["create"]);
    assert.deepEqual(rules([old, fresh([])]), ["bind 1 at lbl-1"]);
    assert.deepEqual(rules([old, fresh([aTarget()])]), ["drain 1 at lbl-1"]);
    assert.deepEqual(rules([{ ...old, targets: [aTarget({ weight: 0 })] }, fresh([aTarget()])]), ["delete rules loc-old"]);
  });
  test("is held up by no other rule that selects no Pods", () => {
    const wanted = [aWantedRule({ url: "/new", backends: [aBackend()] }), aWantedRule({ url: "/empty" })];
    const empty = aRule({ locationId: "loc-empty", url: "/empty" });
    assert.deepEqual(rules([old, empty, fresh([aTarget()])], wanted), ["drain 1 at lbl-1"]);
  });
  test("stays where somebody else has bound a target: it may be theirs", () => {
    const theirs = { ...old, targets: [aTarget({ ip: "10.9.9.9" })] };
    assert.deepEqual(
      rules([theirs, fresh([aTarget()])], undefined, { holderOf: (ip) => (ip === "10.9.9.9" ? { kind: "foreign" } : holderOf()) }),
      [],
    );
  });
  test("stays as long as a rule that may be in its place cannot be served", () => {
    const desired = aDesired({ listeners: [aWantedHttpListener({ rules: [aWantedRule({ url: "/new", backends: [aBackend()] })] })] });
    const owners = desired.owners.map((owner) => ({ ...owner, unserved: [{ protocol: "HTTP", port: 80, targetPort: "" }] }));
    assert.deepEqual(rules([old, fresh([aTarget()])], undefined, { desired: { ...desired, owners } }), []);
  });
  test("goes with its listener, when that goes, in one call", () => {
    const drained = { ...old, targets: [aTarget({ weight: 0 })] };
    const calls = planLoadBalancer({
      clusterId: CLUSTER,
      desired: aDesired({
        listeners: [aWantedHttpListener({ protocol: "TCP", name: NAME.replace("http80", "tcp81"), port: 81, backends: [aBackend()] })],
      }),
      actual: aLoadBalancer({
        listeners: [
          aListener({ name: NAME, protocol: "HTTP", rules: [drained] }),
          aListener({ listenerId: "lbl-2", name: NAME.replace("http80", "tcp81"), port: 81, targets: [aTarget()] }),
        ],
      }),
      holderOf,
      serving: () => true,
      drained: () => true,
    }).calls;
    assert.deepEqual(calls.map(brief), ["delete lbl-1"]);
  });
});
