import {
  DIRECT_ACCESS,
  EXISTING_LOAD_BALANCER,
  FINALIZER,
  INTERNAL_SUBNET,
  LOAD_BALANCER_CLASS,
  LOAD_BALANCER_ID,
  MANAGED_ANNOTATION,
  TKE_FINALIZER,
} from "../../../common/names.ts";
import { type LoadBalancerOrder, type LoadBalancerSettings, type Protocol, transportOf } from "../load-balancer.ts";
import type { ObjectRef, Problem } from "../problem.ts";
import type { EventReason, FaultReason } from "../reasons.ts";
import { KEYS, keysOf, type OwnerKeys } from "./annotation-keys.ts";
import { configNameOf } from "./auto-config-name.ts";
import { type EndpointSlice, endpointPort, endpointSelector } from "./endpoints.ts";
import type { IntentPort } from "./intent-port.ts";
import { type IpFamilies, serviceOrder } from "./ip-families.ts";
import { judgeOwner, type OwnerFault } from "./judge-service.ts";
import { isFullChain, settingsOf, voidKeys } from "./order.ts";
import type { ReadyCondition } from "./ready-condition.ts";
import { type SpecifiedListener, specifiedInVain, specifiedListeners } from "./specify-protocol.ts";
import { readWeights, type Weights, weighedInVain } from "./weights.ts";

/** A Service as far as we read it. */
export type ServiceRecord = IpFamilies & {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly namespace: string;
  readonly name: string;
  /** As the API server wrote it, e.g. "2026-01-02T03:04:05Z"; orders Services that share a load balancer. */
  readonly createdAt: string;
  readonly type: string;
  readonly loadBalancerClass: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  /** Value of our label on it, "OPEN" or "INTERNAL"; undefined: it has none. */
  readonly typeLabel?: string | undefined;
  readonly finalizers: readonly string[];
  readonly selector: Readonly<Record<string, string>>;
  readonly ports: readonly ServicePort[];
  readonly deleting: boolean;
  /** Addresses in status.loadBalancer, "ip" or "hostname". */
  readonly ingress: readonly string[];
  /** `ipMode` of each of them that has an address, "VIP" where the API server keeps none. */
  readonly ipModes: readonly string[];
  readonly isHeadless: boolean;
  /** spec.publishNotReadyAddresses. */
  readonly publishNotReady: boolean;
  /** Undefined where the API server counts no generations of Services. */
  readonly generation: number | undefined;
  /** Its condition Ready; undefined: it has none. */
  readonly ready: ReadyCondition | undefined;
  /** spec.loadBalancerSourceRanges, e.g. ["10.0.0.0/8"]. */
  readonly sourceRanges: readonly string[];
  /** spec.loadBalancerIP; "" is none. */
  readonly loadBalancerIp: string;
  /** "None" or "ClientIP". */
  readonly sessionAffinity: string;
};
/** E.g. { name: "http", protocol: "TCP", port: 80, targetPort: "http" }. */
type ServicePort = { readonly name: string; readonly protocol: string; readonly port: number; readonly targetPort: number | string };

export const serviceRef = (service: Pick<ServiceRecord, "namespace" | "name" | "uid">): ObjectRef & { readonly kind: "Service" } => ({
  kind: "Service",
  namespace: service.namespace,
  name: service.name,
  uid: service.uid,
});

/** "class": our class or the take-over marker. "annotation": every object with direct-access "true". */
export type OwnershipMode = "class" | "annotation";

/**
 * Whose Service it is. `deleted`: it was ours (it has our finalizer) and is deleted or no longer a LoadBalancer, so what we made for it
 * must go. `foreign`: another controller acts on it.
 */
export type Ownership =
  | { readonly kind: "deleted" | "none" }
  /** `note`: what a person should know of it nevertheless. */
  /** `isLeft`: it asks for another controller by now, whose the address in its status is. */
  | { readonly kind: "ours"; readonly note?: string; readonly isLeft?: true }
  /** `skip`: a person asked that nothing of it is changed. `type`: it is meant for us and cannot be served as it is. */
  | { readonly kind: "skip" | "foreign" | "type"; readonly because: string };

/**
 * Decides whose Service it is from the object alone; tags of the load balancer are judged later. `served`: this process serves it already,
 * so that a finalizer of ours that somebody removed by hand is put back, and its Pods go on being drained. `directByDefault`: one that is
 * addressed to us and says nothing of direct access wants it.
 */
