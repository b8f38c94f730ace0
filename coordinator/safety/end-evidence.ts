import { isOver, type PodFact, podName } from "../../common/vocabulary.ts";
import type { PlaceId, Slot } from "../domain/load-balancer.ts";
import { takesFrom } from "../domain/plan/address-holder.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import type { PodIndex } from "../state/pod-index.ts";
import type { PodSelection } from "../state/selection-index.ts";
import type { EndInquiry } from "./end-inquiry.ts";

export type EndEvidenceDeps = {
  readonly addressClaims: Pick<AddressClaims, "podOf">;
  readonly facts: PodFacts;
  readonly pods: Pick<PodIndex, "byIp">;
  /** What the API server said of Pods that are missing, and how the load balancer finds them; default: nothing is known. */
  readonly inquiry?: Pick<EndInquiry, "isGone" | "isEnding" | "lives">;
  readonly mirror?: Pick<Mirror, "health">;
  readonly intents: Pick<Intents, "hasAskedFor" | "get">;
  /** UID of the owner that a listener or rule belongs to; undefined where nobody knows. */
  readonly ownerOf: (loadBalancerId: string, place: PlaceId) => string | undefined;
};

/** Names and labels remembered of Pods that are gone or were relabelled. */
const MAX_REMEMBERED = 20_000;

/** What is known for certain of Pods that leave: who was deleted, who is over, whom nobody asks for any more. */
export class EndEvidence {
  readonly #deps: EndEvidenceDeps;
  /** By UID of a live Pod: the owners that its own labels took it away from. */
  readonly #relabelled = new Map<string, Set<string>>();
  readonly #names = new Map<string, string>();

  constructor(deps: EndEvidenceDeps) {
    this.#deps = deps;
  }

  podChanged({ change: { before, after }, selecting, left }: Pick<PodSelection, "change" | "selecting" | "left">): void {
    const pod = after ?? before;
    if (pod === undefined) return;
    if (after !== undefined) {
      this.#deps.inquiry?.lives(pod.uid);
      this.#noteLabels(pod.uid, selecting, left);
      return;
    }
    this.#relabelled.delete(pod.uid);
    if (this.#names.size >= MAX_REMEMBERED) this.#names.delete(this.#names.keys().next().value ?? "");
    this.#names.set(pod.uid, podName(pod));
  }

  /** Why the Pod behind a bound slot is certainly to leave it, e.g. "Pod shop/web-1 was deleted"; undefined: it is merely missing. */
  of(id: string, slot: Slot): string | undefined {
    const { addressClaims, facts, pods } = this.#deps;
    const { ip } = slot;
    const deleted = this.#deletedOwner(id, slot);
    if (deleted !== undefined) return deleted;
    const present = pods.byIp(ip);
    const uid = addressClaims.podOf(id, ip) ?? present?.uid;
    if (uid === undefined) return undefined;
    if (present !== undefined && takesFrom(uid, present)) return `${ip} belongs to Pod ${podName(present)} now`;
    const pod = facts.pods.get(uid);
    if (pod !== undefined) return this.#whyLeaves(id, slot, pod);
    if (facts.endOf(uid) === "deleted") return `${this.nameOf(uid)} was deleted`;
    if (this.#deps.inquiry?.isEnding(uid) === true) return `${this.nameOf(uid)} is being deleted`;
    // Proven by its absence alone: as long as the load balancer finds it healthy, many of a place at once are doubted.
    const isGone = this.#deps.inquiry?.isGone(uid) === true;
    return isGone && this.#deps.mirror?.health(id, slot)?.state === "Dead"
      ? `the API server has no ${this.nameOf(uid)} any more`
      : undefined;
  }

  /** "Pod shop/web-1", also when it is gone; its UID where the name was never known. */
  nameOf(podUid: string): string {
    const pod = this.#deps.facts.pods.get(podUid);
    return `Pod ${pod === undefined ? (this.#names.get(podUid) ?? podUid) : podName(pod)}`;
  }

  /** Whoever is bound there goes with the owner of the listener. */
  #deletedOwner(id: string, slot: Slot): string | undefined {
    const uid = this.#deps.ownerOf(id, slot);
    const owner = uid === undefined ? undefined : this.#deps.intents.get(uid);
    return owner?.state === "deleted" ? `${owner.ref.kind} ${owner.ref.namespace}/${owner.ref.name} was deleted` : undefined;
  }

  /** What a Service asks for says nothing of a listener of another one, although both have the same Pods. */
  #whyLeaves(id: string, slot: Slot, pod: PodFact): string | undefined {
    if (pod.deletionAtMs !== undefined) return `Pod ${podName(pod)} is being deleted`;
    if (isOver(pod)) return `the containers of Pod ${podName(pod)} are over`;
    // A Pod that is told without the address that it had: nobody asked for that.
    if (!pod.ips.includes(slot.ip)) return undefined;
    const owner = this.#deps.ownerOf(id, slot);
    if (owner === undefined) return undefined;
    // A Pod that is as it was: the Service asks for other ones. One that was relabelled may be a mistake of many.
    if (this.#relabelled.get(pod.uid)?.has(owner) === true || !this.#deps.intents.hasAskedFor(owner, pod, slot)) return undefined;
    return `Pod ${podName(pod)} is not asked for any more`;
  }

  #noteLabels(podUid: string, selecting: readonly string[], left: readonly string[]): void {
    const known = this.#relabelled.get(podUid);
    if (known === undefined && left.length === 0) return;
    const services = new Set([...(known ?? []), ...left].filter((uid) => !selecting.includes(uid)));
    this.#relabelled.delete(podUid); // moves it to the young end
    if (services.size > 0) this.#relabelled.set(podUid, services);
    const [oldest] = this.#relabelled.keys();
    if (this.#relabelled.size > MAX_REMEMBERED && oldest !== undefined) this.#relabelled.delete(oldest);
  }
}
