import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { PodFacts } from "../ports.ts";

/** What a watch of one node's Pods tells: a complete list (at start and after each relist), then single Pods. */
export type NodeWatchEvent =
  | { readonly kind: "listed"; readonly pods: readonly PodFact[] }
  | { readonly kind: "changed"; readonly pod: PodFact }
  | { readonly kind: "deleted"; readonly uid: string };

/** Starts a watch of the Pods of one node; it ends with the signal. In production over makeNodePods. */
export type WatchNode = (node: string, onEvent: (event: NodeWatchEvent) => void, signal: AbortSignal) => void;

/** For metrics; every callback is synchronous and must not throw. */
export type StreamObserver = {
  onStream(change: "opened" | "closed"): void;
  onMessage(kind: "hello" | "snapshot" | "difference" | "digest" | "token"): void;
  onResend(reason: "gap" | "digest" | "doubt"): void;
  onFallback(node: string, change: "on" | "off"): void;
};

export type NodeRef = { readonly name: string; readonly uid: string };
export type RemovedPod = { readonly uid: string; readonly evidence: "deleted" | "absent" };

/** One stream's session. After it was closed, by whomever, everything it is told is ignored. */
export interface NodeSession {
  /** All Pods of the node. "doubted": it drops more than half of them; say it once more and it is believed. */
  snapshot(pods: readonly PodFact[]): "applied" | "doubted";
  difference(changed: readonly PodFact[], removed: readonly RemovedPod[]): void;
  /** UID -> resourceVersion as this session told them; input of the digest. */
  readonly told: ReadonlyMap<string, string>;
  /** Any message came. */
  heard(): void;
  close(): void;
}

export type SessionEnd = "superseded" | "node-deleted";

export interface NodeRegistry extends PodFacts {
  /** A complete list of the cluster's Nodes. The first one is needed for `complete`. */
  setNodes(nodes: readonly NodeRef[]): void;
  /** A Node was added or changed. */
  nodeSeen(node: NodeRef): void;
  /** The DELETED event of this Node; ignored unless the UID is the one known. */
  nodeDeleted(node: NodeRef): void;
  /** The newest session of a node wins; the older one's `onEnd` is called. undefined: the Node object is deleted. */
  open(node: string, onEnd: (why: SessionEnd) => void): NodeSession | undefined;
}

export type NodeRegistryDeps = {
  readonly clock: Clock;
  readonly log: Logger;
  readonly watchNode: WatchNode;
  readonly observer: StreamObserver;
  /** How long a node may be without an agent before we watch its Pods ourselves, e.g. 10_000 (design §10). */
  readonly agentGraceMs: number;
};

/** Timers and watches end with the signal. */
export function makeNodeRegistry(_deps: NodeRegistryDeps, _signal: AbortSignal): NodeRegistry {
  throw new Error("not built yet");
}