export function ownershipOf(service: ServiceRecord, mode: OwnershipMode, served = false, directByDefault = false): Ownership {
  const held = served || service.finalizers.includes(FINALIZER);
  const isWanted = wantsUs(service, mode, directByDefault);
  if (isSkipped(service) && (held || isWanted))
    return { kind: "skip", because: `annotation ${KEYS.mode} is "skip": nothing is changed for it until that is removed` };
  if (!held && !service.deleting && isWanted && service.type !== "LoadBalancer") return otherType(service);
  if (service.deleting || service.type !== "LoadBalancer") return { kind: held ? "deleted" : "none" };
  if (held) return { kind: "ours" };
  if (!isWanted) return isAddressed(service) ? withoutAccess(service) : withForeignClass(service, mode);
  if (service.finalizers.includes(TKE_FINALIZER)) return { kind: "foreign", because: `it has TKE's finalizer ${TKE_FINALIZER}` };
  if (service.annotations[LOAD_BALANCER_ID] !== undefined)
    return {
      kind: "foreign",
      because: `its annotation ${LOAD_BALANCER_ID} was written by another controller: remove it if none serves this Service`,
    };
  return { kind: "ours" };
}

/** A person has told every controller to stand down; with our marker the word is addressed to TKE's. */
const isSkipped = ({ annotations }: ServiceRecord): boolean =>
  annotations[KEYS.mode] === "skip" && annotations[MANAGED_ANNOTATION] !== "true";

/** Direct access on a Service of another type is for an Ingress that uses it, unless nothing could ever be bound, or our marker says that we are meant. */
function otherType(service: ServiceRecord): Ownership {
  const { type, isHeadless, annotations } = service;
  if (type !== "ExternalName" && !isHeadless && annotations[MANAGED_ANNOTATION] !== "true") return { kind: "none" };
  const what = isHeadless ? "spec.clusterIP is None (headless)" : `spec.type is ${type}`;
  return {
    kind: "type",
    because: `${what}, and only Services of type LoadBalancer get a load balancer: change the type, or remove ${DIRECT_ACCESS}`,
  };
}

function withForeignClass({ loadBalancerClass, annotations }: ServiceRecord, mode: OwnershipMode): Ownership {
  const asks = annotations[DIRECT_ACCESS] === "true" && mode === "annotation";
  if (!asks || loadBalancerClass === undefined || loadBalancerClass === LOAD_BALANCER_CLASS) return { kind: "none" };
  return { kind: "foreign", because: `its spec.loadBalancerClass ${loadBalancerClass} addresses another controller` };
}

/** Its class or our marker says that no other controller is meant. */
const isAddressed = ({ loadBalancerClass, annotations }: ServiceRecord): boolean =>
  loadBalancerClass === LOAD_BALANCER_CLASS || annotations[MANAGED_ANNOTATION] === "true";

/** Nobody else will serve it, so that is said. */
function withoutAccess({ annotations }: ServiceRecord): Ownership {
  const access = annotations[DIRECT_ACCESS];
  const because = `it is addressed to us, and annotation ${DIRECT_ACCESS} ${access === undefined ? "is missing" : `is "${access}"`}: set it to "true", or address another controller`;
  return { kind: "type", because };
}

function wantsUs(service: ServiceRecord, mode: OwnershipMode, directByDefault: boolean): boolean {
  const access = service.annotations[DIRECT_ACCESS] ?? (directByDefault && isAddressed(service) ? "true" : "false");
  if (access === "false") return false;
  if (isAddressed(service)) return true;
  // A class that is not ours addresses somebody else, whatever the annotation says.
  return mode === "annotation" && service.loadBalancerClass === undefined;
}

/** Where the load balancer comes from. */
type Source =
  | { readonly kind: "existing"; readonly loadBalancerId: string }
  /** `order`: more parameters of the order, by the cloud's own names. */
  | { readonly kind: "create"; readonly subnetId: string | undefined; readonly order?: LoadBalancerOrder };

/** What a valid Service asks for. */
export type ServiceIntent = {
  readonly service: ObjectRef;
  readonly source: Source;
  readonly selector: Readonly<Record<string, string>>;
  readonly ports: readonly IntentPort[];
  /** Ports with a protocol that no load balancer serves, e.g. SCTP: what listens in their place stays. */
  readonly unserved: readonly UnservedPort[];
  /** Name of the TkeServiceConfig it names, or of the one that is made for it, same namespace. */
  readonly configName: string | undefined;
  /** What it wishes for the load balancer itself. */
  readonly settings?: Partial<LoadBalancerSettings>;
  /** What we create for it stays when it goes. */
  readonly retain?: true;
  /** Weights of its backends; default: 10 each. */
  readonly weights?: Weights;
  /** Pods are bound before their containers are ready. */
  readonly publishNotReady?: true;
  /** The family of the Pods' addresses that are bound; default IPv4. */
  readonly family?: "ipv6";
  /** Of an Ingress: the class by which it is served, "" for none. */
  readonly className?: string | undefined;
  /** Of an Ingress that shares the listeners of its load balancer with others: the group has them, and each its own rules. */
  readonly group?: true;
  /** Inside the cluster the load balancer's address leads there as well. */
  readonly preventLoopback?: true;
};
/** A port with a protocol that no load balancer serves. */
export type UnservedPort = { readonly protocol: string; readonly port: number; readonly targetPort: number | string };

