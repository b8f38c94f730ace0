import type { Clock } from "../../common/clock.ts";
import { type PodFact, podName } from "../../common/vocabulary.ts";
import type { Call } from "../domain/call.ts";
import {
  asTheCloudHas,
  type Listener,
  type PlaceId,
  placeKey,
  placesOf,
  type Slot,
  slotKey,
  slotOf,
  targetKey,
} from "../domain/load-balancer.ts";
import type { Finding, Plan } from "../domain/plan/plan-load-balancer.ts";
import type { GateStages, Step } from "../domain/readiness/gate-condition.ts";
import { allowedCalls, type Policy } from "../domain/safety/policy.ts";
import {
  type Awaited,
  awaited,
  describeCall,
  describeFinding,
  describeRefused,
  isGroup,
  nameOf,
  ownerOfPlace,
  redirectTexts,
  releaseText,
  ruleText,
  unreadyText,
} from "../events/wording.ts";
import type { DatedBinding, PodBindings } from "../gates/pod-bindings.ts";
import type { SelectingServices } from "../gates/selecting-services.ts";
import type { Planner } from "../load-balancers/planner.ts";
import type { Writer } from "../load-balancers/writer.ts";
import type { RemovalGuard } from "../safety/removal-guard.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents } from "../state/intents.ts";
import type { ListenerOwners } from "../state/listener-owners.ts";
import type { Mirror } from "../state/mirror.ts";
import type { NodeState, PodFacts } from "../state/pod-facts.ts";
import type { RefusedCalls } from "../state/refused-calls.ts";
import { type NetworkExplanation, type Networks, networkFields } from "./networks.ts";

export type ExplainDeps = Networks & {
  readonly facts: PodFacts;
  readonly podBindings: Pick<PodBindings, "of">;
  readonly services: Pick<SelectingServices, "foreignGates">;
  readonly intents: Pick<Intents, "of" | "desired" | "loadBalancerIds">;
  readonly mirror: Mirror;
  readonly writer: Pick<Writer, "running">;
  readonly addressClaims: Pick<AddressClaims, "podOf">;
  /** Default: nobody measures. */
  readonly ownShare?: { readonly stagesOf: (podUid: string) => GateStages | undefined };
  readonly clock: Clock;
  readonly planner: Pick<Planner, "plan" | "unboundFromMs">;
  /** Which of the planned calls are made. */
  readonly policy: Policy;
  readonly refusedCalls: Pick<RefusedCalls, "at">;
  readonly listenerOwners: Pick<ListenerOwners, "of" | "ofPlace">;
  /** Removals that wait, as of the last plan, and ids that a person released and none of them has. */
  readonly guard: Pick<RemovalGuard, "parked" | "strayReleases">;
};

/** A removal that waits. */
type Parked = ReturnType<RemovalGuard["parked"]>[number];

/** What one Pod waits for, e.g. for `npm run explain`, for a support ticket. Times are seconds before now. */
export type PodExplanation = NetworkExplanation & {
  readonly pod: string;
  readonly uid: string;
  readonly node: string;
  readonly factsFrom: NodeState["source"];
  readonly ip: string | undefined;
  readonly hostInterface: string | undefined;
  readonly containersReady: boolean;
  readonly terminating: boolean;
  /** Of its preStop hook, as its annotations have it, e.g. "hold", "none OwnPreStop" or "sleep: not proven on node-7 (…)"; undefined: the webhook said nothing. */
  readonly drain: string | undefined;
  readonly gate: string;
  /** Seconds of each stage from containers ready to its gate True; undefined: not seen by this leader. */
  readonly stages: GateStages | undefined;
  readonly bindings: readonly BindingExplanation[];
  /** Where only Services of other controllers select it: who has to open the gate. */
  readonly foreignGate: string | undefined;
};
export type BindingExplanation = Awaited & {
  readonly service: string;
  readonly loadBalancerId: string | undefined;
  readonly listener: string;
  readonly step: Step["kind"];
  readonly sinceSeconds: number;
  /** False: no pass saw the step begin, so it has lasted for at least so long. */
  readonly isBeginSeen: boolean;
  readonly health: string | undefined;
  readonly weight: number | undefined;
  readonly runningCall: string | undefined;
  readonly nextCall: string | undefined;
};

