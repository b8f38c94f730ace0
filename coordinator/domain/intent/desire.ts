import { listenerName, ownerMark, ownerMarkOf, sharedListenerName } from "../../../common/names.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import { isLayer7, type Listener, needsCertificate, transportOf } from "../load-balancer.ts";
import type { ObjectRef } from "../problem.ts";
import { type Early, type Selection, selection } from "./backends.ts";
import type {
  DesiredLoadBalancer,
  DesiredOwner,
  PortConflict,
  RecordedSettings,
  WantedListener,
  WantedRule,
} from "./desired-load-balancer.ts";
import { formerListener } from "./former-listeners.ts";
import { formerRules, leftRules, type OwnAddress } from "./former-rules.ts";
import { type CertificateOf, type CertificateSource, type IntentPort, portOfRule } from "./intent-port.ts";
import { madeOf, madeOnce, type Outline, type OutlineCache } from "./outline-cache.ts";
import type { OwnerWishes } from "./owner-intent.ts";
import { certificateIn, NO_TARGETS, redirectOf, uncheckedByHand, wantedRule, wishOf } from "./place-wishes.ts";
import type { ServiceIntent } from "./service.ts";
import { wishKey } from "./service-config.ts";
import { grantedPorts, refusedRule, type SharedRules } from "./shared-rules.ts";
import { type SettingConflict, settleShared } from "./shared-wishes.ts";

/** What was selected before for one port of an owner, where that still holds; else the result of `select`. */
type Remembered = (owner: ObjectRef, intent: ServiceIntent, port: IntentPort, select: () => Selection) => Selection;

/**
 * `owners` must come in a stable order, oldest first: the first one to ask for a port gets it, unless another one of them listens there
 * already: nobody's traffic ends because somebody else asks for its port.
 */
export function desiredLoadBalancer(from: DesiredInput): DesiredLoadBalancer {
  const { owners, present = NOTHING_PRESENT, address, shared, certificateOf = byId } = from;
  const outline = (asking: CertificateOf): Outline<DesiredLoadBalancer> => outlineOf({ ...from, present, certificateOf: asking });
  if (from.cache === undefined) return outline(certificateOf).made();
  return from.cache.make({ owners, present, address, shared, certificateOf, selected: from.selected }, outline);
}

type DesiredInput = {
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
  /** What this load balancer was to be at the last pass, for `settings` that follow of `owners`; default: all is made anew. */
  readonly cache?: OutlineCache<DesiredLoadBalancer> | undefined;
  /** As in OutlineInput; default: it is asked each time. */
  readonly selected?: number | undefined;
};

const byId: CertificateOf = (_, source) => (source === undefined || "secret" in source ? undefined : source);
const NOTHING_PRESENT: readonly Listener[] = [];

type From = DesiredInput & Required<Pick<DesiredInput, "present" | "certificateOf">>;
/** Who has a port; others of its group may have it as well. */
type Taker = { readonly ref: ObjectRef; readonly sharedName: string | undefined };
/** An owner, and what it selects for one of its ports. */
type Asker = { readonly ref: ObjectRef; readonly intent: ServiceIntent; readonly selected: (port: IntentPort) => Selection } & Omit<
  OwnerWishes,
  "owner"
>;

/** What is wanted, apart from the Pods: these are asked for whenever it is made. */
function outlineOf(from: From): Outline<DesiredLoadBalancer> {
  const listeners: (() => WantedListener)[] = [];
  const conflicts: PortConflict[] = [];
  const takenBy = new Map<string, Taker>();
  const presentByName = new Map(from.present.map((listener) => [listener.name, listener]));
  const presentByOwner = Map.groupBy(from.present, ({ name }) => ownerMarkOf(name, from.clusterId));
  const asking = from.owners.flatMap(({ owner, ...wishes }) =>
    owner.state === "served" ? [{ ...asked(owner.ref, owner.intent, from), ...wishes }] : [],
  );
  let isSettled = true;
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
      const there = presentByName.get(name);
      const asker = { ref, intent, selected, ...wishes };
      listeners.push(isLayer7(protocol) ? layer7Of(asker, listener, port, there, from) : layer4Of(asker, listener, port, from));
      if (isLayer7(protocol) && there !== undefined && leftRules(there, port, from.address).length > 0) isSettled = false;
    }
    const names = new Set(ports.map(({ name }) => name));
    const left = (presentByOwner.get(mark) ?? []).filter(({ name }) => !names.has(name));
    if (left.length > 0) isSettled = false;
    for (const listener of left) listeners.push(...formerListener(listener, ref, intent, selected, from).map(always));
  }
  const known = { loadBalancerId: from.loadBalancerId, owners: from.owners.map(standingOf), conflicts };
  const settings = settingsOf(asking);
  return { isSettled, made: madeOf(listeners, (made) => withSettings({ ...known, listeners: made }, settings, from.shared)) };
}

