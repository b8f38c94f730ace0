import type { Certificate, DomainSettings, ListenerProtocol, ListenerWish, LoadBalancerSettings, PlaceWish } from "../load-balancer.ts";
import type { ObjectRef } from "../problem.ts";
import type { PodStanding, WantedBackend } from "./backends.ts";
import type { ServiceIntent } from "./service.ts";
import type { RuleConflict } from "./shared-rules.ts";
import type { SettingConflict } from "./shared-wishes.ts";

/** A place as somebody asks for it. */
export type WantedPlace = PlaceWish & {
  readonly backends: readonly WantedBackend[];
  /** Selected Pods of this place, bindable or not. */
  readonly standings: readonly PodStanding[];
  /** Nothing says which certificate it is to have: it is not created; where it is there already it stays as it is. */
  readonly lacksCertificate?: true;
};
/** A listener as a Service asks for it; one of layer 7 has `rules` instead of backends of its own. */
export type WantedListener = WantedPlace &
  ListenerWish & {
    readonly name: string;
    /** The name that it gets, where the Ingresses of a group share it: each of them asks for its own rules under its own name. */
    readonly sharedName?: string;
    readonly owner: ObjectRef;
    readonly protocol: ListenerProtocol;
    readonly port: number;
    /** Of TCP_SSL and QUIC; at HTTPS each rule has its own. */
    readonly certificate?: Certificate;
    readonly rules?: readonly WantedRule[];
    /** What the rules that its owner asks for no more serve until they go. */
    readonly formerRules?: readonly WantedRule[];
    /** Its owner asks for it no more: it is looked after as before until what is asked for instead serves; it is never created. */
    readonly former?: boolean;
  };
/** Domain and path as somebody asks for them, e.g. { domain: "Shop.example.com", url: "/cart" }; "" stands for the load balancer's address. */
export type WantedRule = WantedPlace &
  DomainSettings & {
    readonly domain: string;
    readonly url: string;
    /** Its clients are sent to another rule; "none": nowhere; absent: where somebody sends them, it stays so. */
    readonly redirect?: WantedRedirect | "none";
  };
/** A rule by the name of its listener, e.g. { listener: "cd-1f0c9a2b-5e21c0ffee12-https443", domain: "shop.example.com", url: "/", code: 301 }. */
export type WantedRedirect = { readonly listener: string; readonly domain: string; readonly url: string; readonly code: number };

/**
 * What one load balancer should be.
 * `owners`: all that share it. `held`, `vanished`: its listeners stay as they are, only ends of Pods count. `deleted`: its listeners go.
 */
export type DesiredLoadBalancer = {
  readonly loadBalancerId: string;
  readonly listeners: readonly WantedListener[];
  readonly owners: readonly DesiredOwner[];
  readonly conflicts: readonly PortConflict[];
  /** Rules of shared listeners that their owners ask for in vain. */
  readonly ruleConflicts?: readonly RuleConflict[];
  /** What its owners wish for it; of several wishes the oldest owner's counts. */
  readonly settings?: Partial<LoadBalancerSettings>;
  readonly settingConflicts?: readonly SettingConflict[];
};
/** By UID of their owner: with 50 owners on a load balancer nobody goes through all listeners for each of them. */
export const listenersByOwner = ({ listeners }: Pick<DesiredLoadBalancer, "listeners">): ReadonlyMap<string, readonly WantedListener[]> =>
  Map.groupBy(listeners, ({ owner }) => owner.uid);

/** `unserved`: ports that it asks for and that no load balancer serves. */
export type DesiredOwner = {
  readonly ref: ObjectRef;
  readonly state: "served" | "held" | "deleted" | "vanished";
  readonly unserved?: ServiceIntent["unserved"];
  readonly retain?: true;
};
/** Two Services ask for the same listener; the older assignment keeps it. `group`: which of the two shares its listeners with others. */
export type PortConflict = {
  readonly owner: ObjectRef;
  readonly holder: ObjectRef;
  readonly protocol: ListenerProtocol;
  readonly port: number;
  readonly group?: "owner" | "holder";
};

/** How a listener was set last as its owner had it. `uncheckedRules`: rules whose checks are meant to be off, e.g. ["shop.example.com /"]. */
export type RecordedSettings = Pick<Required<PlaceWish>, "healthCheck" | "scheduler"> & {
  readonly uncheckedRules?: readonly string[] | undefined;
};
