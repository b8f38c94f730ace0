/**
 * How long a preStop call is kept waiting. All times but those of a deletion are milliseconds on the node's own monotonic clock; timestamps of
 * the API server are compared with each other only.
 */
import { type HoldEnd, type HoldState, holdBudgetMs } from "../../common/holds.ts";

/** metadata.deletionTimestamp (milliseconds since the epoch) and metadata.deletionGracePeriodSeconds. */
export type Deletion = { readonly atMs: number; readonly graceSeconds: number };

/** What is known of one Pod whose preStop calls wait. */
export type Hold = {
  readonly firstDialMs: number;
  /** spec.terminationGracePeriodSeconds: what the kubelet goes by where nobody deletes the Pod. */
  readonly podGraceSeconds: number;
  /** As it was seen first, and as it is now: a second DELETE may shorten it. undefined: not known to be deleted. */
  readonly deletion: { readonly first: Deletion; readonly now: Deletion } | undefined;
  /** The API server has no such Pod any more. */
  readonly isGone: boolean;
  /** The coordinator's last word; `loweredAtMs` is when it first said that weight 0 is effective. */
  readonly answer:
    | { readonly state: HoldState; readonly terminating: boolean; readonly loweredAtMs: number | undefined; readonly drainMs: number }
    | undefined;
  /** Connections as counted last; undefined: not known. */
  readonly open: { readonly connections: number; readonly atMs: number } | undefined;
};

export type Judgement = { readonly kind: "over"; readonly end: HoldEnd } | { readonly kind: "wait"; readonly untilMs: number };

/** A dial of a Pod that is not deleted (liveness kill, eviction by the node, preemption) holds so long, and half of the Pod's grace, at most; our choice. */
const SIGN_MS = 5_000;
/**
 * Most dials are deletions. Where agent, leader or API server are too slow to say so (an update, a busy node), SIGTERM must not come before
 * weight 0; what nobody has heard of for so long is none, and a container that hangs has waited for its restart. Own choice.
 */
const NO_WORD_MS = 60_000;
/**
 * A count of zero counts when it is so much younger than weight 0: what was on its way then has arrived. One listing. Who is not deleted goes on
 * for as long and no longer: requests that came just before are answered, and a container that hangs is started anew.
 */
const SETTLE_MS = 1_000;

/** Whether a hold is over, and else when to ask next should nothing be heard. */
export function judgeHold(hold: Hold, nowMs: number): Judgement {
  const { answer, open } = hold;
  if (answer?.state === "release") return { kind: "over", end: "released" };
  const isTerminating = hold.deletion !== undefined || hold.isGone || answer?.terminating === true;
  const loweredAtMs = answer?.state === "lowered" ? answer.loweredAtMs : undefined;
  if (loweredAtMs !== undefined && answer !== undefined) {
    if (!isTerminating && nowMs >= loweredAtMs + SETTLE_MS) return { kind: "over", end: "drained" };
    if (open?.connections === 0 && open.atMs >= loweredAtMs + SETTLE_MS) return { kind: "over", end: "drained" };
    if (nowMs >= loweredAtMs + answer.drainMs) return { kind: "over", end: "drain-time" };
  }
  const deadlineMs = hold.firstDialMs + budgetMs(hold);
  if (nowMs >= deadlineMs) return { kind: "over", end: isTerminating || answer !== undefined ? "budget" : "no-word" };
  const drainMs = isTerminating ? (answer?.drainMs ?? 0) : SETTLE_MS;
  const drainedAtMs = loweredAtMs === undefined ? Number.POSITIVE_INFINITY : loweredAtMs + drainMs;
  return { kind: "wait", untilMs: Math.min(deadlineMs, drainedAtMs) };
}

/** From the Pod's first dial. An earlier deletionTimestamp shortens it by the difference of the two; the kubelet itself does not. */
export function budgetMs({ deletion, isGone, podGraceSeconds, answer }: Hold): number {
  if (deletion !== undefined) {
    const { first, now } = deletion;
    return Math.max(0, holdBudgetMs(first.graceSeconds) - Math.max(0, first.atMs - now.atMs));
  }
  if (isGone) return 0; // forced: the kubelet goes on by itself
  const signMs = Math.min(SIGN_MS, (podGraceSeconds * 1_000) / 2);
  if (answer === undefined) return Math.max(signMs, Math.min(NO_WORD_MS, holdBudgetMs(podGraceSeconds)));
  return answer.terminating ? holdBudgetMs(podGraceSeconds) : signMs;
}

/** The deletion as it is known after another look at the Pod. */
export const withDeletion = (known: Hold["deletion"], seen: Deletion | undefined): Hold["deletion"] =>
  seen === undefined ? known : { first: known?.first ?? seen, now: seen };
