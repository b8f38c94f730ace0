import { listenerName, ownerMark, ownerMarkOf, sharedListenerName } from "../../../common/names.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import {
  type Certificate,
  canonicalDomain,
  type DomainSettings,
  isLayer7,
  LISTENER_PROTOCOLS,
  type Listener,
  type ListenerProtocol,
  type ListenerWish,
  type LoadBalancerSettings,
  needsCertificate,
  type PlaceWish,
  ruleKey,
  transportOf,
} from "../load-balancer.ts";
import type { ObjectRef } from "../problem.ts";
import { type Early, type PodStanding, type Selection, selection, type WantedBackend } from "./backends.ts";
import { formerRules, namesOf, type OwnAddress } from "./former-rules.ts";
import { type CertificateSource, type IntentPort, type IntentRule, portOfRule } from "./intent-port.ts";
import type { OwnerWishes } from "./owner-intent.ts";
import type { ServiceIntent } from "./service.ts";
import { type ConfigWishes, ruleWishKey, wishKey } from "./service-config.ts";
import { grantedPorts, type RuleConflict, refusedRule, type SharedRules } from "./shared-rules.ts";
import { type SettingConflict, settleShared } from "./shared-wishes.ts";

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
  readonly owners: readonly Owner[];
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
type Owner = {
  readonly ref: ObjectRef;
  readonly state: "served" | "held" | "deleted" | "vanished";
  readonly unserved?: ServiceIntent["unserved"];
  readonly retain?: true;
};
/** Two Services ask for the same listener; the older assignment keeps it. `group`: which of the two shares its listeners with others. */
type PortConflict = {
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

/** What was selected before for one port of an owner, where that still holds; else the result of `select`. */
export type Remembered = (owner: ObjectRef, intent: ServiceIntent, port: IntentPort, select: () => Selection) => Selection;

const wishOf = (wish: PlaceWish["healthCheck"] = {}, settings: RecordedSettings | undefined): PlaceWish =>
  settings === undefined ? { healthCheck: wish } : { healthCheck: { ...settings.healthCheck, ...wish }, scheduler: settings.scheduler };

/** A listener with rules has none of its own. */
const NO_TARGETS = { healthCheck: {}, backends: [], standings: [] } as const;

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
  /** The listeners that are there; default: none is known. */
  readonly present?: readonly Listener[];
  readonly remembered?: Remembered;
  /** As in `selection`. */
  readonly isHeldBack?: (podUid: string) => boolean;
  readonly earlyOf?: (pod: PodFact) => Early | undefined;
  /** What the listener of an owner's port has where nobody wishes anything else; default: whatever the load balancer has. */
  readonly settings?: (owner: ObjectRef, port: IntentPort) => RecordedSettings | undefined;
  /** By which the rules without a host are named; default: an IP address. */
  readonly address?: OwnAddress;
  /** The certificate that a source stands for in a Namespace; undefined: it is not known. Default: what is named by id. */
  readonly certificateOf?: CertificateOf;
  /** Whose the rules of shared listeners are; default: no owner shares any. */
  readonly shared?: SharedRules | undefined;
}): DesiredLoadBalancer {
  const listeners: WantedListener[] = [];
  const conflicts: PortConflict[] = [];
  const takenBy = new Map<string, Taker>();
  const present = from.present ?? [];
  const presentByName = new Map(present.map((listener) => [listener.name, listener]));
  const presentByOwner = Map.groupBy(present, ({ name }) => ownerMarkOf(name, from.clusterId));
  const asking = from.owners.flatMap(({ owner, ...wishes }) =>
    owner.state === "served" ? [{ ...asked(owner.ref, owner.intent, from), ...wishes }] : [],
  );
  for (const { ref, ports } of asking)
    for (const { key, name, sharedName } of ports) if (presentByName.has(name)) takenBy.set(key, { ref, sharedName });
  for (const { ref, mark, intent, ports, ...wishes } of asking) {
    const selected = (port: IntentPort): Selection => {
      const select = (): Selection => selection(intent, port, from.podsOf(ref), from.isHeldBack, from.earlyOf);
      return from.remembered?.(ref, intent, port, select) ?? select();
    };
    for (const { port, key, name, sharedName } of ports) {
      const { protocol, port: number } = port;
      const taker = takenBy.get(key);
      if (taker !== undefined && taker.ref.uid !== ref.uid && (sharedName === undefined || taker.sharedName !== sharedName)) {
        const group = taker.sharedName !== undefined ? "holder" : sharedName !== undefined ? "owner" : undefined;
        conflicts.push({ owner: ref, holder: taker.ref, protocol, port: number, ...(group !== undefined && { group }) });
        continue;
      }
      if (taker === undefined) takenBy.set(key, { ref, sharedName });
      const listener = { name, ...(sharedName !== undefined && { sharedName }), owner: ref, protocol, port: number };
      const certified = (source: CertificateSource | undefined) =>
        needsCertificate(protocol) ? certificateIn((from.certificateOf ?? byId)(ref.namespace, source)) : {};
      const wishAt = wishKey(protocol, number);
      if (isLayer7(protocol)) {
        const there = presentByName.get(name);
        const unchecked = there && uncheckedByHand(there, from.settings?.(ref, port), from.address);
        const rules = (port.rules ?? []).map((rule) => ({
          ...wantedRule(wishAt, rule, wishes, unchecked),
          ...certified(rule.certificate ?? port.certificate),
          ...(redirectOf(from.clusterId, ref, rule) ?? selected(portOfRule(port, rule))),
        }));
        const more = { ...(port.defaultDomain !== undefined && { defaultDomain: port.defaultDomain }), ...wishes.listeners?.get(wishAt) };
        const former = there === undefined ? [] : formerRules(there, port, intent.ports, selected, from.address);
        listeners.push({ ...listener, ...more, ...NO_TARGETS, rules, ...(former.length > 0 && { formerRules: former }) });
        continue;
      }
      listeners.push({
        ...listener,
        ...wishOf({ ...(intent.preventLoopback && { sourceIpType: 1 }), ...wishes.wishes.get(wishAt) }, from.settings?.(ref, port)),
        ...wishes.settings?.get(wishAt),
        ...certified(port.certificate),
        ...selected(port),
      });
    }
    const names = new Set(ports.map(({ name }) => name));
    const left = (presentByOwner.get(mark) ?? []).filter(({ name }) => !names.has(name));
    for (const listener of left) listeners.push(...formerListener(listener, ref, intent, selected, from));
  }
  const owners = from.owners.map(standingOf);
  const known = { loadBalancerId: from.loadBalancerId, owners, conflicts };
  const { settings, settingConflicts } = settingsOf(asking);
  if (from.shared === undefined) return { ...known, listeners, ...(settings !== undefined && { settings, settingConflicts }) };
  const settled = settleShared(listeners);
  const all = [...settingConflicts, ...settled.conflicts];
  const more = { ruleConflicts: from.shared.conflicts, settingConflicts: all, ...(settings !== undefined && { settings }) };
  return { ...known, listeners: settled.listeners, ...more };
}