type Named = Pick<WantedListener, "name" | "sharedName" | "owner" | "protocol" | "port">;

function layer4Of({ ref, intent, selected, ...wishes }: Asker, listener: Named, port: IntentPort, from: From): () => WantedListener {
  const wishAt = wishKey(port.protocol, port.port);
  const wanted = {
    ...listener,
    ...wishOf({ ...(intent.preventLoopback && { sourceIpType: 1 }), ...wishes.wishes.get(wishAt) }, from.settings?.(ref, port)),
    ...wishes.settings?.get(wishAt),
    ...certified(from, ref, port, port.certificate),
  };
  return madeOnce(
    () => selected(port),
    (pods) => ({ ...wanted, ...pods }),
  );
}

/** `there`: the listener, if it is there. */
function layer7Of(
  { ref, intent, selected, ...wishes }: Asker,
  listener: Named,
  port: IntentPort,
  there: Listener | undefined,
  from: From,
): () => WantedListener {
  const wishAt = wishKey(port.protocol, port.port);
  const unchecked = there && uncheckedByHand(there, from.settings?.(ref, port), from.address);
  const rules = (port.rules ?? []).map((rule): (() => WantedRule) => {
    const wanted = {
      ...wantedRule(wishAt, rule, wishes, unchecked),
      ...certified(from, ref, port, rule.certificate ?? port.certificate),
    };
    const redirecting = redirectOf(from.clusterId, ref, rule);
    if (redirecting !== undefined) return always({ ...wanted, ...redirecting });
    const at = portOfRule(port, rule);
    return madeOnce(
      () => selected(at),
      (pods) => ({ ...wanted, ...pods }),
    );
  });
  const more = { ...(port.defaultDomain !== undefined && { defaultDomain: port.defaultDomain }), ...wishes.listeners?.get(wishAt) };
  const former = there === undefined ? [] : formerRules(there, port, intent.ports, selected, from.address);
  const rest = { ...listener, ...more, ...NO_TARGETS };
  return madeOf(rules, (made) => ({ ...rest, rules: made, ...(former.length > 0 && { formerRules: former }) }));
}

const certified = (
  { certificateOf }: From,
  { namespace }: ObjectRef,
  { protocol }: IntentPort,
  source: CertificateSource | undefined,
): ReturnType<typeof certificateIn> | Record<string, never> =>
  needsCertificate(protocol) ? certificateIn(certificateOf(namespace, source)) : {};

const always =
  <T>(value: T): (() => T) =>
  () =>
    value;

function withSettings(
  known: DesiredLoadBalancer,
  { settings, settingConflicts }: ReturnType<typeof settingsOf>,
  shared: SharedRules | undefined,
): DesiredLoadBalancer {
  if (shared === undefined) return { ...known, ...(settings !== undefined && { settings, settingConflicts }) };
  const settled = settleShared(known.listeners);
  const all = [...settingConflicts, ...settled.conflicts];
  const more = { ruleConflicts: shared.conflicts, settingConflicts: all, ...(settings !== undefined && { settings }) };
  return { ...known, listeners: settled.listeners, ...more };
}

function standingOf({ owner }: Pick<OwnerWishes, "owner">): DesiredOwner {
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
function asked(ref: ObjectRef, intent: ServiceIntent, { clusterId, shared }: Pick<From, "clusterId" | "shared">) {
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