/** `fault`, one of the warnings: the Service cannot be served as it stands; what we had for it stays as it was. */
export type ServiceReading =
  | { readonly intent: ServiceIntent; readonly fault?: undefined; readonly warnings: readonly Problem[] }
  | { readonly intent: undefined; readonly fault: OwnerFault; readonly warnings: readonly Problem[] };

/** Its Pods are those that its selector matches; without one they are those that its EndpointSlices name. */
export const hasSelector = ({ selector }: Pick<ServiceRecord, "selector">): boolean => Object.keys(selector).length > 0;

/** The Pods of a Service by their labels, or by the mark of those that its EndpointSlices name. */
export const podSelector = (service: Pick<ServiceRecord, "selector" | "name">): Readonly<Record<string, string>> =>
  hasSelector(service) ? service.selector : endpointSelector(service.name);

/**
 * Reads a Service that is ours. A fault that concerns the whole Service yields no intent: the caller keeps the last good one. `slices`: its
 * EndpointSlices, where it has no selector.
 */
export function readService(service: ServiceRecord, slices: readonly EndpointSlice[] = [], directByDefault = false): ServiceReading {
  const object = serviceRef(service);
  const at = `Service ${service.namespace}/${service.name}`;
  const warn = (reason: EventReason, message: string): Problem => ({ object, type: "Warning", reason, message });
  const warnings: Problem[] = [];
  const unreadable = (reason: FaultReason, message: string): ServiceReading => {
    return { intent: undefined, fault: { reason, message }, warnings: [...warnings, warn(reason, message)] };
  };

  const judged = judgeOwner({ ...service, object });
  warnings.push(...judged.notes, ...judged.faults.slice(1).map((fault) => warn(fault.reason, fault.message)));
  const [fault] = judged.faults;
  if (fault !== undefined) return unreadable(fault.reason, fault.message);
  const access = service.annotations[DIRECT_ACCESS];
  const isDefault = access === undefined && directByDefault && isAddressed(service);
  if (access !== "true" && !isDefault) {
    const message = `${at}: annotation ${DIRECT_ACCESS} is ${access === undefined ? "gone" : '"false"'}, but there is no NodePort mode to go back to: its Pods stay bound; delete the Service or set it to "true"`;
    warnings.push(warn("DirectAccessRemoved", message));
  }
  if (!hasSelector(service) && slices.length === 0) {
    const message = `${at} has no spec.selector and no EndpointSlice, so no Pods can be bound: add a selector that matches the Pods' labels, or an EndpointSlice with the label kubernetes.io/service-name: ${service.name}`;
    return unreadable("NoSelector", message);
  }
  warnings.push(...(hasSelector(service) ? [] : sliceProblems(object, service.ports, slices)));
  const existing = service.annotations[EXISTING_LOAD_BALANCER];
  const specified = specifiedListeners(service.annotations[KEYS.specifyProtocol]);
  const ports = portsOf(service, specified);
  for (const what of specifiedInVain(service.annotations[KEYS.specifyProtocol] ?? "{}")) {
    const message = `${at}: annotation ${KEYS.specifyProtocol}: ${what} has no effect with the protocols that are named there: remove it, or correct them`;
    warnings.push({ object, type: "Normal", reason: "NoEffect", message });
  }
  for (const port of specified.keys()) {
    if (service.ports.some((one) => one.port === port)) continue;
    const message = `${at}: annotation ${KEYS.specifyProtocol} names port ${port}, which the Service does not have: correct it`;
    warnings.push({ object, type: "Normal", reason: "NoEffect", message });
  }
  if (ports.length === 0) {
    const named = service.ports.map(({ port, protocol }) => `port ${port} has protocol ${protocol}`).join(", ");
    const message = `${at}: nothing of it can be served: ${named || "it has no port"}: use TCP or UDP. What it has stays, and where it has nothing its Pods wait for nothing`;
    return unreadable("NotServed", message);
  }
  const unserved = service.ports.flatMap(({ protocol, port, targetPort }): UnservedPort[] =>
    protocol === "TCP" || protocol === "UDP" ? [] : [{ protocol, port, targetPort }],
  );
  for (const { protocol, port } of unserved) {
    const message = `${at}: port ${port} has protocol ${protocol}, which a load balancer cannot serve: use TCP or UDP. A listener that serves in its place stays`;
    warnings.push(warn("UnsupportedProtocol", message));
  }
  for (const { key, because } of voidKeys(service.annotations, existing !== undefined))
    warnings.push({ object, type: "Normal", reason: "NoEffect", message: `${at}: annotation ${key} has no effect: ${because}` });
  const order = serviceOrder(service);
  const weights = service.annotations[KEYS.weights];
  for (const message of weighedInVain(weights, ports))
    warnings.push({ object, type: "Normal", reason: "NoEffect", message: `${at}: annotation ${KEYS.weights} ${message}` });
  const source: Source =
    existing === undefined
      ? { kind: "create", subnetId: service.annotations[INTERNAL_SUBNET], ...(order !== undefined && { order }) }
      : { kind: "existing", loadBalancerId: existing };
  return {
    intent: {
      service: object,
      source,
      selector: podSelector(service),
      ports,
      unserved,
      configName: configNameOf("Service", service),
      ...lifeOf(service.annotations, order),
      ...(weights !== undefined && { weights: readWeights(weights) }),
      ...(service.publishNotReady && { publishNotReady: true }),
    },
    warnings,
  };
}

