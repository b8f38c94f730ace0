import type { Clock } from "../../common/clock.ts";
import type { HealthStatus } from "./state.ts";

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
      /** One API call, written when it ends. `code` is "OK", the error's code, or "HTTP 503", "ConnectionReset", "LostResponse" for faults. */
      readonly kind: "call";
      readonly startMs: number;
      readonly caller: string;
      readonly service: string;
      readonly action: string;
      readonly requestId: string;
      readonly loadBalancerIds: readonly string[];
      /** Targets named by the request. */
      readonly targets: number;
      readonly code: string;
      readonly message?: string;
      /** For a write refused because of the lock: how long the lock was still going to be held. The service never queues. */
      readonly lockWaitMs: number;
    }
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
  | { readonly kind: "load-balancer"; readonly change: "created" | "deleted"; readonly loadBalancerId: string; readonly vip: string }
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

/** `seq` counts from 1 without gaps; `timeMs` never goes back. */
export type JournalEntry = Happening & { readonly seq: number; readonly timeMs: number };

export interface Journal {
  add(happening: Happening): void;
  /** Entries with a `seq` above the given one, oldest first, at most `limit`. */
  since(seq: number, limit?: number): JournalEntry[];
  /** Entries of one kind, oldest first. */
  of<K extends Happening["kind"]>(kind: K): Extract<JournalEntry, { kind: K }>[];
  readonly lastSeq: number;
  /** Entries that the ring has already forgotten. */
  readonly dropped: number;
}

/** Keeps the newest `size` entries. */
export function makeJournal(clock: Clock, size: number): Journal {
  const ring: JournalEntry[] = [];
  let lastSeq = 0;
  const oldest = (): number => lastSeq - ring.length + 1;
  const since = (seq: number, limit = size): JournalEntry[] => {
    const first = Math.max(seq + 1, oldest());
    const count = Math.max(0, Math.min(limit, lastSeq - first + 1));
    return Array.from({ length: count }, (_, index) => ring[(first + index - 1) % size]).filter((entry) => entry !== undefined);
  };
  return {
    add: (happening) => {
      ring[lastSeq % size] = { seq: ++lastSeq, timeMs: Math.round(clock.now()), ...happening };
    },
    since,
    of: (kind) => since(0).filter((entry): entry is Extract<JournalEntry, { kind: typeof kind }> => entry.kind === kind),
    get lastSeq() {
      return lastSeq;
    },
    get dropped() {
      return lastSeq - ring.length;
    },
  };
}
