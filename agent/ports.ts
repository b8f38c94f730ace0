import type { PodFact } from "../common/vocabulary.ts";
import type { Carrier } from "./domain/carrier.ts";
import type { Report } from "./domain/plan-report.ts";

/** The Pods of this node. */
export interface PodSource {
  /** True after the first complete list, and for ever. */
  readonly synced: boolean;
  /** By UID. */
  readonly records: ReadonlyMap<string, PodFact>;
  /** When the API server was last heard, on the injected clock. */
  readonly lastByteAtMs: number;
}

/** The kernel's view of this node's network. */
export interface NetworkSource {
  /**
   * Where each address is, both by the UID of the Pod. `againAtMs` is when to ask next: at that time more may be known. Never rejects for
   * want of knowledge.
   */
  carriersOf(
    addresses: ReadonlyMap<string, string>,
    signal: AbortSignal,
  ): Promise<{ readonly found: ReadonlyMap<string, Carrier>; readonly againAtMs: number }>;
}

/** The way to the coordinators. */
export interface Uplink {
  /** The latest state; what was not said of earlier ones is forgotten. */
  report(report: Report): void;
}