/**
 * Each port once per protocol: what the annotation says of a port stands in place of its own protocol. Where the Service has the number for
 * TCP and for UDP, each listener leads to the `targetPort` of the one that it is carried by.
 */
function portsOf(service: ServiceRecord, specified: ReadonlyMap<number, readonly SpecifiedListener[]>): IntentPort[] {
  const found = new Map<string, IntentPort>();
  const endpoints = (protocol: string, name: string): Pick<IntentPort, "endpoint"> =>
    hasSelector(service) ? {} : { endpoint: { service: service.name, port: endpointPort(protocol, name) } };
  for (const { name, protocol: own, port, targetPort } of service.ports) {
    const plain: Protocol[] = own === "TCP" || own === "UDP" ? [own] : [];
    const asIs = plain.map((protocol): SpecifiedListener => ({ protocol }));
    for (const { protocol, ...listener } of specified.get(port) ?? asIs) {
      const carrier = transportOf(protocol);
      const isOthers = own !== carrier && service.ports.some((other) => other.port === port && other.protocol === carrier);
      if (isOthers || found.has(`${protocol} ${port}`)) continue;
      const isOwn = protocol === own || typeof targetPort === "number";
      const [declared] = isOwn ? [] : plain;
      found.set(`${protocol} ${port}`, { protocol, port, targetPort, ...(declared && { declared }), ...endpoints(own, name), ...listener });
    }
  }
  return [...found.values()];
}

/** What is wrong with the EndpointSlices of a Service without a selector, as far as they tell it themselves. */
function sliceProblems(object: ObjectRef, ports: readonly ServicePort[], slices: readonly EndpointSlice[]): Problem[] {
  const names = slices.map(({ name }) => name).join(", ");
  return ports.flatMap(({ name, protocol, port }): Problem[] => {
    if (slices.some((slice) => slice.ports[endpointPort(protocol, name)] !== undefined)) return [];
    const called = name === "" ? "without a name" : `called "${name}"`;
    const message = `Service ${object.namespace}/${object.name}: nothing is bound to port ${port}, because none of its EndpointSlices (${names}) has a ${protocol} port with a number that is ${called}: add it there`;
    return [{ object, type: "Warning", reason: "EndpointNotBound", message }];
  });
}

function lifeOf(annotations: ServiceRecord["annotations"], order: LoadBalancerOrder | undefined): Partial<ServiceIntent> {
  const settings = settingsOf(annotations);
  return {
    ...(settings !== undefined && { settings }),
    ...(isRetained(annotations) && { retain: true }),
    ...familyOf(annotations[KEYS.mixTargetPrefer], order),
    ...(annotations[KEYS.preventLoopback] === "true" && { preventLoopback: true }),
  };
}

/** Pure: IPv6 addresses can be bound where the load balancer is IPv6 from end to end; there somebody may prefer the others. */
export const familyOf = (prefers: string | undefined, order: LoadBalancerOrder | undefined): Pick<ServiceIntent, "family"> =>
  isFullChain(order) && prefers !== "ipv4" ? { family: "ipv6" } : {};

/** Whatever else is wrong with the Service. */
export const isRetained = (annotations: ServiceRecord["annotations"], keys: OwnerKeys = keysOf("Service")): boolean =>
  annotations[keys.retain] === "true";

/** Every label of the selector is on the Pod. An empty selector matches nothing here. */
export function selects(selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
  let isEmpty = true;
  for (const name in selector) {
    if (labels[name] !== selector[name]) return false;
    isEmpty = false;
  }
  return !isEmpty;
}

/** The same for one selector and many Pods: thousands of Services times thousands of Pods are asked about when a leader begins. */
export function selectorTest(selector: Readonly<Record<string, string>>): (labels: Readonly<Record<string, string>>) => boolean {
  const [first, ...others] = Object.entries(selector);
  if (first === undefined) return () => false;
  const [name, value] = first;
  return (labels) => labels[name] === value && others.every(([key, wanted]) => labels[key] === wanted);
}
