import { isEnding, isOver, type PodFact } from "../../../common/vocabulary.ts";
import type { Holder } from "./plan-targets.ts";

/** `deleted`: its deletion was seen. `gone`: the API server, when it was asked, had no such Pod. */
export type ProvenEnd = "deleted" | "gone";

/**
 * Who is behind a bound address.
 * `claimed`: the Pod that we bound it for. `complete`: every node has told its Pods. A Pod that is merely missing may live all the same:
 * only a deletion that was seen, or the API server's own answer, is a proof of its end.
 */
export function holderOf(from: {
  readonly claimed: string | undefined;
  /** The Pod fact of the claimed Pod. */
  readonly claimedPod: PodFact | undefined;
  readonly claimedEnd: ProvenEnd | undefined;
  /** Nobody speaks of the claimed Pod, but the API server, when it was asked, had it as one that is being deleted or over; default false. */
  readonly isEnding?: boolean;
  /** The Pod that has the address now. */
  readonly present: PodFact | undefined;
  readonly complete: boolean;
}): Holder {
  const { claimed, claimedPod, claimedEnd, present } = from;
  if (claimed === undefined) {
    if (present !== undefined) return alive(present);
    return from.complete ? { kind: "foreign" } : { kind: "unknown", podUid: undefined };
  }
  if (present !== undefined && takesFrom(claimed, present)) return { kind: "reused", podUid: claimed };
  if (claimedPod !== undefined) return alive(claimedPod);
  if (claimedEnd === undefined) return { kind: from.isEnding === true ? "terminating" : "unknown", podUid: claimed };
  return { kind: "over", podUid: claimed, inferred: claimedEnd === "gone" };
}

/**
 * This Pod has taken its address over from the Pod that the address was bound for. One that ends has not, but may have had it before:
 * after a restart it may be the only one of the two that is known so far.
 */
export const takesFrom = (claimed: string, present: PodFact): boolean => present.uid !== claimed && !isEnding(present);

function alive(pod: PodFact): Holder {
  if (isOver(pod)) return { kind: "over", podUid: pod.uid, inferred: false };
  return { kind: pod.deletionAtMs === undefined ? "live" : "terminating", podUid: pod.uid };
}
