import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { LastingFailures } from "../../common/lasting-failures.ts";
import type { Logger } from "../../common/log.ts";

/** A Pod of which nobody speaks any more; `name` undefined: it was never stored. */
export type MissingPod = { readonly uid: string; readonly namespace: string; readonly name: string | undefined };

export type EndInquiryDeps = {
  readonly client: Pick<KubeClient, "get" | "list">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Something has been learned of Pods whose addresses are bound at this load balancer; UIDs. */
  readonly onProven: (loadBalancerId: string, podUids: readonly string[]) => void;
};

/** More than so many of one Namespace are asked about with one list. Source: design.md §7. */
const MOST_GETS = 10;
/** The next question to the API server comes so long after the last one, and the same Pod is asked about again after so long. Milliseconds. */
const PAUSE_MS = 1_000;
const AGAIN_MS = 30_000;
/** What the API server did not answer is asked again after so long at least. Milliseconds. */
const FAILED_MS = 5_000;
/** Questions wait so long for others: a node that is missed brings all of its Pods. Milliseconds. */
const COMPANY_MS = 50;
const PAGE = 500;
/** UIDs remembered. */
const MOST = 50_000;

/**
 * Asks the API server whether Pods that are merely missing are there: absence from a list or from an agent's snapshot, and a deleted Node,
 * are signs, and only the answer that there is no Pod of that name and UID is a proof.
 */
export class EndInquiry {
  readonly #deps: EndInquiryDeps;
  readonly #gone = new Set<string>();
  readonly #askedAtMs = new Map<string, number>();
  readonly #waiting = new Map<string, { readonly pod: MissingPod; readonly loadBalancerIds: Set<string> }>();
  readonly #lasting = new LastingFailures();
  #isRunning = false;

  constructor(deps: EndInquiryDeps) {
    this.#deps = deps;
  }

  /** The API server has said that there is no such Pod. */
  isGone(podUid: string): boolean {
    return this.#gone.has(podUid);
  }

  /** It is there after all: a database that was restored from a backup has Pods again that were gone. */
  lives(podUid: string): void {
    this.#gone.delete(podUid);
  }

  /** Asks, soon; whoever was asked about a moment ago is not asked about again. */
  ask(loadBalancerId: string, pods: readonly MissingPod[], signal: AbortSignal): void {
    const nowMs = this.#deps.clock.now();
    for (const pod of pods) {
      if (this.#gone.has(pod.uid) || nowMs - (this.#askedAtMs.get(pod.uid) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) continue;
      const waiting = this.#waiting.get(pod.uid);
      if (waiting === undefined) this.#waiting.set(pod.uid, { pod, loadBalancerIds: new Set([loadBalancerId]) });
      else waiting.loadBalancerIds.add(loadBalancerId);
    }
    if (this.#waiting.size === 0 || this.#isRunning) return;
    this.#isRunning = true;
    void this.#run(signal);
  }

  /** Never rejects. */
  async #run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    await clock.sleep(COMPANY_MS, signal).catch(() => undefined);
    while (this.#waiting.size > 0 && !signal.aborted) {
      const [first] = this.#waiting.values();
      let pauseMs = PAUSE_MS;
      const together = [...this.#waiting.values()].filter(({ pod }) => pod.namespace === first?.pod.namespace);
      const isMany = together.length > MOST_GETS || together.some(({ pod }) => pod.name === undefined);
      for (const { pod } of together) {
        this.#waiting.delete(pod.uid);
        remember(this.#askedAtMs, pod.uid, clock.now());
      }
      try {
        const present = isMany
          ? await this.#list(first?.pod.namespace ?? "", signal)
          : await this.#get(
              together.map(({ pod }) => pod),
              signal,
            );
        this.#lasting.over("");
        this.#learn(together.filter(({ pod }) => !present.has(pod.uid)));
      } catch (err) {
        if (signal.aborted) break;
        pauseMs = Math.max(FAILED_MS, this.#lasting.failed("", clock.now()));
        for (const one of together) this.#waiting.set(one.pod.uid, one); // no pass may come that asks again
        log.warn({ err, pods: together.length }, "the API server could not be asked about missing Pods, trying again; they stay bound");
      }
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
    this.#isRunning = false;
  }

  #learn(gone: readonly { readonly pod: MissingPod; readonly loadBalancerIds: ReadonlySet<string> }[]): void {
    const byLoadBalancer = new Map<string, string[]>();
    for (const { pod, loadBalancerIds } of gone) {
      this.#gone.add(pod.uid);
      for (const id of loadBalancerIds) byLoadBalancer.set(id, [...(byLoadBalancer.get(id) ?? []), pod.uid]);
    }
    while (this.#gone.size > MOST) this.#gone.delete(this.#gone.values().next().value ?? "");
    for (const [id, uids] of byLoadBalancer) this.#deps.onProven(id, uids);
  }

  /** UIDs of those that are there. */
  async #get(pods: readonly MissingPod[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const found = await Promise.all(
      pods.map(async ({ namespace, name = "" }) => {
        try {
          return uidOf(await this.#deps.client.get<unknown>(kubePath`/api/v1/namespaces/${namespace}/pods/${name}`, { signal }));
        } catch (err) {
          if (err instanceof KubeApiError && err.failure === "notFound") return undefined;
          throw err;
        }
      }),
    );
    return new Set(found.filter((uid) => uid !== undefined));
  }

  /** UIDs of all Pods of a Namespace, by a consistent list. */
  async #list(namespace: string, signal: AbortSignal): Promise<ReadonlySet<string>> {
    const uids = new Set<string>();
    for (let next: string | undefined; ; ) {
      const path = kubePath`/api/v1/namespaces/${namespace}/pods`;
      const page = await this.#deps.client.list<unknown>(path, { limit: PAGE, continue: next }, { signal });
      for (const item of page.items) uids.add(uidOf(item) ?? "");
      next = page.continue;
      if (next === undefined) return uids;
    }
  }
}

function uidOf(pod: unknown): string | undefined {
  const uid = member(member(pod, "metadata"), "uid");
  return typeof uid === "string" ? uid : undefined;
}

function remember(times: Map<string, number>, uid: string, atMs: number): void {
  times.delete(uid); // moves it to the young end
  times.set(uid, atMs);
  if (times.size > MOST) times.delete(times.keys().next().value ?? "");
}
