import type { Clock } from "../common/clock.ts";
import { isCancelled } from "../common/errors.ts";
import type { Change } from "../common/kubernetes/list-watch.ts";
import { makeLatch } from "../common/latch.ts";
import type { Logger } from "../common/log.ts";
import type { PodFact } from "../common/vocabulary.ts";
import { firstAddresses, planReport, type Report } from "./domain/plan-report.ts";
import type { NetworkSource, PodSource, Uplink } from "./ports.ts";

export type NodeLoopDeps = {
  readonly pods: () => PodSource;
  readonly network: NetworkSource;
  readonly uplink: Uplink;
  /** What was found out of Pods and of the machine; default: nothing. */
  readonly findings?: () => Pick<Report, "verdicts" | "node">;
  readonly clock: Clock;
  readonly log: Logger;
};

export interface NodeLoop {
  /** Something may have changed; many triggers become one pass. */
  trigger(): void;
  /** Remembers seen deletions, and triggers. */
  podChanged(change: Change<PodFact>): void;
  /** Until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** A link that was away for longer gets a snapshot, which needs no evidence; a node has at most a few hundred Pods at a time. */
const REMEMBERED_DELETIONS = 4_096;
/** After a pass that failed for a reason nobody foresaw. */
const RETRY_MS = 1_000;

/** One pass: observe the Pods and the kernel, plan the report, hand it to the links. */
export function makeNodeLoop(deps: NodeLoopDeps): NodeLoop {
  const latch = makeLatch(deps.clock);
  const deleted = new Set<string>();

  /** Resolves with the time of the next pass, should nothing trigger one before. */
  const pass = async (signal: AbortSignal): Promise<number> => {
    const pods = deps.pods();
    if (!pods.synced) return Number.POSITIVE_INFINITY; // an incomplete list must not look like a node with few Pods
    const { found, againAtMs } = await deps.network.carriersOf(firstAddresses(pods.records), signal);
    // Records are read again: what changed during the look at the kernel is in, and its interface follows with the pass it triggered.
    deps.uplink.report(planReport({ pods: deps.pods().records, found, deleted, ...deps.findings?.() }));
    return againAtMs;
  };

  return {
    trigger: () => latch.set(),
    podChanged(change) {
      if (change.kind === "removed" && change.evidence === "deleted") remember(deleted, change.record.uid);
      latch.set();
    },
    async run(signal) {
      for (let againAtMs = Number.POSITIVE_INFINITY; !signal.aborted; ) {
        await latch.wait(againAtMs - deps.clock.now(), signal);
        if (signal.aborted) return;
        try {
          againAtMs = await pass(signal);
        } catch (err) {
          againAtMs = deps.clock.now() + RETRY_MS;
          if (!isCancelled(err, signal)) deps.log.error({ err }, "pass over the node failed");
        }
      }
    },
  };
}

function remember(uids: Set<string>, uid: string): void {
  uids.add(uid);
  const [oldest] = uids;
  if (uids.size > REMEMBERED_DELETIONS && oldest !== undefined) uids.delete(oldest);
}
