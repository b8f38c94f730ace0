import { HOLD_PORT } from "../../../common/names.ts";
import { type DrainMark, isEnding, type PodFact, podName } from "../../../common/vocabulary.ts";
import { transportOf } from "../load-balancer.ts";
import type { ObjectRef, Problem } from "../problem.ts";
import type { IntentPort } from "./intent-port.ts";
import { type ServiceIntent, selects } from "./service.ts";
import { podWeightFault, weightOf } from "./weights.ts";

/**
 * A Pod that a listener should have. `bindable` false: it stays if it is bound already, but is not bound anew
 * (its containers are not ready).
 */
export type WantedBackend = {
  readonly podUid: string;
  readonly ip: string;
  readonly port: number;
  readonly weight: number;
  readonly bindable: boolean;
  /** Where Pods are bound early, of one that has never been ready: until it is, it gets no weight. */
  readonly early?: Early;
};

/** Whether the ports of a Pod that has never been ready answer already: one that "listens" is bound at weight 0. */
export type Early = "silent" | "listens";

type Mendable = "AddressFamilyUnsupported" | "PodHostNetwork" | "PortNotDeclared";
/** Why a selected Pod is not a backend, for its condition and for people. */
type Unbindable = { readonly reason: Mendable | "NoAddress" | "Ending"; readonly message: string };

export type PodStanding = { readonly pod: PodFact } & ({ readonly backend: WantedBackend } | { readonly unbindable: Unbindable });

/** The Pods that one port of a Service selects; `backends` are those of them that a load balancer can have. */
export type Selection = { readonly standings: readonly PodStanding[]; readonly backends: readonly WantedBackend[] };

/**
 * `isHeldBack`: something besides its own facts keeps a Pod (UID) from being bound anew; default: nothing does. `earlyOf`: of one that is not
 * ready; default: nobody is bound before that.
 */
export function selection(
  intent: ServiceIntent,
  port: IntentPort,
  pods: Iterable<PodFact>,
  isHeldBack: (podUid: string) => boolean = () => false,
  earlyOf: (pod: PodFact) => Early | undefined = () => undefined,
): Selection {
  const all = standings(intent, port, pods).map((entry): PodStanding => {
    if (!("backend" in entry)) return entry;
    const { pod, backend } = entry;
    const early = backend.bindable ? undefined : earlyOf(pod);
    if (isHeldBack(pod.uid)) return { pod, backend: { ...backend, bindable: false, ...(early && { early: "silent" }) } };
    return early === undefined ? entry : { pod, backend: { ...backend, early } };
  });
  return { standings: all, backends: all.flatMap((entry) => ("backend" in entry ? [entry.backend] : [])) };
}

/** Pure: the same backends in the same order. */
export const sameBackends = (one: readonly WantedBackend[], other: readonly WantedBackend[]): boolean =>
  one.length === other.length && one.every((backend, at) => isSameBackend(backend, other[at]));

const isSameBackend = (a: WantedBackend, b: WantedBackend | undefined): boolean =>
  a === b ||
  (b !== undefined &&
    a.podUid === b.podUid &&
    a.ip === b.ip &&
    a.port === b.port &&
    a.weight === b.weight &&
    a.bindable === b.bindable &&
    a.early === b.early);

/** Where each selected Pod stands for one port of a Service. */
export function standings(intent: ServiceIntent, port: IntentPort, pods: Iterable<PodFact>): PodStanding[] {
  const result: PodStanding[] = [];
  for (const pod of pods) {
    if (pod.namespace !== intent.service.namespace || !selects(port.selector ?? intent.selector, pod.labels)) continue;
    result.push({ pod, ...standing(intent, port, pod) });
  }
  return result;
}

function standing(intent: ServiceIntent, port: IntentPort, pod: PodFact): { backend: WantedBackend } | { unbindable: Unbindable } {
  const at = `Pod ${podName(pod)}`;
  const { namespace, name, kind } = intent.service;
  const service = port.service === undefined ? `${kind} ${namespace}/${name}` : `Service ${namespace}/${port.service.name}`;
  if (isEnding(pod)) return { unbindable: { reason: "Ending", message: `${at} is ending` } };
  if (pod.hostNetwork) {
    const message = `${at} has hostNetwork: true, which a load balancer cannot reach as a Pod: give it a Pod network or take it out of the selector of ${service}`;
    return { unbindable: { reason: "PodHostNetwork", message } };
  }
  const number = podPort(pod, port);
  if (number === undefined) {
    if (port.endpoint !== undefined) return { unbindable: { reason: "PortNotDeclared", message: noEndpointPort(at, service, port) } };
    const message = `${at} declares no ${declaredWith(port)} containerPort named "${port.targetPort}", which port ${port.service?.port ?? port.port} of ${service} targets: name the containerPort or use a number as targetPort`;
    return { unbindable: { reason: "PortNotDeclared", message } };
  }
  const wanted = intent.family === "ipv6" ? "IPv6" : "IPv4";
  const ip = pod.ips.find((address) => address.includes(":") === (wanted === "IPv6"));
  if (ip === undefined && pod.ips.length > 0) {
    const message = `${at} has only ${wanted === "IPv4" ? "IPv6" : "IPv4"} addresses (${pod.ips.join(", ")}), and the targets of ${service} are ${wanted}: give the Pod an ${wanted} address, e.g. by a dual-stack cluster`;
    return { unbindable: { reason: "AddressFamilyUnsupported", message } };
  }
  if (ip === undefined) return { unbindable: { reason: "NoAddress", message: `${at} has no ${wanted} address yet` } };
  return {
    backend: {
      podUid: pod.uid,
      ip,
      port: number,
      weight: weightOf(intent.weights, port, pod, weightKind(kind)),
      bindable: pod.containersReady || (port.publishNotReady ?? intent.publishNotReady) === true,
    },
  };
}

