import type { Clock } from "../../common/clock.ts";
import { RELEASE } from "../../common/names.ts";
import { type PodFact, podName } from "../../common/vocabulary.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import { type Call, type Listener, type LoadBalancer, placesOf, type Rule, slotOf, targetKey } from "../domain/load-balancer.ts";
import type { Finding, Plan } from "../domain/plan/plan-load-balancer.ts";
import type { ObjectRef } from "../domain/problem.ts";
import type { Step } from "../domain/readiness/gate-condition.ts";
import type { Parked } from "../domain/safety/brake.ts";
import { allowedCalls, type Policy } from "../domain/safety/policy.ts";
import type { Bindings } from "../gates/pod-bindings.ts";
import { itemsOf, type Writes } from "../load-balancers/writer.ts";
import type { Journal } from "../state/address-claims.ts";
import type { Ledger } from "../state/intents.ts";
import type { Owners } from "../state/listener-owners.ts";
import type { Mirror } from "../state/mirror.ts";
import type { NodeState, PodFacts } from "../state/pod-facts.ts";

export type ExplainDeps = {
  readonly facts: PodFacts;
  readonly bindings: Bindings;
  readonly ledger: Ledger;
  readonly mirror: Mirror;
  readonly writes: Writes;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly plan: (desired: DesiredLoadBalancer, actual: LoadBalancer) => Plan;
  /** Which of the planned calls are made. */
  readonly policy: Policy;
  readonly owners: Pick<Owners, "of">;
  /** Removals that wait, as of the last plan, and ids that a person released and none of them has. */
  readonly parked: (loadBalancerId: string) => readonly Parked[];
  readonly strayReleases: (loadBalancerId: string) => readonly string[];
};

/** What one Pod waits for, e.g. for the board, for `npm run explain`, for a support ticket. Times are seconds before now. */
export type PodExplanation = {
  readonly pod: string;
  readonly uid: string;
  readonly node: string;
  readonly factsFrom: NodeState["source"];
  readonly ip: string | undefined;
  readonly hostInterface: string | undefined;
  readonly containersReady: boolean;
  readonly terminating: boolean;
  readonly gate: string;
  readonly bindings: readonly BindingExplanation[];
};
export type BindingExplanation = {
  readonly service: string;
  readonly loadBalancerId: string | undefined;
  readonly listener: string;
  readonly step: Step["kind"];
  readonly sinceSeconds: number;
  /** False: nobody looked when the step began, so it has lasted for at least so long. */
  readonly isBeginSeen: boolean;
  readonly health: string | undefined;
  readonly weight: number | undefined;
  /** What is awaited, and from whom. */
  readonly awaited: string;
  readonly from: "nobody" | "the cloud" | "the coordinator" | "the Pod" | "you";
  readonly runningCall: string | undefined;
  readonly nextCall: string | undefined;
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
    readonly targets: readonly { readonly target: string; readonly weight: number; readonly health: string; readonly pod: string }[];
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
    return youngest && this.#explainPod(youngest);
  }

  /** All Pods of a namespace that a Service with direct access selects, by name. */
  podsOf(namespace: string): PodExplanation[] {
    const pods = [...this.#deps.facts.pods.values()].filter((pod) => pod.namespace === namespace);
    return pods
      .map((pod) => this.#explainPod(pod))
      .filter(({ bindings }) => bindings.length > 0)
      .sort((a, b) => (a.pod < b.pod ? -1 : 1));
  }

  /** A load balancer that a Service has, or that was read. */
  knows(loadBalancerId: string): boolean {
    const { mirror, ledger } = this.#deps;
    return mirror.read(loadBalancerId) !== undefined || ledger.of(loadBalancerId).length > 0;
  }

  loadBalancer(id: string): LoadBalancerExplanation | undefined {
    const { mirror, ledger, writes, clock } = this.#deps;
    if (!this.knows(id)) return undefined;
    const actual = mirror.read(id);
    const desired = ledger.desired(id);
    const plan = actual === undefined ? { calls: [], findings: [] } : this.#deps.plan(desired, actual);
    const readAtMs = mirror.readAtMs(id);
    const running = writes.running(id);
    return {
      loadBalancerId: id,
      addresses: actual?.vips ?? [],
      readSecondsAgo: readAtMs === undefined ? undefined : Math.round((clock.now() - readAtMs) / 1000),
      staleBecause: mirror.staleBecause(id),
      owners: desired.owners.map(({ ref, state }) => `${ref.kind} ${ref.namespace}/${ref.name} (${state})`),
      listeners: (actual?.listeners ?? []).map((listener) => ({
        listenerId: listener.listenerId,
        name: listener.name,
        port: `${listener.protocol}:${listener.port}`,
        targets: placesOf({ listeners: [listener] }).flatMap((place) =>
          place.targets.map((target) => ({
            target: targetKey(target),
            weight: target.weight,
            health: mirror.health(id, slotOf(place, target))?.state ?? "no data",
            pod: this.#podBehind(id, target.ip),
          })),
        ),
      })),
      runningCall: running && describeCall(running),
      plannedCalls: this.#describePlanned(plan.calls),
      findings: plan.findings.map(describeFinding),
      parked: this.#deps.parked(id).map((parked) => this.#describeParked(id, parked)),
    };
  }

  get overview() {
    const { ledger, facts } = this.#deps;
    const loadBalancers = [...ledger.loadBalancerIds];
    return { loadBalancers, pods: facts.pods.size, nodes: facts.nodes(), complete: facts.complete };
  }

  #describePlanned(calls: readonly Call[]): string[] {
    const { policy } = this.#deps;
    const made = new Set(allowedCalls(policy, calls));
    return calls.map((call) => `${describeCall(call)}${made.has(call) ? "" : ` (not made: POLICY is ${policy})`}`);
  }

  #describeParked(loadBalancerId: string, parked: Parked): string {
    const { owners, strayReleases } = this.#deps;
    const { id, place, slots, staying, floor } = parked;
    const owner = ownerOfPlace(this.#deps.mirror, owners, loadBalancerId, place);
    const text = releaseText(parked, owner === undefined ? "its Service" : nameOf(owner), strayReleases(loadBalancerId));
    return `removal ${id} of ${slots.length} backends of ${place}: ${staying} would stay, ${floor} must. ${text}`;
  }

  #podBehind(id: string, ip: string): string {
    const uid = this.#deps.journal.podOf(id, ip);
    if (uid === undefined) return "not bound by us";
    const pod = this.#deps.facts.pods.get(uid);
    return pod === undefined ? `UID ${uid} (${this.#deps.facts.endOf(uid) ?? "unknown"})` : podName(pod);
  }

  #explainPod(pod: PodFact): PodExplanation {
    const { facts, bindings } = this.#deps;
    const node = facts.nodes().find((state) => state.node === pod.nodeName);
    return {
      pod: podName(pod),
      uid: pod.uid,
      node: pod.nodeName,
      factsFrom: node?.source ?? "none",
      ip: pod.ips[0],
      hostInterface: pod.hostInterface?.name,
      containersReady: pod.containersReady,
      terminating: pod.deletionAtMs !== undefined,
      gate: pod.hasGate ? pod.gate : "no gate",
      bindings: bindings.of(pod).map((binding) => this.#explainBinding(pod, binding)),
    };
  }

  #explainBinding(pod: PodFact, binding: ReturnType<Bindings["of"]>[number]): BindingExplanation {
    const { mirror, writes, clock, ledger, policy } = this.#deps;
    const { loadBalancerId: id, step } = binding;
    const actual = id === undefined ? undefined : mirror.read(id);
    const listener = actual?.listeners.find(({ protocol, port }) => `${protocol}:${port}` === binding.listener);
    const target = listener?.targets.find(({ ip }) => pod.ips.includes(ip));
    const slot = listener && target && { listenerId: listener.listenerId, ip: target.ip, port: target.port };
    const running = id === undefined ? undefined : writes.running(id);
    const settled = step.kind === "healthy" || id === undefined || actual === undefined;
    const calls = settled ? [] : this.#deps.plan(ledger.desired(id), actual).calls;
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
      ...awaited(step),
      runningCall: running && describeCall(running),
      nextCall: next,
    };
  }
}

