import { listenerName, sharedListenerName } from "../../common/names.ts";
import type { OwnAddress } from "./intent/former-rules.ts";
import { wishKey } from "./intent/service-config.ts";
import { type SharedRules, sharedRuleName } from "./intent/shared-rules.ts";
import type { Listener, Rule } from "./load-balancer.ts";

/** The listener is shared by the Ingresses of a group. */
const isShared = ({ name, protocol, port }: Listener, clusterId: string): boolean => name === sharedListenerName(clusterId, protocol, port);

/**
 * Pure: the listeners as their owners see them. One that the Ingresses of a group share stands there once for each of them, by the name that
 * it would have if it were that one's alone, with that one's rules; whoever asks for it and has no rule yet sees it empty. Rules of nobody
 * who is known stay under the shared name: they are nobody's to change. All others are the same objects.
 */
export function asOwnersSee(
  listeners: readonly Listener[],
  clusterId: string,
  shared: SharedRules,
  address: OwnAddress | undefined,
): readonly Listener[] {
  if (!listeners.some((one) => isShared(one, clusterId))) return listeners;
  return listeners.flatMap((listener) => (isShared(listener, clusterId) ? viewsOf(listener, clusterId, shared, address) : [listener]));
}

function viewsOf(
  listener: Listener,
  clusterId: string,
  { members, holders }: SharedRules,
  address: OwnAddress | undefined,
): readonly Listener[] {
  const { protocol, port, listenerId } = listener;
  const key = wishKey(protocol, port);
  const holderOf = holders.get(key);
  const byHolder = Map.groupBy(listener.rules, (rule) => holderOf?.get(sharedRuleName(rule, address))?.uid);
  const nobodys = byHolder.get(undefined) ?? [];
  const viewOf = (uid: string, rules: readonly Rule[]): Listener => ({
    ...listener,
    name: listenerName(clusterId, uid, protocol, port),
    sharedName: listener.name,
    rules,
  });
  const views = members.flatMap(({ ref: { uid }, state, asks }): Listener[] => {
    const rules = byHolder.get(uid) ?? [];
    return rules.length > 0 || (state === "served" && asks.has(key)) ? [viewOf(uid, rules)] : [];
  });
  if (nobodys.length > 0) return [...views, { ...listener, rules: nobodys }];
  if (views.length > 0) return views;
  // Empty, so it goes with one that had it last.
  const last = members.find(({ asks, listenerIds }) => listenerIds.get(key) === listenerId || asks.has(key));
  return [last === undefined ? listener : viewOf(last.ref.uid, [])];
}
