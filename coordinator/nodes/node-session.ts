import type { PodFact } from "../../common/vocabulary.ts";
import type { Refusal } from "../state/agent-refusal.ts";

/** A Pod that its node no longer has: its deletion was seen, or a complete list lacks it. */
export type RemovedPod = { readonly uid: string; readonly evidence: "deleted" | "absent" };

/** What a watch of one node's Pods tells: first a complete list, then single Pods; "absent" are those that a later list lacks. */
export type NodeWatchEvent =
  | { readonly kind: "listed"; readonly pods: readonly PodFact[] }
  | { readonly kind: "changed"; readonly pod: PodFact }
  | ({ readonly kind: "removed" } & RemovedPod);

/** `lastByteAtMs`: last event, bookmark or page, milliseconds since the epoch. */
type RunningWatch = { readonly lastByteAtMs: number };

/**
 * Starts a watch of the Pods of one node; it ends with the signal. In production `makeWatchNode`, paced. Must not call `onEvent` at once.
 * `urgent`: nobody else will ever tell of that node.
 */
export type WatchNode = (node: string, onEvent: (event: NodeWatchEvent) => void, signal: AbortSignal, urgent?: boolean) => RunningWatch;

/** One watch of the Pods of all these nodes. */
export type WatchNodes = (
  nodes: ReadonlySet<string>,
  onEvent: (node: string, event: NodeWatchEvent) => void,
  signal: AbortSignal,
) => RunningWatch;

/** What agents send. */
type MessageKind =
  | "hello"
  | "snapshot"
  | "difference"
  | "digest"
  | "token"
  | "verdicts"
  | "nodeFacts"
  | "heldPods"
  | "holdProof"
  | "leaving";

/** For metrics; every callback is synchronous and must not throw. */
export type StreamObserver = {
  /** `postponed`: told to come back, because too many agents waited, or it had waited too long. */
  onStream(change: "opened" | "closed" | "postponed" | "refused"): void;
  onMessage(kind: MessageKind): void;
  /** `heir`: another agent of its node, which spoke so far, has left. */
  onResend(reason: "gap" | "digest" | "doubt" | "heir"): void;
  onFallback(node: string, change: "on" | "off"): void;
  /** What an agent said of a Pod does not count; see refusals.ts. */
  onRefused(why: Refusal): void;
};

/** One stream's session. After it was closed, by whomever, everything else that it is told is ignored. */
export interface NodeSession {
  /**
   * All Pods of the node. "doubted": it drops more than half of them; said once more, it is believed as soon as our own list of a Node
   * that exists lacks them too.
   */
  snapshot(pods: readonly PodFact[]): "applied" | "doubted";
  /** "doubted": as above, where most Pods are merely absent; everything else of it is applied. */
  difference(changed: readonly PodFact[], removed: readonly RemovedPod[]): "applied" | "doubted";
  /** UID -> resourceVersion as this session told them; input of the digest. */
  readonly told: ReadonlyMap<string, string>;
  /** Any message came. */
  heard(): void;
  /** The agent was told to stop: another agent of its node speaks before it, whoever connected last. */
  leaving(): void;
  /** Its connection ended without a word of the agent, which had answered nothing for the whole keepalive time; before `close` or after it. */
  vanished(): void;
  close(): void;
}

/** What a session's stream is told; `onWanted`: the agent is to send a snapshot. */
export type SessionCallbacks = {
  readonly onEnd: (why: SessionEnd) => void;
  readonly onWanted: (because: string) => void;
};

export type SessionEnd = "superseded" | "node-deleted";