function awaited(step: Step): Pick<BindingExplanation, "awaited" | "from"> {
  switch (step.kind) {
    case "healthy":
      return { awaited: step.checked ? "nothing: bound and healthy" : "nothing: bound, health checks are off", from: "nobody" };
    case "checking":
      if (step.health === "Dead") return { awaited: "the load balancer's health check fails: port, path or security group", from: "you" };
      return { awaited: "the load balancer's health check", from: "the cloud" };
    case "binding":
      return { awaited: "the bind that runs", from: "the cloud" };
    case "bindable":
      return { awaited: step.because, from: "the coordinator" };
    case "pending":
      return { awaited: step.because, from: step.reason === "ContainersNotReady" || step.reason === "NoAddress" ? "the Pod" : "you" };
    case "draining":
      return { awaited: "weight 0, then the end of the drain time", from: "the coordinator" };
    default:
      return step satisfies never;
  }
}

/** E.g. "bind 12: new Pods are ready". */
function describeCall(call: Call): string {
  const why: Record<Call["lane"], string> = {
    conflict: "their addresses belong to other Pods now, or their Pods are over",
    drain: "their Pods are ending or no longer selected",
    structure: "listeners or rules that are asked for",
    bind: "Pods that are ready",
    unbind: "their drain is over",
    tune: "they differ from what Services ask for",
    delete: "nobody asks for them any more",
  };
  return `${call.lane} ${itemsOf(call)}: ${why[call.lane]}`;
}

const nameOf = ({ kind, namespace, name }: ObjectRef): string => `${kind} ${namespace}/${name}`;

/** The owner of the listener that a place is in or is, e.g. of place "lbl-1/loc-2"; undefined: nobody remembers whose it was. */
export function ownerOfPlace(mirror: Pick<Mirror, "read">, owners: Pick<Owners, "of">, loadBalancerId: string, place: string) {
  const [listenerId] = place.split("/");
  const listener = mirror.read(loadBalancerId)?.listeners.find((one) => one.listenerId === listenerId);
  return owners.of(loadBalancerId, listener?.name ?? "");
}

