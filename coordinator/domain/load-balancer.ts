/** A load balancer as the cloud has it, in our words. */

/** What runs on the wire to a Pod, and what a Pod declares its ports with. */
export type Protocol = "TCP" | "UDP";
/** What we create listeners for. TLS ends at TCP_SSL, QUIC and HTTPS; targets of HTTP and HTTPS are bound to rules. Source: clb-api.md §2.2. */
export const LISTENER_PROTOCOLS = ["TCP", "UDP", "TCP_SSL", "QUIC", "HTTP", "HTTPS"] as const;
export type ListenerProtocol = (typeof LISTENER_PROTOCOLS)[number];

/**
 * Certificates that the account has, e.g. { certIds: ["AbCd1234"] }: one for each kind of key (RSA, ECC). `caCertId`: clients have to show
 * one that this signed (mutual TLS).
 */
export type Certificate = { readonly certIds: readonly string[]; readonly caCertId?: string };

/** Seconds and consecutive results, as in the cloud's API, e.g. { enabled: true, intervalSeconds: 5, timeoutSeconds: 2, healthyCount: 3, unhealthyCount: 3 }. */
export type HealthCheck = {
  readonly enabled: boolean;
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly healthyCount: number;
  readonly unhealthyCount: number;
  /** What an HTTP check asks for and expects; only rules have these. `httpCodes` is the cloud's bit mask, e.g. 2 for 2xx. */
  readonly httpPath?: string;
  readonly httpDomain?: string;
  readonly httpMethod?: "HEAD" | "GET";
  readonly httpCodes?: number;
  /** More of a layer-4 check, in the cloud's own words; source 0 is the load balancer's address, 1 is 100.64.0.0/10. Source: clb-api.md §4.3. */
  readonly checkType?: string;
  readonly checkPort?: number;
  readonly contextType?: string;
  readonly sendContext?: string;
  readonly recvContext?: string;
  readonly httpVersion?: string;
  readonly sourceIpType?: number;
};

/** More settings of a layer-4 listener or a rule. */
export type PlaceSettings = {
  /** 0: persistence is off. */
  readonly sessionSeconds?: number;
  /** A target that is unbound gets its connections reset; TCP listeners only. */
  readonly resetOnUnbind?: boolean;
  /** What the load balancer speaks to the targets of a rule, in the cloud's own words; HTTP is the default. */
  readonly forwardType?: string;
};

/** What belongs to all rules of one domain. */
export type DomainSettings = { readonly certificate?: Certificate; readonly http2?: boolean };

/** What the cloud uses where nothing is said. Source: clb-api.md §4.3. */
export const DEFAULT_HEALTH_CHECK: HealthCheck = {
  enabled: true,
  intervalSeconds: 5,
  timeoutSeconds: 2,
  healthyCount: 3,
  unhealthyCount: 3,
};

/** What the cloud fills in by itself, so that what was created is the same as what is read. Source: clb-api.md §4.3. */
const FILLED_IN = { checkTypes: { listener: new Set(["TCP", "PING"]), rule: new Set(["HTTP"]) }, sourceIpType: 1 } as const;

/** The check of a listener, or of a rule, without what the cloud fills in: the type by protocol, and its own range as source. */
export function canonicalCheck<C extends Partial<HealthCheck>>(check: C, of: "listener" | "rule"): C {
  const { checkType, sourceIpType } = check;
  const isTypeFilledIn = checkType !== undefined && FILLED_IN.checkTypes[of].has(checkType);
  if (sourceIpType !== FILLED_IN.sourceIpType && !isTypeFilledIn) return check;
  const kept: { -readonly [K in keyof C]: C[K] } = { ...check };
  if (sourceIpType === FILLED_IN.sourceIpType) delete kept.sourceIpType;
  if (isTypeFilledIn) delete kept.checkType;
  return kept;
}
/** Which of the two a place is. */
export const kindOf = ({ locationId }: PlaceId): "listener" | "rule" => (locationId === undefined ? "listener" : "rule");

const OFF: readonly unknown[] = [0, false, "HTTP"];

/** Settings that are on; none of what is off, which is the cloud's default. */
export function canonicalSettings(settings: PlaceSettings | undefined): { settings?: PlaceSettings } {
  const on = Object.fromEntries(Object.entries(settings ?? {}).filter(([, value]) => value !== undefined && !OFF.includes(value)));
  return Object.keys(on).length === 0 ? {} : { settings: on };
}

