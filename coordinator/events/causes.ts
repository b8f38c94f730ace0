import type { Call } from "../domain/call.ts";
import type { Listener, Slot, WeightedSlot } from "../domain/load-balancer.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents } from "../state/intents.ts";
import type { ListenerOwners } from "../state/listener-owners.ts";
import type { Mirror } from "../state/mirror.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import { ownerOfSubject, type Subject, subjectsOf } from "./call-subjects.ts";

/** Objects named per write; a full batch has 500. */
const MAX_NAMED = 5;

/** Who is behind what a call names, for people. */
export type Causes = {
  /** E.g. "Pod shop/web-1 is ready", "Pod shop/web-1 was deleted", "Pod shop/web-1 is being stopped". */
  readonly pod: (slot: Slot, podUid: string | undefined) => string;
  /** Why a backend that stays gets this weight, e.g. "Pod shop/web-1 is not ready", "Pod shop/web-1 gets its weight back". */
  readonly weight: (slot: WeightedSlot) => string;
  /** E.g. "Service shop/web TCP:80". */
  readonly owner: (subject: Subject) => string;
  /** Why a listener goes, or a rule of it, e.g. "Service shop/web asks for TCP:80 no more". */
  readonly gone: (listenerId: string, what: "listener" | "rule", locationIds?: readonly string[]) => string;
};

export type CausesDeps = {
  readonly mirror: Pick<Mirror, "listeners">;
  readonly addressClaims: Pick<AddressClaims, "podOf">;
  readonly listenerOwners: Pick<ListenerOwners, "of" | "ofNewRule">;
  /** "Pod shop/web-1", by UID. */
  readonly podName: (podUid: string) => string;
  /** Why a slot may be taken away, e.g. "Pod shop/web-1 was deleted"; undefined: nobody knows. */
  readonly whyLeaves: (loadBalancerId: string, slot: Slot) => string | undefined;
  readonly intents: Pick<Intents, "get">;
  readonly facts: Pick<PodFacts, "pods">;
  /** A container of this live Pod is being stopped; default: of none. */
  readonly isStopping?: (podUid: string) => boolean;
};

/**
 * The causes at one load balancer, from who owns its listeners, who was bound, and why who leaves. `before`: its listeners before the call,
 * where that has been made: what it took away is there no more.
 */
export function makeCauses(deps: CausesDeps): (loadBalancerId: string, before?: readonly Listener[]) => Causes {
  const { mirror, addressClaims, listenerOwners, podName, whyLeaves, intents, facts } = deps;
  return (id, before) => {
    const listeners = [...(mirror.listeners(id) ?? []), ...(before ?? [])];
    /** `locationIds`: rules of one that several share, each of whom sees it with its own. */
    const find = (named: string, locationIds?: readonly string[]): Listener | undefined =>
      listeners.find(({ listenerId, rules }) => listenerId === named && rules.some((rule) => locationIds?.includes(rule.locationId))) ??
      listeners.find(({ listenerId }) => listenerId === named);
    return {
      gone: (listenerId, what, locationIds) => {
        const listener = find(listenerId, locationIds);
        const owner = listenerOwners.of(id, listener?.name ?? "");
        if (listener === undefined || owner === undefined) return `nobody asks for ${listenerId} any more`;
        const at = `${owner.kind} ${owner.namespace}/${owner.name}`;
        const standing = intents.get(owner.uid)?.state;
        if (standing === undefined || standing === "deleted") return `${at} was deleted`;
        const port = `${listener.protocol}:${listener.port}`;
        return `${at} asks for ${what === "rule" ? `rules of ${port}` : port} no more`;
      },
      pod: (slot, podUid) => {
        if (podUid !== undefined) return `${podName(podUid)} is ready`;
        const { ip } = slot;
        const claimed = addressClaims.podOf(id, ip);
        const live = claimed === undefined ? undefined : facts.pods.get(claimed);
        if (live !== undefined && live.deletionAtMs === undefined && deps.isStopping?.(live.uid) === true)
          return `${podName(live.uid)} is being stopped`;
        return whyLeaves(id, slot) ?? `${claimed === undefined ? ip : podName(claimed)} is gone or was relabelled`;
      },
      weight: ({ ip, weight }) => {
        const claimed = addressClaims.podOf(id, ip);
        const isReady = claimed !== undefined && facts.pods.get(claimed)?.containersReady === true;
        const why = weight > 0 ? "gets its weight back" : isReady ? "is to have no weight" : "is not ready";
        return `${claimed === undefined ? ip : podName(claimed)} ${why}`;
      },
      owner: (subject) => {
        const { listener, owner } = ownerOfSubject(listenerOwners, id, listeners, subject);
        const named = "name" in subject ? subject.name : subject.listenerId;
        const port = listener === undefined ? "" : ` ${listener.protocol}:${listener.port}`;
        return `${owner === undefined ? named : `${owner.kind} ${owner.namespace}/${owner.name}`}${port}`;
      },
    };
  };
}

/** The objects that caused a call, each once. */
export function reasonsOf(call: Call, causes: Causes): readonly string[] {
  const all = [...new Set(namesOf(call, causes))];
  return all.length <= MAX_NAMED ? all : [...all.slice(0, MAX_NAMED), `and ${all.length - MAX_NAMED} more`];
}

function namesOf(call: Call, { pod, weight, owner, gone }: Causes): string[] {
  switch (call.lane) {
    case "bind":
      if ("weights" in call) return call.weights.map(weight);
      return call.targets.map((slot) => pod(slot, slot.podUid));
    case "drain":
      return call.weights.map((slot) => (slot.weight > 0 ? weight(slot) : pod(slot, undefined)));
    case "conflict":
    case "unbind":
      return call.slots.map((slot) => pod(slot, undefined));
    case "structure":
      if ("loadBalancer" in call) return [];
      return subjectsOf(call).map(owner);
    case "tune":
      if ("weights" in call) return call.weights.map((slot) => (slot.weight === 0 ? weight(slot) : owner(slot)));
      return subjectsOf(call).map(owner);
    case "delete":
      if ("redirects" in call) return subjectsOf(call).map(owner);
      return "listenerIds" in call
        ? call.listenerIds.map((id) => gone(id, "listener"))
        : [gone(call.rules.listenerId, "rule", call.rules.locationIds)];
    default:
      return call satisfies never;
  }
}
