import type { Call, Slot } from "../domain/load-balancer.ts";
import type { Removals } from "../safety/removal-guard.ts";
import type { Journal } from "../state/address-claims.ts";
import type { Owners } from "../state/listener-owners.ts";
import type { Mirror } from "../state/mirror.ts";

/** One write to a load balancer and why it was made. `result` is "ok" or the cloud's code. Times are milliseconds since the epoch. */
export type AuditEntry = {
  readonly seq: number;
  readonly atMs: number;
  readonly ms: number;
  readonly loadBalancerId: string;
  readonly lane: Call["lane"];
  readonly items: number;
  readonly result: string;
  /** The objects that caused it, e.g. "Pod shop/web-1 was deleted", "Service shop/web TCP:80"; at most a few, then how many more. */
  readonly because: readonly string[];
};

/** Entries kept: some hours of a busy cluster. */
const MAX_ENTRIES = 1_000;
/** Objects named per write; a full batch has 500. */
const MAX_NAMED = 5;

/** Who is behind what a call names, for people. */
export type Causes = {
  /** E.g. "Pod shop/web-1 is ready", "Pod shop/web-1 was deleted". */
  readonly pod: (slot: Slot, podUid: string | undefined) => string;
  /** By listener name or id, e.g. "Service shop/web TCP:80". */
  readonly owner: (listener: string) => string;
};

/** The causes at one load balancer, from who owns its listeners, who was bound, and why who leaves. */
export function makeCauses(from: {
  readonly mirror: Pick<Mirror, "read">;
  readonly journal: Pick<Journal, "podOf">;
  readonly owners: Owners;
  readonly removals: Pick<Removals, "nameOf" | "cause">;
}): (loadBalancerId: string) => Causes {
  const { mirror, journal, owners, removals } = from;
  return (id) => {
    const listeners = mirror.read(id)?.listeners ?? [];
    return {
      pod: (slot, podUid) => {
        if (podUid !== undefined) return `${removals.nameOf(podUid)} is ready`;
        const { ip } = slot;
        const journaled = journal.podOf(id, ip);
        return removals.cause(id, slot) ?? `${journaled === undefined ? ip : removals.nameOf(journaled)} is gone or was relabelled`;
      },
      owner: (named) => {
        const listener = listeners.find(({ listenerId, name }) => listenerId === named || name === named);
        const owner = owners.of(id, listener?.name ?? named);
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

function namesOf(call: Call, { pod, owner }: Causes): string[] {
  switch (call.lane) {
    case "bind":
      return call.targets.map((slot) => pod(slot, slot.podUid));
    case "drain":
      return call.weights.map((slot) => pod(slot, undefined));
    case "conflict":
    case "unbind":
      return call.slots.map((slot) => pod(slot, undefined));
    case "structure":
      return "create" in call ? call.create.listeners.map(({ name }) => owner(name)) : [owner(call.createRules.listenerId)];
    case "tune":
      return "weights" in call ? call.weights.map(({ listenerId }) => owner(listenerId)) : [owner(call.listenerId)];
    case "delete":
      return "listenerIds" in call ? call.listenerIds.map(owner) : [owner(call.rules.listenerId)];
    default:
      return call satisfies never;
  }
}

/** The last writes, oldest first; a new one drops the oldest when it is full. */
export class Audit {
  readonly #entries: AuditEntry[] = [];
  #seq = 0;

  add(entry: Omit<AuditEntry, "seq">): void {
    this.#seq += 1;
    this.#entries.push({ seq: this.#seq, ...entry });
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift();
  }

  /** Of one load balancer, or all. */
  of(loadBalancerId?: string): readonly AuditEntry[] {
    return this.#entries.filter((entry) => loadBalancerId === undefined || entry.loadBalancerId === loadBalancerId);
  }
}

/** One line per write, newest last, for a terminal. */
export const auditText = (entries: readonly AuditEntry[]): string =>
  entries
    .map(({ atMs, loadBalancerId, lane, items, result, ms, because }) => {
      const time = new Date(atMs).toISOString();
      return `${time} ${loadBalancerId} ${lane} ${items} ${result} ${Math.round(ms)} ms: ${because.join("; ")}\n`;
    })
    .join("") || "nothing was written since this replica leads\n";
