import type {
  BoundSlot,
  Certificate,
  DomainSettings,
  HealthCheck,
  ListenerProtocol,
  LoadBalancerSettings,
  PlaceId,
  PlaceSettings,
  PlaceWish,
  Scheduler,
  Slot,
  WeightedSlot,
} from "./load-balancer.ts";

/** One write to one load balancer; never more than one runs at a time. */
export type Call =
  | { readonly lane: "conflict" | "unbind"; readonly slots: readonly Slot[] }
  /** A drain may raise others of its places along with it; a bind of weights raises what is bound and ready again. */
  | { readonly lane: "drain" | "tune" | "bind"; readonly weights: readonly WeightedSlot[] }
  | { readonly lane: "structure"; readonly create: NewListeners }
  | { readonly lane: "structure"; readonly createRules: NewRules }
  /** Of the load balancer itself: security groups alone, or others without them. */
  | { readonly lane: "structure"; readonly loadBalancer: Partial<LoadBalancerSettings> }
  | { readonly lane: "bind"; readonly targets: readonly BoundSlot[] }
  | (PlaceId & {
      readonly lane: "tune";
      readonly healthCheck: HealthCheck;
      readonly scheduler?: Scheduler;
      readonly settings?: PlaceSettings;
    })
  | { readonly lane: "tune"; readonly rename: { readonly listenerId: string; readonly name: string } }
  /** Of a listener itself, apart from how its place is set. */
  | { readonly lane: "tune"; readonly listener: ListenerChange }
  /** Of all rules of one domain. */
  | { readonly lane: "tune"; readonly domain: DomainChange }
  /** Rules send their clients to others from then on, or do so no more. */
  | { readonly lane: "structure"; readonly redirects: Redirects }
  | { readonly lane: "delete"; readonly redirects: Redirects }
  | { readonly lane: "delete"; readonly listenerIds: readonly string[] }
  | { readonly lane: "delete"; readonly rules: { readonly listenerId: string; readonly locationIds: readonly string[] } };

/** Listeners of one protocol and one wish: what CreateListener takes at once. Those of HTTPS are made for a certificate per domain (SNI). */
export type NewListeners = PlaceWish & {
  readonly protocol: ListenerProtocol;
  readonly certificate?: Certificate;
  readonly keepalive?: boolean;
  readonly listeners: readonly { readonly name: string; readonly port: number }[];
};
/** Rules of one listener: what CreateRule takes at once. */
export type NewRules = {
  readonly listenerId: string;
  readonly rules: readonly (PlaceWish & DomainSettings & { readonly domain: string; readonly url: string })[];
};
/** From rules of one listener to rules of one listener: what ManualRewrite and DeleteRewrite take at once. `domain` is that of the first rule. */
export type Redirects = {
  readonly listenerId: string;
  readonly targetListenerId: string;
  readonly rules: readonly RedirectedRule[];
};
export type RedirectedRule = {
  readonly locationId: string;
  readonly targetLocationId: string;
  readonly domain: string;
  readonly code: number;
  /** Clients keep the path that they asked for, else they get that of the other rule. */
  readonly keepsPath: boolean;
};
/** What ModifyListener changes besides the place. */
export type ListenerChange = { readonly listenerId: string; readonly certificate?: Certificate; readonly keepalive?: boolean };
/** What ModifyDomainAttributes changes; `domain` as the cloud has it. */
export type DomainChange = DomainSettings & { readonly listenerId: string; readonly domain: string; readonly isDefault?: true };

/**
 * Limits per call. Sources: clb-api.md §0 and §2.3 (weights: 500 targets in at most 100 entries of at most 50), §2.2 (49 ports, 20
 * listeners, 20 rules deleted). Rules per CreateRule are documented nowhere (§9); 20 is what a public controller sends. Nor are rules per
 * ManualRewrite: the same number.
 */
export const CALL_LIMITS = {
  targets: 500,
  weightEntries: 100,
  weightsPerEntry: 50,
  ports: 49,
  deletedListeners: 20,
  rules: 20,
  deletedRules: 20,
  redirects: 20,
} as const;

/** Nothing that was asked of the cloud takes effect later: the most patient public client waits 12 min, a load balancer takes 10 s (clb-api.md §3.2). */
export const LONGEST_TASK_MS = 720_000;

/** Backends that are bound get their weights back. */
export const isRaise = (call: Call): boolean => call.lane === "bind" && "weights" in call;

/** Targets, listeners, rules or weights in a call, for logs and metrics. */
export function itemsOf(call: Call): number {
  if ("slots" in call) return call.slots.length;
  if ("weights" in call) return call.weights.length;
  if ("targets" in call) return call.targets.length;
  if ("listenerIds" in call) return call.listenerIds.length;
  if ("rules" in call) return call.rules.locationIds.length;
  if ("redirects" in call) return call.redirects.rules.length;
  if ("createRules" in call) return call.createRules.rules.length;
  return "create" in call ? call.create.listeners.length : 1;
}

/** The listener that a call tunes, apart from weights. */
export function tunedListener(call: Exclude<Extract<Call, { lane: "tune" }>, { weights: unknown }>): string {
  if ("rename" in call) return call.rename.listenerId;
  if ("listener" in call) return call.listener.listenerId;
  return "domain" in call ? call.domain.listenerId : call.listenerId;
}