const noEndpointPort = (at: string, service: string, { endpoint, port }: IntentPort): string =>
  `${at} is named by EndpointSlices of ${service} that have no port ${endpoint?.port}, which is what port ${port} of the Service is called there: add it to the slice`;

/** A number stands for itself; a name is looked up in the Pod's own declaration, or in the EndpointSlices that name the Pod. */
function podPort(pod: PodFact, port: IntentPort): number | undefined {
  if (port.endpoint !== undefined) return pod.endpoints?.[port.endpoint.service]?.[port.endpoint.port];
  if (typeof port.targetPort === "number") return port.targetPort;
  return pod.ports.find((declared) => declared.name === port.targetPort && declared.protocol === declaredWith(port))?.port;
}

const declaredWith = ({ declared, protocol }: IntentPort): string => declared ?? transportOf(protocol);

/** Events for the Pods that cannot be bound for a reason that a person must mend, on the Pod and summed up on the owner. */
export function standingProblems(owner: ObjectRef, all: readonly PodStanding[]): Problem[] {
  const problems: Problem[] = [];
  const reasons = new Set<string>();
  const told = new Set<string>();
  for (const entry of all) {
    const unhooked = UNHOOKED[entry.pod.drain ?? ""];
    if (unhooked !== undefined && !told.has(unhooked)) {
      told.add(unhooked);
      problems.push({ object: owner, type: "Normal", reason: unhooked, message: unhookedMessage(owner, unhooked) });
    }
    const { drain, drainBecause: because } = entry.pod;
    if (drain !== undefined && because !== undefined && !told.has(because)) {
      told.add(because);
      problems.push({ object: owner, type: "Normal", reason: "NotHeld", message: notHeldMessage(owner, drain, because) });
    }
    const weight = podWeightFault(entry.pod, weightKind(owner.kind));
    if (weight !== undefined) problems.push({ object: podRef(entry.pod), type: "Warning", reason: "InvalidAnnotation", message: weight });
    if (!("unbindable" in entry) || !mendable(entry.unbindable)) continue;
    const { reason, message } = entry.unbindable;
    problems.push({ object: podRef(entry.pod), type: "Warning", reason, message });
    if (reasons.has(reason)) continue;
    reasons.add(reason);
    problems.push({ object: owner, type: "Warning", reason, message: ownerMessage(owner, reason) });
  }
  return problems;
}

/** Whose annotation of a Pod speaks of its weight at such an owner. */
const weightKind = (kind: ObjectRef["kind"]): "service" | "ingress" => (kind === "Ingress" ? "ingress" : "service");
const podRef = ({ namespace, name, uid }: PodFact): ObjectRef => ({ kind: "Pod", namespace, name, uid });

/** By what the webhook wrote on a Pod: why it gets no preStop hook of ours. */
const UNHOOKED: Readonly<Record<string, "OwnPreStop" | "HoldPortTaken">> = {
  "none OwnPreStop": "OwnPreStop",
  "none HoldPortTaken": "HoldPortTaken",
};

/** Names no Pod, either. */
function notHeldMessage({ kind, namespace, name }: ObjectRef, drain: DrainMark, because: string): string {
  const what: Readonly<Partial<Record<DrainMark, string>>> = {
    hold: "Pods of it are held from SIGTERM, but not on every node where they may land",
    sleep: "Pods of it sleep before SIGTERM instead of being held until nothing is sent to them",
  };
  return `${kind} ${namespace}/${name}: ${what[drain] ?? "Pods of it get no preStop hook, so SIGTERM may come while they are still sent to"}: ${because}. See the agents there; clb-direct.io/drain-mode on the Service asks for a mode`;
}

/** Names no Pod, so that one Event covers all of them. */
function unhookedMessage({ kind, namespace, name }: ObjectRef, reason: "OwnPreStop" | "HoldPortTaken"): string {
  const at = `${kind} ${namespace}/${name}`;
  return reason === "OwnPreStop"
    ? `${at}: in Pods of it the container that serves has a preStop hook of its own, which stays as it is: let it wait until weight 0 is effective and clients have left, or take it out, and new Pods are held`
    : `${at}: Pods of it use port ${HOLD_PORT}, to which the preStop hook of the hold goes, so they get none and SIGTERM may come while they are still sent to: use another port`;
}

const mendable = (found: Unbindable): found is Unbindable & { readonly reason: Mendable } =>
  found.reason !== "NoAddress" && found.reason !== "Ending";

/** Names no Pod, so that one Event on the owner covers all of them. */
function ownerMessage({ kind, namespace, name }: ObjectRef, reason: Mendable): string {
  const at = `${kind} ${namespace}/${name}`;
  switch (reason) {
    case "PodHostNetwork":
      return `${at} selects Pods with hostNetwork: true, which are not bound; the others are: see the Events of those Pods`;
    case "PortNotDeclared":
      return `${at} targets a named port that some selected Pods do not declare; they are not bound, the others are: see the Events of those Pods`;
    case "AddressFamilyUnsupported":
      return `${at} selects Pods without an address of the family that its load balancer binds; they are not bound, the others are: see the Events of those Pods`;
    default:
      return reason satisfies never;
  }
}