/** Who has a port; others of its group may have it as well. */
type Taker = { readonly ref: ObjectRef; readonly sharedName: string | undefined };

/** The certificate that a source stands for in a Namespace; undefined: it is not known. */
export type CertificateOf = (namespace: string, source: CertificateSource | undefined) => Certificate | undefined;

const byId: CertificateOf = (_, source) => (source === undefined || "secret" in source ? undefined : source);
const certificateIn = (certificate: Certificate | undefined): { certificate: Certificate } | { lacksCertificate: true } =>
  certificate === undefined ? { lacksCertificate: true } : { certificate };

/** A rule with what a TkeServiceConfig wishes for it. The check of a pattern needs a host: one that fits, unless somebody names another. */
function wantedRule(
  wishAt: string,
  { domain, url, redirect }: IntentRule,
  { rules }: Pick<ConfigWishes, "rules">,
  unchecked: ReadonlySet<string> | undefined,
) {
  const key = ruleKey({ domain: canonicalDomain(domain), url });
  const wish = rules?.get(ruleWishKey(wishAt, { domain, url }));
  const host = domain.includes("*") && !domain.startsWith("~") ? { httpDomain: domain.replace("*", "www") } : {};
  return {
    domain,
    url,
    ...(redirect === "none" && { redirect }),
    ...wish,
    healthCheck: { ...host, ...(unchecked?.has(key) && { enabled: true }), ...wish?.healthCheck },
  };
}

/** Rules without a check although nobody wished that, as far as is on record: somebody has switched it off by hand. */
function uncheckedByHand(
  { rules }: Listener,
  recorded: RecordedSettings | undefined,
  address: OwnAddress | undefined,
): ReadonlySet<string> | undefined {
  const off = recorded && rules.filter(({ healthCheck }) => !healthCheck.enabled);
  if (recorded === undefined || off === undefined || off.length === 0) return undefined;
  const meant = new Set(recorded.uncheckedRules);
  return new Set(off.flatMap((rule) => namesOf(rule, address)).filter((name) => !meant.has(name)));
}

/** What a rule has instead of backends; undefined: it has backends. */
function redirectOf(clusterId: string, { uid }: ObjectRef, { redirect: wish }: IntentRule) {
  if (wish === undefined || wish === "none") return undefined;
  const { protocol, port, ...to } = wish;
  return { backends: [], standings: [], redirect: { ...to, listener: listenerName(clusterId, uid, protocol, port) } };
}