/** The same certificates in any order; a wish that names none is met by all. */
export function hasCertificate(actual: Certificate | undefined, wanted: Certificate | undefined): boolean {
  if (wanted === undefined) return true;
  const asText = ({ certIds, caCertId }: Certificate): string => [...new Set(certIds)].sort().join() + " " + (caCertId ?? "");
  return actual !== undefined && asText(actual) === asText(wanted);
}

/** The weight a backend gets unless something says otherwise. Source: clb-api.md §2.3. */
export const DEFAULT_WEIGHT = 10;

/** How a place spreads requests; the cloud's own words. */
export type Scheduler = "WRR" | "LEAST_CONN" | "IP_HASH";

/** Where targets are bound: a listener of layer 4, or a rule of an HTTP listener, e.g. { listenerId: "lbl-1", locationId: "loc-2" }. */
export type PlaceId = { readonly listenerId: string; readonly locationId?: string };
/** What the cloud tells apart, e.g. { listenerId: "lbl-1", ip: "10.0.3.7", port: 8080 }. */
export type Slot = PlaceId & { readonly ip: string; readonly port: number };
export type Target = { readonly ip: string; readonly port: number; readonly weight: number };
export type WeightedSlot = Slot & { readonly weight: number };
/** A backend is a Pod in a slot. */
export type BoundSlot = WeightedSlot & { readonly podUid: string };

/** A place as the cloud has it. */
export type Place = PlaceId & {
  readonly healthCheck: HealthCheck;
  /** Health checks come from the load balancer's own address; absent: from a range that no security group judges. */
  readonly checkedByVip?: true | undefined;
  readonly scheduler: Scheduler;
  /** As far as the cloud tells them. */
  readonly settings?: PlaceSettings;
  /** Of a TCP_SSL or QUIC listener, or of a rule at HTTPS, where every domain has its own (SNI). */
  readonly certificate?: Certificate;
  readonly targets: readonly Target[];
};
/** `rules` and `targets`: a listener has the one or the other. */
export type Listener = Place & {
  /** Says whose it is: the one in the cloud, or where its id is on record the one that it should have. */
  readonly name: string;
  /** The name in the cloud, where that is another one. */
  readonly shownName?: string;
  /** The name that it should have in the cloud, where the Ingresses of a group share it: each of them sees its own rules under its own name. */
  readonly sharedName?: string;
  readonly protocol: string;
  readonly port: number;
  readonly rules: readonly Rule[];
  /** Connections to the targets are kept; of layer 7 only. */
  readonly keepalive?: true;
};
/** `domain` as `canonicalDomain` gives it; listener, domain and `url` together are unique. */
export type Rule = Place & {
  readonly locationId: string;
  readonly domain: string;
  readonly url: string;
  readonly http2?: true;
  /** Its domain serves what names no domain of the listener. */
  readonly isDefault?: true;
  /** Its clients are sent to another rule; its own targets get no requests. */
  readonly redirect?: Redirect;
};
/** Where clients of a rule are sent, e.g. { listenerId: "lbl-2", locationId: "loc-7", code: 301 }; `code` 0: the cloud does not tell it. */
export type Redirect = { readonly listenerId: string; readonly locationId: string; readonly code: number };

/** What of a load balancer can be changed while it lives; an absent wish leaves what it has. */
export type LoadBalancerSettings = {
  /** In the order in which they are asked. */
  readonly securityGroups: readonly string[];
  /** Traffic passes the security groups of the backends. */
  readonly passToTarget: boolean;
  readonly deleteProtect: boolean;
  /** Mbit/s of a public one. */
  readonly bandwidthMbps: number;
};

export type LoadBalancer = {
  readonly loadBalancerId: string;
  /** As far as the cloud tells them. */
  readonly settings?: Partial<LoadBalancerSettings>;
  /** What it was ordered with, in the words of CreateLoadBalancer, e.g. { SubnetId: "subnet-1", AddressIPVersion: "IPV4" }. */
  readonly order?: LoadBalancerOrder;
  /** E.g. ["198.18.0.1"]; empty for one that has only a domain name. */
  readonly vips: readonly string[];
  readonly domain: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly listeners: readonly Listener[];
};

/** Parameters of CreateLoadBalancer by its own names. */
export type LoadBalancerOrder = Readonly<Record<string, unknown>>;

