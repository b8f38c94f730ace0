import { type Dial, holdBudgetMs } from "../../../common/holds.ts";
import { isOver, type PodFact } from "../../../common/vocabulary.ts";

/**
 * Until when a Pod that terminates may keep its weight where too few others serve: it serves as before for as long as it is held. Milliseconds
 * since the epoch; `sightMs`: as long as nothing is seen of what replaces it, not beyond that. `isReady`: its containers are. `isPartial`: Nodes
 * have yet to tell their Pods, so more of what is wanted may be there than is known.
 */
export type Lasting = { readonly untilMs: number; readonly sightMs: number; readonly isReady: boolean; readonly isPartial?: boolean };

/** However long the grace period is: a replacement is started, bound and found healthy within this time, with default checks 20 s. Milliseconds; own choice. */
const LASTS_MS = 60_000;
/** So much of the budget is left for weight 0 to become effective (4 s in tke2020), and for running requests; 15 s of the usual 30 remain. Milliseconds; own choice. */
const LEFT_MS = 8_000;
/** A Pod that is created when this one is deleted has its address by then. A StatefulSet creates none before, and waits so much longer. Own choice. */
const SIGHT_MS = 4_000;
/** A kubelet calls the hook within this time; who is not held by then gets SIGTERM. Milliseconds; own choice. */
const DIAL_MS = 5_000;
/** What the API server fills in. */
const DEFAULT_GRACE_SECONDS = 30;

/**
 * Pure: `seenMs`: when it was first seen to terminate. Undefined: it does not last, its containers are being stopped. Where an agent's stream
 * ended its holds go on, unless its hold server has ended as well: until it says more, the Pod is one of which nobody has told a dial.
 */
export function lastingOf(pod: PodFact | undefined, told: Dial | undefined, seenMs: number): Lasting | undefined {
  if (pod?.drain !== "hold" || isOver(pod) || told?.end !== undefined) return undefined;
  const dial = told?.releasedAtMs === undefined ? told : undefined;
  const sinceMs = dial?.sinceMs ?? seenMs;
  const budgetMs = holdBudgetMs(dial?.graceSeconds ?? DEFAULT_GRACE_SECONDS) - LEFT_MS;
  const lastsMs = Math.min(LASTS_MS, Math.max(0, budgetMs), dial === undefined ? DIAL_MS : Number.POSITIVE_INFINITY);
  return { untilMs: sinceMs + lastsMs, sightMs: sinceMs + Math.min(SIGHT_MS, lastsMs), isReady: pod.containersReady };
}
