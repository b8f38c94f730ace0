import type { HealthCheck, Scheduler } from "../load-balancer.ts";
import type { ObjectRef } from "../problem.ts";
import type { ServiceIntent } from "./service.ts";

/** What is stored of an owner, so that every leader decides as the one before it would have. */
export type OwnerRecord = {
  readonly ref: ObjectRef;
  /** As in `OwnerIntent`. */
  readonly order: string;
  /** The last one that could be read. */
  readonly intent: ServiceIntent;
  /** What it asked for before, the latest last: that it asks for other Pods now is its own word. */
  readonly formerSelectors: readonly ServiceIntent["selector"][];
  /** What the former holders of rules that it took over in a group asked for: their Pods leave as those of a former selector do. */
  readonly inherited?: readonly { readonly namespace: string; readonly selector: ServiceIntent["selector"] }[] | undefined;
  /** By "HTTP/80", of listeners that it shares: rules that it asks for no more, and since when in milliseconds, e.g. { "shop.example.com /old": 1732700000000 }. */
  readonly leftRules?: Readonly<Record<string, Readonly<Record<string, number>>>> | undefined;
  /** UID of the vanished owner of its name for whom the load balancer was made that this one has taken over; it is in the load balancer's tag. */
  readonly madeFor?: string | undefined;
  /** By "TCP/80". */
  readonly listeners: Readonly<Record<string, ListenerRecord>>;
};

/** A listener of the owner. */
export type ListenerRecord = {
  readonly id: string;
  /** As the owner, its TkeServiceConfig or the cloud's defaults set them last: what somebody else makes of them is put back. */
  readonly healthCheck: HealthCheck;
  readonly scheduler: Scheduler;
  /** Rules whose checks somebody switched off by a TkeServiceConfig and nobody on again, e.g. ["shop.example.com /"]; absent: none. */
  readonly uncheckedRules?: readonly string[] | undefined;
  /** Of one that the Ingresses of a group share: the rules that are this owner's, e.g. ["shop.example.com /"]. */
  readonly rules?: readonly string[] | undefined;
  /** The name that it had while it was another owner's, from whom this one took it over. */
  readonly formerName?: string | undefined;
  readonly renamed?: Renamed | undefined;
};

/** By hand, at `atMs` (milliseconds since the epoch). */
type Renamed = {
  readonly to: string;
  readonly atMs: number;
  readonly state: "naming-back" | "named-back" | "given-up";
};