/** What a load balancer is besides its listeners. `running` false: the cloud is still creating it. */
export type LoadBalancerFacts = Omit<LoadBalancer, "listeners"> & { readonly running: boolean };

/** `Close`: checks are off. `Unknown`: not probed yet, or no data. */
export type HealthState = "Alive" | "Dead" | "Unknown" | "Close";

/** "10.0.3.7:8080": a target inside one listener. */
export const targetKey = (target: { readonly ip: string; readonly port: number }): string => `${target.ip}:${target.port}`;
/** "lbl-1" or "lbl-1/loc-2". */
export const placeKey = ({ listenerId, locationId }: PlaceId): string =>
  locationId === undefined ? listenerId : `${listenerId}/${locationId}`;
/** "lbl-1 10.0.3.7:8080" or "lbl-1/loc-2 10.0.3.7:8080": a target inside one load balancer. */
export const slotKey = (slot: Slot): string => `${placeKey(slot)} ${targetKey(slot)}`;
/** A target in its place. A layer-4 slot has no `locationId` at all. */
export const slotOf = ({ listenerId, locationId }: PlaceId, { ip, port }: { readonly ip: string; readonly port: number }): Slot =>
  locationId === undefined ? { listenerId, ip, port } : { listenerId, locationId, ip, port };

/** Every place of a load balancer, in its order. */
export const placesOf = ({ listeners }: { readonly listeners: readonly Listener[] }): Place[] =>
  listeners.flatMap((listener): readonly Place[] => (isLayer7(listener.protocol) ? listener.rules : [listener]));

/** The listener with this id as the owner of the rule sees it, where several share it; without a rule as the first of them does. */
export function listenerAt(listeners: readonly Listener[], { listenerId, locationId }: PlaceId): Listener | undefined {
  const all = listeners.filter((one) => one.listenerId === listenerId);
  return all.find(({ rules }) => rules.some((rule) => rule.locationId === locationId)) ?? all[0];
}

/** Pure: the listeners as the cloud has them, from how their owners see them: each once, with all of its rules, by the name that it has there. */
export function asTheCloudHas(seen: readonly Listener[]): readonly Listener[] {
  return [...Map.groupBy(seen, ({ listenerId }) => listenerId).values()].flatMap((views): readonly Listener[] => {
    const [first] = views;
    if (first === undefined) return [];
    const name = first.shownName ?? first.sharedName ?? first.name;
    return [views.length === 1 && name === first.name ? first : { ...first, name, rules: views.flatMap(({ rules }) => rules) }];
  });
}

/** Targets are bound to rules, not to the listener. */
export const isLayer7 = (protocol: string): boolean => protocol === "HTTP" || protocol === "HTTPS";
/** TLS ends at the load balancer, so that nothing serves without a certificate. */
export const needsCertificate = (protocol: string): boolean => protocol === "TCP_SSL" || protocol === "QUIC" || protocol === "HTTPS";
/** What carries a listener's traffic: TCP and UDP may share a port number; everything else runs over TCP, except QUIC. */
export const transportOf = (protocol: string): Protocol => (protocol === "UDP" || protocol === "QUIC" ? "UDP" : "TCP");

/** The cloud keeps domains in lower case; a regular expression ("~…") stays as it is. Source: clb-api.md §2.2. */
export const canonicalDomain = (domain: string): string => (domain.startsWith("~") ? domain : domain.toLowerCase());
/** "example.com /api": a rule inside one listener. */
export const ruleKey = ({ domain, url }: { readonly domain: string; readonly url: string }): string => `${domain} ${url}`;

/** A rule that is to be created, e.g. "lbl-1 shop.example.com /": the same host and path may be in a listener of HTTP and in one of HTTPS. */
export const createdRule = (listenerId: string, rule: { readonly domain: string; readonly url: string }): string =>
  `${listenerId} ${ruleKey(rule)}`;

/** Two listeners on one port number are in each other's way. */
export const samePort = (actual: string, wanted: string): boolean => transportOf(actual) === transportOf(wanted);

/** What is wished for a place; an absent field leaves the cloud's default or what is there. */
export type PlaceWish = {
  readonly healthCheck: Partial<HealthCheck>;
  readonly scheduler?: Scheduler;
  readonly settings?: PlaceSettings;
};
/** What is wished for a listener besides its place; `defaultDomain` of those that have rules. */
export type ListenerWish = { readonly keepalive?: boolean; readonly defaultDomain?: string };
