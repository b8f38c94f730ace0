import type { PodEnd, PodFact } from "../../common/vocabulary.ts";

/** Where the facts about a node's Pods come from: its agent, our own watch while the agent is away, or nobody yet. */
export type NodeState = {
  readonly node: string;
  readonly source: "agent" | "watch" | "none";
  /** Since when, milliseconds since the epoch. */
  readonly sinceMs: number;
  /** Last message of the agent or last byte of the watch. */
  readonly heardAtMs: number | undefined;
};

/** `before` undefined: new. `after` undefined: the Pod is over, `end` says how we know. */
export type PodChange = { readonly before: PodFact | undefined; readonly after: PodFact | undefined; readonly end: PodEnd | undefined };

export type FormerPod = Pick<PodFact, "uid" | "namespace" | "labels">;

/** All that is known about Pods, whoever told it. Nothing leaves it without evidence of an end. */
export interface PodFacts {
  /** By UID; Pods that are known to be over are not in it. */
  readonly pods: ReadonlyMap<string, PodFact>;
  /** How we know that this Pod is over; undefined for a live or an unknown one. Remembered for at least an hour, bounded. */
  endOf(uid: string): PodEnd | undefined;
  /**
   * The Pod that is over and had the address last, as long as `endOf` knows of it; undefined where there was none. Only what it takes to say
   * whose it was.
   */
  formerAt(ip: string): FormerPod | undefined;
  /** Every Node of the cluster has reported or been listed at least once since this process started. */
  readonly complete: boolean;
  /**
   * Of Pods that agents have reported and nobody needed, those with these UIDs or addresses are read, now and whenever one is reported;
   * resolves when the present ones are known. Rejects with the signal's reason only.
   */
  confirm(names: readonly string[], signal: AbortSignal): Promise<void>;
  /** A known Pod as the API server gave it a moment ago, e.g. with the deletionTimestamp that no watch has told yet. */
  learn(pod: PodFact): void;
  nodes(): readonly NodeState[];
  /** Called synchronously after each change; must not throw. Returns the way to unsubscribe. */
  subscribe(listener: (change: PodChange) => void): () => void;
}