function standingOf({ owner }: Pick<OwnerWishes, "owner">): Owner {
  const { ref, state } = owner;
  if (state === "deleted" && owner.retain) return { ref, state, retain: true };
  if (state !== "served" || owner.intent.unserved.length === 0) return { ref, state: state === "waiting" ? "served" : state };
  return { ref, state, unserved: owner.intent.unserved };
}

type Asking = { readonly ref: ObjectRef; readonly intent: ServiceIntent; readonly bandwidthMbps?: number };

function settingsOf(asking: readonly Asking[]): {
  readonly settings: DesiredLoadBalancer["settings"] | undefined;
  readonly settingConflicts: readonly SettingConflict[];
} {
  const wished = new Map<string, { readonly holder: ObjectRef; readonly value: unknown }>();
  const settingConflicts: SettingConflict[] = [];
  for (const { ref, intent, bandwidthMbps } of asking)
    for (const [setting, value] of Object.entries({ ...intent.settings, ...(bandwidthMbps !== undefined && { bandwidthMbps }) })) {
      const known = wished.get(setting);
      if (known === undefined) wished.set(setting, { holder: ref, value });
      else if (JSON.stringify(known.value) !== JSON.stringify(value)) settingConflicts.push({ owner: ref, holder: known.holder, setting });
    }
  if (wished.size === 0) return { settings: undefined, settingConflicts };
  return { settings: Object.fromEntries([...wished].map(([setting, { value }]) => [setting, value])), settingConflicts };
}

/** What a served owner asks for; each name is made once: with 50 owners on a load balancer that is what a pass spends its time on. */
function asked(
  ref: ObjectRef,
  intent: ServiceIntent,
  { clusterId, shared }: Pick<Parameters<typeof desiredLoadBalancer>[0], "clusterId" | "shared">,
) {
  const refused = (shared?.conflicts ?? []).flatMap((one) => (one.owner.uid === ref.uid ? refusedRule(one) : []));
  const granted = refused.length === 0 ? intent.ports : grantedPorts(intent, new Set(refused));
  const ports = granted.map((port) => ({
    port,
    key: `${transportOf(port.protocol)}/${port.port}`,
    name: listenerName(clusterId, ref.uid, port.protocol, port.port),
    sharedName: intent.group && isLayer7(port.protocol) ? sharedListenerName(clusterId, port.protocol, port.port) : undefined,
  }));
  return { ref, mark: ownerMark(ref.uid), intent, ports };
}

/** A listener that its owner asks for no more, as it is looked after until it goes; none where nobody can tell. */
function formerListener(
  listener: Listener,
  owner: ObjectRef,
  intent: ServiceIntent,
  selected: (port: IntentPort) => Selection,
  { settings, address }: Pick<Parameters<typeof desiredLoadBalancer>[0], "settings" | "address">,
): WantedListener[] {
  const port = formerPort(listener, intent.ports);
  if (port === undefined) return formerLayer7(listener, owner, intent, selected, address);
  const { protocol, port: number } = port;
  const wish = wishOf({}, settings?.(owner, port));
  return [{ name: listener.name, owner, protocol, port: number, ...wish, former: true, ...selected(port) }];
}

/** A listener with rules that its owner asks for no more; none where it has no rules. */
function formerLayer7(
  listener: Listener,
  owner: ObjectRef,
  { ports }: ServiceIntent,
  selected: (port: IntentPort) => Selection,
  address: OwnAddress | undefined,
): WantedListener[] {
  const { name, port } = listener;
  const protocol = LISTENER_PROTOCOLS.find((one) => one === listener.protocol);
  if (protocol === undefined || !isLayer7(protocol)) return [];
  const rules = formerRules(listener, undefined, ports, selected, address);
  return [{ name, owner, protocol, port, ...NO_TARGETS, rules: [], formerRules: rules, former: true }];
}

/**
 * What a listener that its owner asks for no more was asked for, as far as can be seen from what is bound there: the port that most of its
 * targets have; where nothing is bound, that of the only port that the owner asks for. Undefined: of layer 7, or nobody can tell.
 */
function formerPort({ protocol: shown, port, targets }: Listener, present: readonly IntentPort[]): IntentPort | undefined {
  const protocol = LISTENER_PROTOCOLS.find((one) => one === shown);
  if (protocol === undefined || isLayer7(protocol)) return undefined;
  const counts = new Map<number, number>();
  for (const target of targets) counts.set(target.port, (counts.get(target.port) ?? 0) + 1);
  const [most] = [...counts].sort(([portA, countA], [portB, countB]) => countB - countA || portA - portB);
  const [only, ...others] = present.filter((one) => transportOf(one.protocol) === transportOf(protocol));
  const targetPort = most?.[0] ?? (others.length === 0 ? only?.targetPort : undefined);
  return targetPort === undefined ? undefined : { protocol, port, targetPort };
}
