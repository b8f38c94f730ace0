/** A load balancer as the cloud has it, in our words, and what we can do to it. */

export type Protocol = "TCP" | "UDP";

/** Seconds and consecutive results, as in the cloud's API, e.g. { enabled: true, intervalSeconds: 5, timeoutSeconds: 2, healthyCount: 3, unhealthyCount: 3 }. */
export type HealthCheck = {
  readonly enabled: boolean;
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly healthyCount: number;
  readonly unhealthyCount: number;
};

/** What the cloud uses where nothing is said. Source: clb-api.md §4.3. */
export const DEFAULT_HEALTH_CHECK: HealthCheck = {
  enabled: true,
  intervalSeconds: 5,
  timeoutSeconds: 2,
  healthyCount: 3,
  unhealthyCount: 3,
};

/** The weight a backend gets unless something says otherwise. Source: clb-api.md §2.3. */
export const DEFAULT_WEIGHT = 10;

/** What the cloud tells apart, e.g. { listenerId: "lbl-1", ip: "10.0.3.7", port: 8080 }. */
export type Slot = { readonly listenerId: string; readonly ip: string; readonly port: number };
export type Target = { readonly ip: string; readonly port: number; readonly weight: number };
export type WeightedSlot = Slot & { readonly weight: number };
/** A backend is a Pod in a slot. */
export type BoundSlot = WeightedSlot & { readonly podUid: string };

export type Listener = {
  readonly listenerId: string;
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly healthCheck: HealthCheck;
  readonly targets: readonly Target[];
};

export type LoadBalancer = {
  readonly loadBalancerId: string;
  /** E.g. ["198.18.0.1"]; empty for one that has only a domain name. */
  readonly vips: readonly string[];
  readonly domain: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly listeners: readonly Listener[];
};

/** `Close`: checks are off. `Unknown`: not probed yet, or no data. */
export type HealthState = "Alive" | "Dead" | "Unknown" | "Close";

/** "10.0.3.7:8080": a target inside one listener. */
export const targetKey = (target: { readonly ip: string; readonly port: number }): string => `${target.ip}:${target.port}`;
/** "lbl-1 10.0.3.7:8080": a target inside one load balancer. */
export const slotKey = (slot: Slot): string => `${slot.listenerId} ${targetKey(slot)}`;

/** TCP and UDP may share a port number; everything else that is not UDP runs over TCP, except QUIC. */
export const samePort = (actual: string, wanted: string): boolean => (actual === "UDP" || actual === "QUIC") === (wanted === "UDP");

/** One write to one load balancer; never more than one runs at a time. */
export type Call =
  | { readonly lane: "conflict" | "unbind"; readonly slots: readonly Slot[] }
  | { readonly lane: "drain" | "tune"; readonly weights: readonly WeightedSlot[] }
  | { readonly lane: "structure"; readonly create: NewListeners }
  | { readonly lane: "bind"; readonly targets: readonly BoundSlot[] }
  | { readonly lane: "tune"; readonly listenerId: string; readonly healthCheck: HealthCheck }
  | { readonly lane: "delete"; readonly listenerIds: readonly string[] };

/** Listeners of one protocol and one health check: what CreateListener takes at once. */
export type NewListeners = {
  readonly protocol: Protocol;
  readonly healthCheck: Partial<HealthCheck>;
  readonly listeners: readonly { readonly name: string; readonly port: number }[];
};

/** Limits per call. Sources: clb-api.md §0 and §2.3 (weights: 500 targets in at most 100 entries of at most 50), §2.2 (49 ports, 20 listeners). */
export const CALL_LIMITS = { targets: 500, weightEntries: 100, weightsPerEntry: 50, ports: 49, deletedListeners: 20 } as const;