/** Ids named in one message; an Event holds 1 024 characters. */
const MAX_STRAYS = 3;

/** How a person lets a parked removal go. `owner`: the object to annotate, e.g. "Service shop/web". `strays`: ids written there that no removal has. */
export function releaseText({ id, spent }: Parked, owner: string, strays: readonly string[]): string {
  const named = strays.slice(0, MAX_STRAYS).map((stray) => stray.slice(0, 40));
  const ids = `${named.join(", ")}${strays.length > MAX_STRAYS ? ` and ${strays.length - MAX_STRAYS} more` : ""}`;
  const many = strays.length > 1;
  const stray =
    strays.length === 0 ? "" : `. What stands in ${RELEASE} now, ${ids}, ${many ? "name" : "names"} nothing that is parked here`;
  return `${howToRelease(`${RELEASE}: ${id}`, spent, owner)}${stray}`;
}

function howToRelease(annotation: string, spent: Parked["spent"], owner: string): string {
  switch (spent) {
    case undefined:
      return `If it is right, annotate ${owner} with ${annotation}`;
    case "used":
      return `On ${owner} stands ${annotation} from the last time, which is used up: if it is right this time as well, take the annotation away and set it again`;
    case "late":
      return `On ${owner} has stood ${annotation} since long before, which does not count: if it is right now, take the annotation away and set it again`;
    default:
      return spent satisfies never;
  }
}

export function describeFinding(finding: Finding): string {
  switch (finding.kind) {
    case "port-taken":
      return `port ${finding.wanted.protocol}:${finding.wanted.port} is taken by foreign listener ${finding.by.listenerId}`;
    case "orphaned":
      return `listener ${finding.listener.listenerId} (${finding.listener.name}) is ours, but its owner is unknown: kept`;
    case "quota":
      return `${finding.where} needs ${finding.needed}, quota ${finding.quota} is ${finding.limit}`;
    case "foreign-target":
      return `target ${targetKey(finding.target)} of ${placeText(finding)} was not bound by us: kept`;
    case "waiting":
      return `target ${targetKey(finding.target)} of ${placeText(finding)} stays until what replaces it serves`;
    default:
      return finding satisfies never;
  }
}

const placeText = ({ listener, rule }: { readonly listener: Listener; readonly rule?: Rule }): string =>
  rule === undefined ? `listener ${listener.listenerId}` : `rule ${rule.domain}${rule.url} of listener ${listener.listenerId}`;

/** " for 4 s", or " for at least 4 s"; empty where nothing is known. */
function lastingText({ sinceSeconds, isBeginSeen }: BindingExplanation): string {
  if (isBeginSeen) return ` for ${sinceSeconds} s`;
  return sinceSeconds === 0 ? "" : ` for at least ${sinceSeconds} s`;
}

/** For people, e.g. on a terminal. */
export function podText(pod: PodExplanation): string {
  const lines = [
    `Pod ${pod.pod} on ${pod.node} (facts from: ${pod.factsFrom}), address ${pod.ip ?? "none"} on interface ${pod.hostInterface ?? "unknown"}`,
    `  containers ready: ${pod.containersReady ? "yes" : "no"}, gate: ${pod.gate}${pod.terminating ? ", terminating" : ""}`,
  ];
  for (const one of pod.bindings) {
    lines.push(`  ${one.service} at ${one.loadBalancerId ?? "(no load balancer)"} ${one.listener}: ${one.step}${lastingText(one)}`);
    lines.push(`    awaited: ${one.awaited}${one.from === "nobody" ? "" : ` (from ${one.from})`}`);
    if (one.runningCall !== undefined) lines.push(`    running call: ${one.runningCall}`);
    if (one.nextCall !== undefined) lines.push(`    next call: ${one.nextCall}`);
  }
  if (pod.bindings.length === 0) lines.push("  no Service with direct access selects it");
  return `${lines.join("\n")}\n`;
}

export function loadBalancerText(one: LoadBalancerExplanation): string {
  const lines = [
    `Load balancer ${one.loadBalancerId} (${one.addresses.join(", ") || "no address"}), read ${one.readSecondsAgo ?? "?"} s ago${one.staleBecause === undefined ? "" : `, in doubt: ${one.staleBecause}`}`,
    `  owners: ${one.owners.join(", ") || "none"}`,
  ];
  for (const listener of one.listeners) {
    lines.push(`  ${listener.port} ${listener.listenerId} ${listener.name}`);
    for (const { target, weight, health, pod } of listener.targets) lines.push(`    ${target} weight ${weight} ${health} ${pod}`);
  }
  lines.push(`  running call: ${one.runningCall ?? "none"}`);
  for (const call of one.plannedCalls) lines.push(`  planned: ${call}`);
  for (const finding of one.findings) lines.push(`  found: ${finding}`);
  for (const parked of one.parked) lines.push(`  parked: ${parked}`);
  return `${lines.join("\n")}\n`;
}
