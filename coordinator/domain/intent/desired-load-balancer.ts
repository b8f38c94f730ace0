import { listenerName } from "../../../common/names.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { ListenerProtocol, PlaceWish, Protocol } from "../load-balancer.ts";
import type { ObjectRef } from "../problem.ts";
import { type PodStanding, type Selection, selection, type WantedBackend } from "./backends.ts";
import type { OwnerWishes } from "./owner-intent.ts";
import type { IntentPort, ServiceIntent } from "./service.ts";
import { wishKey } from "./service-config.ts";

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
 * `owners`: all that share it. `held`, `vanished`: its listeners stay as they are, only ends of Pods count. `deleted`: its listeners go.
 */
export type DesiredLoadBalancer = {
  readonly loadBalancerId: string;
  readonly listeners: readonly WantedListener[];
  readonly owners: readonly Owner[];
  readonly conflicts: readonly PortConflict[];
};
type Owner = { readonly ref: ObjectRef; readonly state: "served" | "held" | "deleted" | "vanished" };
/** Two Services ask for the same listener; the older assignment keeps it. */
type PortConflict = { readonly owner: ObjectRef; readonly holder: ObjectRef; readonly protocol: Protocol; readonly port: number };

/** What was selected before for one port of an owner, where that still holds; else the result of `select`. */
export type Remembered = (owner: ObjectRef, intent: ServiceIntent, port: IntentPort, select: () => Selection) => Selection;

const wishOf = (wish: PlaceWish["healthCheck"] = {}, settings: Required<PlaceWish> | undefined): PlaceWish =>
  settings === undefined ? { healthCheck: wish } : { healthCheck: { ...settings.healthCheck, ...wish }, scheduler: settings.scheduler };

/**
 * `owners` must come in a stable order, oldest first: the first one to ask for a port gets it, unless another one of them listens there
 * already: nobody's traffic ends because somebody else asks for its port.
 */
export function desiredLoadBalancer(from: {
  readonly loadBalancerId: string;
  readonly clusterId: string;
  readonly owners: readonly OwnerWishes[];
  /** The Pods among which an owner may select, by its UID and namespace. */
  readonly podsOf: (owner: ObjectRef) => Iterable<PodFact>;
  /** A listener of this name is there; default: none is. */
  readonly listens?: (name: string) => boolean;
  readonly remembered?: Remembered;
  /** What the listener of an owner's port has where nobody wishes anything else; default: whatever the load balancer has. */
  readonly settings?: (owner: ObjectRef, port: IntentPort) => Required<PlaceWish> | undefined;
}): DesiredLoadBalancer {
  const listeners: WantedListener[] = [];
  const conflicts: PortConflict[] = [];
  const takenBy = new Map<string, ObjectRef>();
  const asking = from.owners.flatMap(({ owner, wishes }) =>
    owner.state === "served" ? [{ ref: owner.ref, intent: owner.intent, wishes }] : [],
  );
  const nameOf = ({ uid }: ObjectRef, { protocol, port }: IntentPort): string => listenerName(from.clusterId, uid, protocol, port);
  for (const { ref, intent } of asking)
    for (const port of intent.ports) if (from.listens?.(nameOf(ref, port)) === true) takenBy.set(wishKey(port.protocol, port.port), ref);
  for (const { ref, intent, wishes } of asking)
    for (const port of intent.ports) {
      const key = wishKey(port.protocol, port.port);
      const holder = takenBy.get(key);
      if (holder !== undefined && holder.uid !== ref.uid) {
        conflicts.push({ owner: ref, holder, protocol: port.protocol, port: port.port });
        continue;
      }
      takenBy.set(key, ref);
      const select = (): Selection => selection(intent, port, from.podsOf(ref));
      listeners.push({
        name: nameOf(ref, port),
        owner: ref,
        protocol: port.protocol,
        port: port.port,
        ...wishOf(wishes.get(key), from.settings?.(ref, port)),
        ...(from.remembered?.(ref, intent, port, select) ?? select()),
      });
    }
  const owners = from.owners.map(({ owner: { ref, state } }): Owner => ({ ref, state: state === "waiting" ? "served" : state }));
  return { loadBalancerId: from.loadBalancerId, listeners, owners, conflicts };
}
