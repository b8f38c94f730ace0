import type { Clock } from "../../../common/clock.ts";
import type { HealthStatus } from "../model/account.ts";

/** Where a target is: `locationId` only below an L7 rule. */
type TargetAddress = {
  readonly loadBalancerId: string;
  readonly listenerId: string;
  readonly locationId: string | undefined;
  readonly ip: string;
  readonly port: number;
};

/** Why the data plane ended a connection that the client had not ended. */
export type FailureCause = "refused" | "reset" | "timeout" | "no-backend" | "unbound";

/** What happened. Times are ms since the epoch on the cloud's clock. */
export type Happening =
  | {
      /**
       * One API call, written when it ends. `code` is "OK", the error's code, or for faults "HTTP 503", "ConnectionReset", "LostResponse",
       * "TruncatedResponse". `faults` are the kinds that met it, also those that its code does not show.
       */
      readonly kind: "call";
      readonly startMs: number;
      readonly caller: string;
      readonly service: string;
      readonly action: string;
      readonly isWrite: boolean;
      readonly requestId: string;
      readonly loadBalancerIds: readonly string[];
      /** Targets named by the request, and the size of its body (0 without HTTP). */
      readonly targets: number;
      readonly bytes: number;
      readonly code: string;
      readonly message?: string;
      /** For a write refused because of the lock: how long the lock was still going to be held. The service never queues. */
      readonly lockWaitMs: number;
      readonly faults: readonly string[];
    }
  | { readonly kind: "fault"; readonly change: "added" | "cleared"; readonly fault: string }
  | {
      readonly kind: "task";
      readonly change: "accepted" | "succeeded" | "failed";
      readonly taskId: string;
      readonly action: string;
      readonly loadBalancerIds: readonly string[];
      readonly message?: string;
    }
  | ({ readonly kind: "target"; readonly change: "bound" | "unbound" | "weight"; readonly weight: number } & TargetAddress)
  | ({ readonly kind: "health"; readonly from: HealthStatus; readonly to: HealthStatus } & TargetAddress)
  | {
      readonly kind: "listener";
      readonly change: "created" | "modified" | "deleted";
      readonly loadBalancerId: string;
      readonly listenerId: string;
      readonly name: string;
      readonly protocol: string;
      readonly port: number;
    }
  | {
      readonly kind: "rule";
      readonly change: "created" | "modified" | "deleted";
      readonly loadBalancerId: string;
      readonly listenerId: string;
      readonly locationId: string;
      readonly domains: readonly string[];
      readonly url: string;
    }
  | {
      /** "modified" is a change of attributes, security groups or tags. */
      readonly kind: "load-balancer";
      readonly change: "created" | "modified" | "deleted";
      readonly loadBalancerId: string;
      readonly vip: string;
    }
  | {
      /** A connection that failed; `backend` is "" where none was chosen, `detail` the system's error code, e.g. "ECONNREFUSED". */
      readonly kind: "data-plane";
      readonly cause: FailureCause;
      readonly loadBalancerId: string;
      readonly listenerId: string;
      readonly clientAddress: string;
      readonly clientPort: number;
      readonly backend: string;
      readonly detail: string;
    };

export const JOURNAL_KINDS = [
  "call",
  "fault",
  "task",
  "target",
  "health",
  "listener",
  "rule",
  "load-balancer",
  "data-plane",
] as const satisfies readonly Happening["kind"][];

/** `seq` counts from 1 without gaps; `timeMs` never goes back. */
export type JournalEntry = Happening & { readonly seq: number; readonly timeMs: number };

/** Which entries are wanted; all that is given must hold. */
export type JournalQuery = {
  /** Entries with a `seq` above this one. */
  readonly since?: number;
  readonly limit?: number;
  readonly kind?: string;
  readonly action?: string;
  readonly caller?: string;
  /** Entries that concern this load balancer. */
  readonly loadBalancer?: string;
  readonly code?: string;
  /** Written at or after, and before, in ms since the epoch on the cloud's clock. */
  readonly from?: number;
  readonly until?: number;
};

export interface Journal {
  add(happening: Happening): void;
  /** Entries with a `seq` above the given one, oldest first, at most `limit`. */
  since(seq: number, limit?: number): JournalEntry[];
  /** Entries of one kind, oldest first. */
  of<K extends Happening["kind"]>(kind: K): Extract<JournalEntry, { kind: K }>[];
  /** Oldest first. */
  query(wanted: JournalQuery): JournalEntry[];
  /** Calls back with each new entry until the returned function is called. */
  watch(onEntry: (entry: JournalEntry) => void): () => void;
  readonly lastSeq: number;
  /** Entries that the ring has already forgotten. */
  readonly dropped: number;
}

/** Keeps the newest `size` entries. */
export function makeJournal(clock: Clock, size: number): Journal {
  const ring: JournalEntry[] = [];
  const watchers = new Set<(entry: JournalEntry) => void>();
  let lastSeq = 0;
  const read = function* (afterSeq: number): Generator<JournalEntry> {
    const last = lastSeq;
    for (let seq = Math.max(afterSeq, lastSeq - ring.length) + 1; seq <= last; seq++) {
      const entry = ring[(seq - 1) % size];
      if (entry !== undefined) yield entry;
    }
  };
  return {
    add: (happening) => {
      const entry: JournalEntry = { seq: ++lastSeq, timeMs: Math.round(clock.now()), ...happening };
      ring[(entry.seq - 1) % size] = entry;
      for (const onEntry of watchers) onEntry(entry);
    },
    since: (seq, limit = size) => read(seq).take(limit).toArray(),
    of: (kind) =>
      read(0)
        .filter((entry): entry is Extract<JournalEntry, { kind: typeof kind }> => entry.kind === kind)
        .toArray(),
    query: ({ since = 0, limit = size, ...wanted }) =>
      read(since)
        .filter((entry) => isWanted(entry, wanted))
        .take(limit)
        .toArray(),
    watch: (onEntry) => {
      watchers.add(onEntry);
      return () => void watchers.delete(onEntry);
    },
    get lastSeq() {
      return lastSeq;
    },
    get dropped() {
      return lastSeq - ring.length;
    },
  };
}

function isWanted(entry: JournalEntry, wanted: JournalQuery): boolean {
  const { kind, action, caller, loadBalancer, code, from = -Infinity, until = Infinity } = wanted;
  return (
    entry.timeMs >= from &&
    entry.timeMs < until &&
    (kind === undefined || entry.kind === kind) &&
    (action === undefined || ("action" in entry && entry.action === action)) &&
    (caller === undefined || ("caller" in entry && entry.caller === caller)) &&
    (code === undefined || ("code" in entry && entry.code === code)) &&
    (loadBalancer === undefined || loadBalancersOf(entry).includes(loadBalancer))
  );
}

function loadBalancersOf(entry: JournalEntry): readonly string[] {
  if ("loadBalancerIds" in entry) return entry.loadBalancerIds;
  return "loadBalancerId" in entry ? [entry.loadBalancerId] : [];
}