/** `rule`: the one in which it is bound, e.g. "loc-2 shop.example.com/cart"; undefined in a listener of layer 4. */
type TargetExplanation = {
  readonly rule: string | undefined;
  /** Whose the rule is where several share the listener, e.g. "Ingress shop/web"; undefined: the listener is that of one owner. */
  readonly owner: string | undefined;
  readonly target: string;
  readonly weight: number;
  readonly health: string;
  readonly pod: string;
  /** Until its drain is over; undefined: it does not drain, or it is not known. */
  readonly unboundInSeconds: number | undefined;
};
export type LoadBalancerExplanation = {
  readonly loadBalancerId: string;
  readonly addresses: readonly string[];
  readonly readSecondsAgo: number | undefined;
  readonly staleBecause: string | undefined;
  readonly owners: readonly string[];
  readonly listeners: readonly {
    readonly listenerId: string;
    readonly name: string;
    readonly port: string;
    readonly targets: readonly TargetExplanation[];
    /** E.g. "loc-1 shop.example.com/ sends its clients to loc-2 shop.example.com/ of HTTPS:443 by 301". */
    readonly redirects: readonly string[];
  }[];
  readonly runningCall: string | undefined;
  readonly plannedCalls: readonly string[];
  readonly findings: readonly string[];
  /** Removals that wait for evidence or for a person. */
  readonly parked: readonly string[];
};

/** Read-only view of what the process knows; computed when somebody asks. */
export class Explain {
  readonly #deps: ExplainDeps;

  constructor(deps: ExplainDeps) {
    this.#deps = deps;
  }

