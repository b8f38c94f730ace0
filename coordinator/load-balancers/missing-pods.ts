import type { Plan } from "../domain/plan/plan-load-balancer.ts";
import type { EndInquiry, MissingPod } from "../safety/end-inquiry.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents } from "../state/intents.ts";
import type { PodFacts } from "../state/pod-facts.ts";

export type MissingPodsDeps = {
  readonly facts: Pick<PodFacts, "pods" | "endOf" | "complete">;
  readonly addressClaims: Pick<AddressClaims, "podOf" | "claimedPod">;
  readonly intents: Pick<Intents, "of">;
  readonly inquiry: Pick<EndInquiry, "ask">;
};

/**
 * Asks about the Pods behind targets that wait because nobody speaks of them: once every node has told its Pods, or something has been
 * concluded from a node or a list that lacks them.
 */
export function askAboutMissing(
  { facts, addressClaims, intents, inquiry }: MissingPodsDeps,
  id: string,
  { findings }: Plan,
  signal: AbortSignal,
): void {
  const missing = new Map<string, MissingPod>();
  for (const finding of findings) {
    if (finding.kind !== "waiting") continue;
    const { ip } = finding.target;
    const uid = addressClaims.podOf(id, ip);
    if (uid === undefined || facts.pods.has(uid) || !(facts.complete || facts.endOf(uid) !== undefined)) continue;
    const namespace = intents.of(id)[0]?.ref.namespace ?? "";
    const pod = addressClaims.claimedPod(id, ip);
    if (pod !== undefined || namespace !== "") missing.set(uid, { uid, namespace: pod?.namespace ?? namespace, name: pod?.name });
  }
  if (missing.size > 0) inquiry.ask(id, [...missing.values()], signal);
}
