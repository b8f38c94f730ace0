import type { ObjectRef } from "../problem.ts";
import type { FaultReason } from "../reasons.ts";
import { servingRules } from "./intent-port.ts";
import type { ServiceIntent } from "./service.ts";
import type { ConfigWishes } from "./service-config.ts";

/** `unknown`: nothing is decided before it is known; `blocker`: the cluster is a copy of another one (safety/cluster-proof.ts). */
export type ClusterStanding = "unknown" | "ours" | { readonly blocker: Blocker };

/** Why an owner has no load balancer; for its Pods' conditions, e.g. { reason: "LoadBalancerNotFound", message: "…" }. */
export type Blocker = { readonly reason: FaultReason; readonly message: string };

/** Why nobody knows which Pods an object asks for: what it refers to has not been read yet, or must not be. */
export type Unread = { readonly kind: "not yet" } | { readonly kind: "denied"; readonly blocker: Blocker };

type Owner = {
  readonly ref: ObjectRef;
  /** Orders the owners of one load balancer: creation time, then UID, e.g. "2026-01-02T03:04:05Z 5e21c0ff-…". */
  readonly order: string;
  /** Which Pods it asks for, also where the rest of it cannot be read. */
  readonly selector: Readonly<Record<string, string>>;
};

/**
 * What one owner of listeners asks for, and where it stands.
 * `held`: it cannot be read and nothing good is remembered: what it has stays as it is, only ends of Pods count.
 * `waiting`: its load balancer has to be found or created first; `blocker` says why that does not happen.
 * `deleted`: its deletion has been seen: what we made for it goes.
 * `vanished`: the object is gone and nobody has seen it deleted: what it has stays as it is, only ends of Pods count, until one of the same
 * name takes it over.
 */
export type OwnerStanding =
  | { readonly state: "held"; readonly loadBalancerId: string | undefined; readonly blocker: Blocker | undefined }
  | { readonly state: "waiting"; readonly intent: ServiceIntent; readonly blocker: Blocker | undefined }
  | { readonly state: "served"; readonly intent: ServiceIntent; readonly loadBalancerId: string }
  /** `retain`: what we created for it stays. */
  | {
      readonly state: "deleted";
      readonly intent: ServiceIntent | undefined;
      readonly loadBalancerId: string | undefined;
      readonly retain?: true;
    }
  | { readonly state: "vanished"; readonly loadBalancerId: string };
/** An owner and where it stands. */
export type OwnerIntent = Owner & OwnerStanding;

/** One owner of a load balancer, with what its TkeServiceConfig says. */
export type OwnerWishes = { readonly owner: OwnerIntent } & Pick<ConfigWishes, "wishes"> & Partial<ConfigWishes>;

/** The last intent of the owner that could be read. */
export const intentOf = (owner: OwnerIntent): ServiceIntent | undefined =>
  owner.state === "held" || owner.state === "vanished" ? undefined : owner.intent;

/** The load balancer that the owner has. */
export const loadBalancerOf = (owner: OwnerIntent): string | undefined => (owner.state === "waiting" ? undefined : owner.loadBalancerId);

/** Why the owner has no load balancer. */
export const blockerOf = (owner: OwnerIntent): Blocker | undefined =>
  owner.state === "held" || owner.state === "waiting" ? owner.blocker : undefined;

/** The labels of the Pods that the owner asks for: of an Ingress, those of each Service that it leads to. */
export function selectorsOf(owner: OwnerIntent): readonly Labels[] {
  const intent = intentOf(owner);
  return intent === undefined ? [owner.selector] : intentSelectors(intent);
}

/** Pure: each of them once. */
export function intentSelectors({ selector, ports }: Pick<ServiceIntent, "selector" | "ports">): readonly Labels[] {
  if (ports.every(({ rules }) => rules === undefined)) return [selector];
  const all = ports.flatMap((port) =>
    (port.rules === undefined ? [undefined] : servingRules(port)).map((rule) => rule?.backend?.selector ?? port.selector ?? selector),
  );
  return [...new Map(all.map((one) => [JSON.stringify(one), one])).values()];
}

type Labels = Readonly<Record<string, string>>;
