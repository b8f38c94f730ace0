import type { Call, Redirects } from "../call.ts";
import { placeKey, slotKey } from "../load-balancer.ts";

/**
 * One thing that a call does, and that the cloud may refuse by itself. `key` is the same as long as the same is asked for the same thing,
 * e.g. "lbl-1 10.0.3.7:8080 pod-1"; a wish that was corrected is another item. `fills`: what a quota counts together with it, e.g.
 * "targets of lbl-1"; undefined: it adds nothing.
 */
export type CallItem = { readonly key: string; readonly fills: string | undefined };

/** Pure: the items of a call in its order. */
export function callItems(call: Call): readonly CallItem[] {
  switch (call.lane) {
    case "bind":
      if ("weights" in call) return call.weights.map((slot) => item(`${slotKey(slot)} ${slot.weight}`));
      return call.targets.map((slot) => ({ key: bindKey(slotKey(slot), slot.podUid), fills: targetsOf(placeKey(slot)) }));
    case "conflict":
    case "unbind":
      return call.slots.map((slot) => item(slotKey(slot)));
    case "drain":
      return call.weights.map((slot) => item(`${slotKey(slot)} ${slot.weight}`));
    case "tune":
      if ("weights" in call) return call.weights.map((slot) => item(`${slotKey(slot)} ${slot.weight}`));
      if ("rename" in call) return [item(`${call.rename.listenerId} named ${call.rename.name}`)];
      if ("listener" in call) return [item(`listener ${JSON.stringify(call.listener)}`)];
      if ("domain" in call) return [item(`domain ${JSON.stringify(call.domain)}`)];
      return [item(`${placeKey(call)} ${JSON.stringify([call.healthCheck, call.scheduler, call.settings])}`)];
    case "structure": {
      if ("createRules" in call) {
        const { listenerId, rules } = call.createRules;
        return rules.map((rule) => ({ key: `${listenerId} ${JSON.stringify(rule)}`, fills: rulesOf(listenerId) }));
      }
      if ("redirects" in call) return redirectItems(call.redirects);
      if ("loadBalancer" in call) return [item(`settings ${JSON.stringify(call.loadBalancer)}`)];
      const { listeners, ...wish } = call.create;
      return listeners.map((listener) => ({ key: JSON.stringify([listener, wish]), fills: LISTENERS }));
    }
    case "delete":
      if ("redirects" in call) return redirectItems(call.redirects);
      if ("listenerIds" in call) return call.listenerIds.map(item);
      return call.rules.locationIds.map((locationId) => item(placeKey({ listenerId: call.rules.listenerId, locationId })));
    default:
      return call satisfies never;
  }
}

/** Pure: the same call for some of its items, by their positions; at least one. */
export function withItems(call: Call, positions: readonly number[]): Call {
  const only = <T>(all: readonly T[]): T[] => positions.flatMap((position) => all.slice(position, position + 1));
  switch (call.lane) {
    case "bind":
      return "weights" in call ? { ...call, weights: only(call.weights) } : { ...call, targets: only(call.targets) };
    case "conflict":
    case "unbind":
      return { ...call, slots: only(call.slots) };
    case "drain":
      return { ...call, weights: only(call.weights) };
    case "tune":
      return "weights" in call ? { ...call, weights: only(call.weights) } : call;
    case "structure":
      if ("createRules" in call) return { ...call, createRules: { ...call.createRules, rules: only(call.createRules.rules) } };
      if ("redirects" in call) return { ...call, redirects: { ...call.redirects, rules: only(call.redirects.rules) } };
      if ("loadBalancer" in call) return call;
      return { ...call, create: { ...call.create, listeners: only(call.create.listeners) } };
    case "delete":
      if ("redirects" in call) return { ...call, redirects: { ...call.redirects, rules: only(call.redirects.rules) } };
      if ("listenerIds" in call) return { ...call, listenerIds: only(call.listenerIds) };
      return { ...call, rules: { ...call.rules, locationIds: only(call.rules.locationIds) } };
    default:
      return call satisfies never;
  }
}

/** Pure: what a call makes room in, as `fills` names it; empty: it takes nothing away. */
export function emptiedBy(call: Call): readonly string[] {
  if ("slots" in call) return call.slots.map((slot) => targetsOf(placeKey(slot)));
  if (call.lane !== "delete" || "redirects" in call) return [];
  return "listenerIds" in call ? [LISTENERS] : [rulesOf(call.rules.listenerId)];
}

const redirectItems = ({ listenerId, rules }: Redirects): CallItem[] =>
  rules.map(({ locationId, targetLocationId, code }) => item(`${listenerId}/${locationId} to ${targetLocationId} by ${code}`));

/** The key of the bind of a Pod in a slot. */
export const bindKey = (slot: string, podUid: string): string => `${slot} ${podUid}`;
/** What a quota counts: the targets of a place ("lbl-1", "lbl-1/loc-2"). */
export const targetsOf = (place: string): string => `targets of ${place}`;
const rulesOf = (listenerId: string): string => `rules of ${listenerId}`;
const LISTENERS = "listeners";
const item = (key: string): CallItem => ({ key, fills: undefined });