  /** Undefined if no such Pod is known. The youngest of that name where several are. */
  pod(name: string): PodExplanation | undefined {
    const named = [...this.#deps.facts.pods.values()].filter((pod) => podName(pod) === name);
    const youngest = named.sort((a, b) => (b.startedAtMs ?? 0) - (a.startedAtMs ?? 0))[0];
    return youngest && this.#explainPod(youngest, this.#plans());
  }

  /** All Pods of a namespace that a Service with direct access selects, whoever serves it, by name. */
  podsOf(namespace: string): PodExplanation[] {
    const pods = [...this.#deps.facts.pods.values()].filter((pod) => pod.namespace === namespace);
    const plans = this.#plans();
    return pods
      .map((pod) => this.#explainPod(pod, plans))
      .filter(({ bindings, foreignGate }) => bindings.length > 0 || foreignGate !== undefined)
      .sort((a, b) => (a.pod < b.pod ? -1 : 1));
  }

  /** A load balancer that a Service has, or that was read. */
  knows(loadBalancerId: string): boolean {
    const { mirror, intents } = this.#deps;
    return mirror.read(loadBalancerId) !== undefined || intents.of(loadBalancerId).length > 0;
  }

  loadBalancer(id: string): LoadBalancerExplanation | undefined {
    const { mirror, intents, writer, clock, refusedCalls, listenerOwners } = this.#deps;
    if (!this.knows(id)) return undefined;
    const actual = mirror.read(id);
    const listeners = asTheCloudHas(actual?.listeners ?? []);
    const desired = intents.desired(id);
    const plan = actual === undefined ? { calls: [], findings: [] } : this.#deps.planner.plan(desired, actual);
    const otherwise = otherwiseThanByTime(plan);
    const readAtMs = mirror.readAtMs(id);
    const running = writer.running(id);
    return {
      loadBalancerId: id,
      addresses: actual?.vips ?? [],
      readSecondsAgo: readAtMs === undefined ? undefined : Math.round((clock.now() - readAtMs) / 1000),
      staleBecause: mirror.staleBecause(id),
      owners: desired.owners.map(({ ref, state }) => `${ref.kind} ${ref.namespace}/${ref.name} (${state})`),
      listeners: listeners.map((listener) => ({
        listenerId: listener.listenerId,
        name: listener.name,
        port: `${listener.protocol}:${listener.port}`,
        redirects: redirectTexts(listener, listeners, (rule) => this.#sharerAt(id, listener, rule)),
        targets: placesOf({ listeners: [listener] }).flatMap((place) =>
          place.targets.map((target) => ({
            rule: ruleText(listener, place),
            owner: this.#sharerAt(id, listener, place),
            target: targetKey(target),
            weight: target.weight,
            health: mirror.health(id, slotOf(place, target))?.state ?? "no data",
            pod: this.#podBehind(id, target.ip),
            unboundInSeconds: otherwise.has(slotKey(slotOf(place, target))) ? undefined : this.#drainLeftSeconds(id, slotOf(place, target)),
          })),
        ),
      })),
      runningCall: running && describeCall(running),
      plannedCalls: this.#describePlanned(plan.calls),
      findings: [
        ...plan.findings.map((finding) =>
          describeFinding(finding, finding.kind === "port-taken" ? listenerOwners.of(id, finding.by.name) : undefined),
        ),
        ...refusedCalls.at(id).map((call) => describeRefused(id, call)),
      ],
      parked: this.#deps.guard.parked(id).map((parked) => this.#describeParked(id, parked)),
    };
  }

  get overview() {
    const { intents, facts } = this.#deps;
    return { loadBalancers: [...intents.loadBalancerIds], pods: facts.pods.size, nodes: facts.nodes(), complete: facts.complete };
  }

  #sharerAt(id: string, listener: Listener, place: PlaceId): string | undefined {
    if (!isGroup(listener)) return undefined;
    const owner = this.#deps.listenerOwners.ofPlace(id, place);
    return owner && nameOf(owner);
  }

  #describePlanned(calls: readonly Call[]): string[] {
    const { policy } = this.#deps;
    const made = new Set(allowedCalls(policy, calls));
    return calls.map((call) => `${describeCall(call)}${made.has(call) ? "" : ` (not made: POLICY is ${policy})`}`);
  }

  #describeParked(loadBalancerId: string, parked: Parked): string {
    const { listenerOwners, guard } = this.#deps;
    const { id, place, slots, staying, floor } = parked;
    const owner = ownerOfPlace(this.#deps.mirror, listenerOwners, loadBalancerId, place);
    const text = releaseText(parked, owner === undefined ? "its Service" : nameOf(owner), guard.strayReleases(loadBalancerId));
    return `removal ${id} of ${slots.length} backends of ${place}: ${staying} would stay, ${floor} must. ${text}`;
  }

  #drainLeftSeconds(id: string, slot: Slot): number | undefined {
    const { planner, addressClaims, clock, policy } = this.#deps;
    const fromMs = planner.unboundFromMs(id, slot);
    if (fromMs === undefined || policy !== "enforce" || addressClaims.podOf(id, slot.ip) === undefined) return undefined;
    const leftMs = fromMs - clock.now();
    return leftMs > 0 ? Math.ceil(leftMs / 1000) : undefined;
  }

  #podBehind(id: string, ip: string): string {
    const uid = this.#deps.addressClaims.podOf(id, ip);
    if (uid === undefined) return "not bound by us";
    const pod = this.#deps.facts.pods.get(uid);
    return pod === undefined ? `UID ${uid} (${this.#deps.facts.endOf(uid) ?? "unknown"})` : podName(pod);
  }

