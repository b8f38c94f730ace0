/**
 * The preStop hold: what the agent of a node says of the Pods whose preStop calls it keeps waiting, and what the coordinator answers. The
 * coordinator decides when weight 0 is effective, or that nothing is gained by waiting; the end of the drain and the budget (the share of
 * the grace period that a hold may use) are decided on the node.
 */
import { HOLD_PATH, HOLD_PORT } from "./names.ts";

/**
 * E.g. { uid: "5e21…", heldMs: 40, openConnections: undefined, graceSeconds: 30 }: since the Pod's first dial; `openConnections` undefined: not
 * known. `graceSeconds`: the longest that one of its containers may take to stop, from the first dial on; once it is being deleted, what the
 * deletion gives it; `restarts`: as in PodFact, at the first dial; absent: not known.
 */
export type HeldPod = {
  readonly uid: string;
  readonly heldMs: number;
  readonly openConnections: number | undefined;
  readonly graceSeconds?: number | undefined;
  readonly restarts?: number | undefined;
};

/**
 * Why a hold ended. "drained": weight 0 is effective and no connection is open, or the Pod lives on; "drain-time": weight 0 is effective
 * and the drain time is over; "budget": the grace period allows no more; "released": the coordinator said so; "no-word": nobody told in
 * time whether the Pod terminates; "aborted": the kubelet gave up, or the agent had to stop.
 */
export const HOLD_ENDS = ["unknown", "drained", "drain-time", "budget", "released", "no-word", "aborted"] as const;
export type HoldEnd = (typeof HOLD_ENDS)[number];

/**
 * `lowered`: the coordinator had said that weight 0 is effective. `agoMs`: since its calls were answered; absent where an agent of a former
 * version tells, and then just now. `graceSeconds`: as in HeldPod; `restarts`: as in PodFact, when they were answered.
 */
export type ReleasedPod = {
  readonly uid: string;
  readonly end: HoldEnd;
  readonly lowered: boolean;
  readonly heldMs: number;
  readonly agoMs?: number | undefined;
  readonly graceSeconds?: number | undefined;
  readonly restarts?: number | undefined;
};

/** `complete`: these are all that this agent holds. */
export type HeldPods = { readonly complete: boolean; readonly pods: readonly HeldPod[]; readonly released: readonly ReleasedPod[] };

/** How far weight 0 is: on its way; effective wherever the Pod is bound; or nothing is gained by waiting. */
export const HOLD_STATES = ["wait", "lowered", "release"] as const;
export type HoldState = (typeof HOLD_STATES)[number];

/** What a held Pod waits for. */
export type HoldAnswer = {
  readonly uid: string;
  readonly state: HoldState;
  /** For a person, e.g. "bound nowhere". */
  readonly reason: string;
  /** Known to terminate; else the hold ends as soon as weight 0 is effective, and after 5 s at the latest. */
  readonly terminating: boolean;
  /** metadata.deletionTimestamp, milliseconds since the epoch; compared with another such timestamp only, never with a clock of the node. */
  readonly deletionAtMs: number | undefined;
  /** metadata.deletionGracePeriodSeconds. */
  readonly graceSeconds: number | undefined;
  /** How long the drain takes from weight 0 on where connections are not counted, milliseconds. */
  readonly drainMs: number;
};

/** `because` is what a dial met instead, e.g. "connect ECONNREFUSED 10.0.3.7:15999"; "" where proven. */
export type HoldProof = { readonly proven: boolean; readonly because: string };

/** A Pod whose preStop hook was called, as the coordinator knows it. Times are milliseconds since the epoch on its own clock. */
export type Dial = {
  readonly uid: string;
  readonly node: string;
  /** Of the first call, as far as the agent told. */
  readonly sinceMs: number;
  /** When its calls were answered, or its agent's stream ended; undefined: it is held. */
  readonly releasedAtMs: number | undefined;
  /** How they were answered, as its agent said; absent: it has not, so they may wait still. */
  readonly end?: HoldEnd | undefined;
  /**
   * lastTransitionTime of the Pod's ContainersReady at the first call: another one says that its containers have been started anew, where
   * nobody counts restarts. undefined: not known, and then nothing says it.
   */
  readonly readyAtMs: number | undefined;
  readonly openConnections: number | undefined;
  /** As in HeldPod; `restarts`, once its calls were answered, as in ReleasedPod. */
  readonly graceSeconds?: number | undefined;
  readonly restarts?: number | undefined;
};

/**
 * A Pod whose calls were answered and that does not terminate is about to have a container stopped and started anew: it counts as stopping
 * until it is ready again, or for so long, which is the usual grace period of 30 s and something. Milliseconds; own choice.
 */
const STOPPING_MS = 35_000;
/** The kubelet kills what is left when the grace period is over, and may be late. Milliseconds; own choice. */
const LATE_MS = 5_000;

/**
 * Pure: when a container whose preStop calls were answered has ended, should nobody see it: the grace period counts from the first call, and a
 * container that still accepts connections may be given all of it. Infinite while it is held. Milliseconds since the epoch.
 */
export function stoppedAtMs({ sinceMs, releasedAtMs, graceSeconds = 0 }: Pick<Dial, "sinceMs" | "releasedAtMs" | "graceSeconds">): number {
  if (releasedAtMs === undefined) return Number.POSITIVE_INFINITY;
  return Math.max(releasedAtMs + STOPPING_MS, sinceMs + graceSeconds * 1_000 + LATE_MS);
}

/** What the application keeps of its grace period: 5 s, and 10 % of it at least; our choice. */
const RESERVE_MS = 5_000;
const RESERVE_SHARE = 0.1;
/** The kubelet gives SIGTERM that long at least; what a hold leaves below it is not ours to use. Source: kubelet's minimumGracePeriodInSeconds. */
const FLOOR_MS = 2_000;

/** Pure: how long a hold may take of a grace period, from the first dial on, e.g. 23 000 ms of 30 s. */
export function holdBudgetMs(graceSeconds: number): number {
  const graceMs = graceSeconds * 1_000;
  return Math.max(0, graceMs - Math.max(RESERVE_MS, graceMs * RESERVE_SHARE) - FLOOR_MS);
}

/** 16 random bytes in base64url. */
const TOKEN = /^[A-Za-z0-9_-]{22}$/;

export const isHoldToken = (text: string): boolean => TOKEN.test(text);

/** What a container gets as lifecycle.preStop: no host, which Pod Security forbids; the kubelet dials the Pod's address. */
export const holdHook = (token: string) => ({ httpGet: { path: `${HOLD_PATH}${token}`, port: HOLD_PORT } });

/** The token of a request's path, e.g. "/hold/Jq3xw0…"; some kubelets begin it with "//". undefined: it is none of our calls. */
export function holdTokenIn(path: string): string | undefined {
  const plain = path.startsWith("//") ? path.replace(/^\/+/, "/") : path;
  const token = plain.startsWith(HOLD_PATH) ? plain.slice(HOLD_PATH.length) : "";
  return isHoldToken(token) ? token : undefined;
}
