import { listenerName } from "../../../common/names.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { ListenerProtocol, PlaceWish, Protocol } from "../load-balancer.ts";
import type { ObjectRef } from "../problem.ts";
import { type PodStanding, type Selection, selection, type WantedBackend } from "./backends.ts";
import type { IntentPort, ServiceIntent } from "./service.ts";
import { type ListenerWishes, wishKey } from "./service-config.ts";

/** A place as somebody asks for it. */
export type WantedPlace = PlaceWish & {
  readonly backends: readonly WantedBackend[];
  /** Selected Pods of this place, bindable or not. */
  readonly standings: readonly PodStanding[];
};
/** A listener as a Service asks for it; one of layer 7 has `rules` instead of backends of its own. */
export type WantedListener = WantedPlace & {
  readonly name: string;
  readonly owner: ObjectRef;
  readonly protocol: ListenerProtocol;
  readonly port: number;
  readonly rules?: readonly WantedRule[];
};
/** Domain and path as somebody asks for them, e.g. { domain: "Shop.example.com", url: "/cart" }; "" stands for the load balancer's address. */
export type WantedRule = WantedPlace & { readonly domain: string; readonly url: string };

/**
 * What one load balancer should be.
 * `owners`: every Service that shares it; an owner without intent is `held`: its listeners stay as they are, only ends of Pods count.
 * `released`: owners whose deletion we have seen: their listeners go.
 */
export type DesiredLoadBalancer = {
  readonly loadBalancerId: string;
  readonly listeners: readonly WantedListener[];
  readonly owners: readonly Owner[];
  readonly conflicts: readonly PortConflict[];
};
type Owner = { readonly ref: ObjectRef; readonly state: "served" | "held" | "released" };
/** Two Services ask for the same listener; the older assignment keeps it. */
type PortConflict = { readonly owner: ObjectRef; readonly holder: ObjectRef; readonly protocol: Protocol; readonly port: number };

/** One owner of a load balancer. `intent` undefined: it cannot be read now and nothing good is remembered. */
export type Claim = {
  readonly ref: ObjectRef;
  readonly released: boolean;
  readonly intent: ServiceIntent | undefined;
  readonly wishes: ListenerWishes;
};

/**
 * Claims must come in a stable order, oldest first: the first one to ask for a port gets it, unless another one of them listens there
 * already: nobody's traffic ends because somebody else asks for its port.
 */
export function desiredLoadBalancer(from: {
  readonly loadBalancerId: string;
  readonly clusterId: string;
  readonly claims: readonly Claim[];
  readonly podsOf: (namespace: string) => Iterable<PodFact>;
  /** A listener of this name is there; default: none is. */
  readonly listens?: (name: string) => boolean;
  /** What was selected before, where that still holds; else the result of `select`. */
  readonly remembered?: (claim: Claim, port: IntentPort, select: () => Selection) => Selection;
}): DesiredLoadBalancer {
  const listeners: WantedListener[] = [];
  const conflicts: PortConflict[] = [];
  const takenBy = new Map<string, ObjectRef>();
  const nameOf = ({ ref }: Claim, { protocol, port }: IntentPort): string => listenerName(from.clusterId, ref.uid, protocol, port);
  for (const claim of from.claims)
    for (const port of (!claim.released && claim.intent?.ports) || [])
      if (from.listens?.(nameOf(claim, port)) === true) takenBy.set(wishKey(port.protocol, port.port), claim.ref);
  for (const claim of from.claims) {
    if (claim.released || claim.intent === undefined) continue;
    for (const port of claim.intent.ports) {
      const key = wishKey(port.protocol, port.port);
      const holder = takenBy.get(key);
      if (holder !== undefined && holder.uid !== claim.ref.uid) {
        conflicts.push({ owner: claim.ref, holder, protocol: port.protocol, port: port.port });
        continue;
      }
      takenBy.set(key, claim.ref);
      const { intent } = claim;
      const select = (): Selection => selection(intent, port, from.podsOf(claim.ref.namespace));
      listeners.push({
        name: nameOf(claim, port),
        owner: claim.ref,
        protocol: port.protocol,
        port: port.port,
        healthCheck: claim.wishes.get(key) ?? {},
        ...(from.remembered?.(claim, port, select) ?? select()),
      });
    }
  }
  const owners = from.claims.map(({ ref, released, intent }): Owner => {
    if (released) return { ref, state: "released" };
    return { ref, state: intent === undefined ? "held" : "served" };
  });
  return { loadBalancerId: from.loadBalancerId, listeners, owners, conflicts };
}