  /** One plan per load balancer for all that one answer says: a Pod behind 50 rules asks for it 50 times. */
  #plans(): PlanAt {
    const { intents, planner } = this.#deps;
    const known = new Map<string, Plan>();
    return (id, actual) => {
      const plan = known.get(id) ?? planner.plan(intents.desired(id), actual);
      known.set(id, plan);
      return plan;
    };
  }

  #explainPod(pod: PodFact, plans: PlanAt): PodExplanation {
    const { facts, podBindings, services } = this.#deps;
    const node = facts.nodes().find((state) => state.node === pod.nodeName);
    const bindings = podBindings.of(pod).map((binding) => this.#explainBinding(pod, binding, plans));
    const [foreign] = bindings.length === 0 && pod.hasGate ? services.foreignGates(pod) : [];
    return {
      pod: podName(pod),
      uid: pod.uid,
      node: pod.nodeName,
      factsFrom: node?.source ?? "none",
      ip: pod.ips[0],
      hostInterface: pod.hostInterface?.name,
      ...networkFields(pod, this.#deps, this.#deps.clock),
      containersReady: pod.containersReady,
      terminating: pod.deletionAtMs !== undefined,
      drain: pod.drainBecause === undefined ? pod.drain : `${pod.drain}: ${pod.drainBecause}`,
      gate: pod.hasGate ? pod.gate : "no gate",
      stages: this.#deps.ownShare?.stagesOf(pod.uid),
      bindings,
      foreignGate: foreign,
    };
  }

  #explainBinding(pod: PodFact, binding: DatedBinding, plans: PlanAt): BindingExplanation {
    const { mirror, writer, clock, policy } = this.#deps;
    const { loadBalancerId: id, step, at } = binding;
    const actual = id === undefined ? undefined : mirror.read(id);
    const place = actual && at && placesOf(actual).find((one) => placeKey(one) === placeKey(at));
    const target = place?.targets.find(({ ip }) => pod.ips.includes(ip));
    const slot = place && target && slotOf(place, target);
    const running = id === undefined ? undefined : writer.running(id);
    const isUnready = !pod.containersReady && slot !== undefined;
    const settled = (step.kind === "healthy" && !isUnready) || id === undefined || actual === undefined;
    const { calls, findings } = settled ? NOTHING : plans(id, actual);
    const unready = isUnready ? unreadyAt(findings, slot) : undefined;
    const [next] = this.#describePlanned([...allowedCalls(policy, calls), ...calls].slice(0, 1));
    return {
      service: binding.service,
      loadBalancerId: id,
      listener: binding.listener,
      step: step.kind,
      sinceSeconds: Math.round((clock.now() - binding.sinceMs) / 1000),
      isBeginSeen: binding.isBeginSeen,
      health: id === undefined || slot === undefined ? undefined : (mirror.health(id, slot)?.state ?? "no data"),
      weight: target?.weight,
      ...(unready === undefined ? awaited(step) : { awaited: unreadyText(unready), from: "the Pod" }),
      runningCall: running && describeCall(running),
      nextCall: next,
    };
  }
}

type PlanAt = (loadBalancerId: string, actual: Parameters<Planner["plan"]>[1]) => Plan;
const NOTHING: Plan = { calls: [], findings: [] };

/** Why the backend in this slot has the weight that it has, although its Pod is not ready. */
function unreadyAt(findings: readonly Finding[], slot: Slot) {
  const key = slotKey(slot);
  const found = findings.find(
    (one) => one.kind === "unready" && slotKey(slotOf({ ...one.rule, listenerId: one.listener.listenerId }, one.target)) === key,
  );
  return found?.kind === "unready" ? found.why : undefined;
}

/** Slots that time alone does not take away: the plan changes them at once, or they wait for something else. */
function otherwiseThanByTime({ calls, findings }: Plan): ReadonlySet<string> {
  const called = calls.flatMap((call): readonly Slot[] => ("slots" in call ? call.slots : "weights" in call ? call.weights : []));
  const waiting = findings.flatMap((finding) =>
    finding.kind === "waiting" ? slotOf({ ...finding.rule, listenerId: finding.listener.listenerId }, finding.target) : [],
  );
  return new Set([...called, ...waiting].map(slotKey));
}
