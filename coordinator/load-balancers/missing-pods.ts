import type { Clock } from "../../common/clock.ts";
import type { Plan } from "../domain/plan/plan-load-balancer.ts";
import type { EndInquiry, MissingPod } from "../safety/end-inquiry.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { ListenerOwners } from "../state/listener-owners.ts";
import type { PodFacts } from "../state/pod-facts.ts";

export type MissingPodsDeps = {
  readonly facts: Pick<PodFacts, "pods" | "endOf" | "complete">;
  readonly addressClaims: Pick<AddressClaims, "podOf" | "claimedPod">;
  readonly listenerOwners: Pick<ListenerOwners, "of">;
  readonly inquiry: Pick<EndInquiry, "ask">;
};

/**
 * Asks about the Pods behind targets that wait because nobody speaks of them: once every node has told its Pods, or something has been
 * concluded from a node or a list that lacks them.
 */
export function askAboutMissing(
  { facts, addressClaims, listenerOwners, inquiry }: MissingPodsDeps,
  id: string,
  { findings }: Plan,
  signal: AbortSignal,
): void {
  const missing = new Map<string, MissingPod>();
  const { complete } = facts;
  for (const finding of findings) {
    if (finding.kind !== "waiting") continue;
    const { ip } = finding.target;
    const uid = addressClaims.podOf(id, ip);
    if (uid === undefined || facts.pods.has(uid) || !(complete || facts.endOf(uid) !== undefined)) continue;
    const pod = addressClaims.claimedPod(id, ip);
    // In another Namespace there is none of that UID either, which would prove nothing.
    const namespace = pod?.namespace ?? listenerOwners.of(id, finding.listener.name)?.namespace;
    if (namespace !== undefined) missing.set(uid, { uid, namespace, name: pod?.name });
  }
  if (missing.size > 0) inquiry.ask(id, [...missing.values()], signal);
}

/** So often it is looked whether every Node has told its Pods. Milliseconds. */
const LOOK_MS = 1_000;

/** Resolves with true once every Node has told its Pods: that is no change of any Pod. With false when `stop` has aborted. */
export async function allPodsTold(
  { facts, clock }: { readonly facts: Pick<PodFacts, "complete">; readonly clock: Clock },
  stop: AbortSignal,
): Promise<boolean> {
  while (!facts.complete && !stop.aborted) await clock.sleep(LOOK_MS, stop).catch(() => undefined);
  return facts.complete;
}
