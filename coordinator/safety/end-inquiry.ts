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
  /** Pods of this load balancer were there, and may not be any more: whoever still misses them asks again. */
  readonly onAgain: (loadBalancerId: string) => void;
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
 * are signs, and only the answer that there is no Pod of that name and UID is a proof. One that is there but is being deleted, or whose
 * containers are over, does not come back either.
 */
export class EndInquiry {
  readonly #deps: EndInquiryDeps;
  readonly #gone = new Set<string>();
  readonly #ending = new Set<string>();
  /** Load balancers that look again when the time has come. */
  readonly #again = new Set<string>();
  readonly #askedAtMs = new Map<string, number>();
  readonly #waiting = new Map<string, Asked>();
  /** The API server is being asked about these. */
  readonly #underWay = new Map<string, Asked>();
  readonly #lasting = new LastingFailures();
  #isRunning = false;

  constructor(deps: EndInquiryDeps) {
    this.#deps = deps;
  }

  /** The API server has said that there is no such Pod. */
  isGone(podUid: string): boolean {
    return this.#gone.has(podUid);
  }

  /** The API server has said that the Pod is being deleted, or over. */
  isEnding(podUid: string): boolean {
    return this.#ending.has(podUid);
  }

  /** It is there after all, and somebody speaks of it: a database that was restored from a backup has Pods again that were gone. */
  lives(podUid: string): void {
    this.#gone.delete(podUid);
    this.#ending.delete(podUid);
  }

  /** Asks, soon; whoever was asked about a moment ago is asked about again when the time has come. Each load balancer that misses a Pod hears of it. */
  ask(loadBalancerId: string, pods: readonly MissingPod[], signal: AbortSignal): void {
    const nowMs = this.#deps.clock.now();
    for (const pod of pods) {
      if (this.#gone.has(pod.uid)) continue;
      const open = this.#waiting.get(pod.uid) ?? this.#underWay.get(pod.uid);
      if (open !== undefined) open.loadBalancerIds.add(loadBalancerId);
      else if (nowMs - (this.#askedAtMs.get(pod.uid) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS) this.#lookAgain([loadBalancerId], signal);
      else this.#waiting.set(pod.uid, { pod, loadBalancerIds: new Set([loadBalancerId]) });
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
      for (const one of together) {
        this.#waiting.delete(one.pod.uid);
        this.#underWay.set(one.pod.uid, one);
        remember(this.#askedAtMs, one.pod.uid, clock.now());
      }
      try {
        const present = isMany
          ? await this.#list(first?.pod.namespace ?? "", signal)
          : await this.#get(
              together.map(({ pod }) => pod),
              signal,
            );
        this.#lasting.over("");
        this.#learn(together, present);
        const there = together.filter(({ pod }) => present.has(pod.uid));
        this.#lookAgain(new Set(there.flatMap(({ loadBalancerIds }) => [...loadBalancerIds])), signal);
      } catch (err) {
        if (signal.aborted) break;
        pauseMs = Math.max(FAILED_MS, this.#lasting.failed("", clock.now()));
        for (const one of together) this.#waiting.set(one.pod.uid, one); // no pass may come that asks again
        log.warn({ err, pods: together.length }, "the API server could not be asked about missing Pods, trying again; they stay bound");
      } finally {
        this.#underWay.clear();
      }
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
    this.#isRunning = false;
  }

  #learn(asked: readonly Asked[], present: Present): void {
    const byLoadBalancer = new Map<string, string[]>();
    for (const { pod, loadBalancerIds } of asked) {
      const isEnding = present.get(pod.uid);
      if (isEnding === false || (isEnding === true && this.#ending.has(pod.uid))) continue;
      (isEnding === undefined ? this.#gone : this.#ending).add(pod.uid);
      for (const id of loadBalancerIds) byLoadBalancer.set(id, [...(byLoadBalancer.get(id) ?? []), pod.uid]);
    }
    for (const learned of [this.#gone, this.#ending]) while (learned.size > MOST) learned.delete(learned.values().next().value ?? "");
    for (const [id, uids] of byLoadBalancer) this.#deps.onProven(id, uids);
  }

  /** No pass may come by itself before the next re-read. */
  #lookAgain(loadBalancerIds: Iterable<string>, signal: AbortSignal): void {
    for (const id of loadBalancerIds) {
      if (this.#again.has(id)) continue;
      this.#again.add(id);
      this.#deps.clock
        .sleep(AGAIN_MS, signal)
        .finally(() => this.#again.delete(id))
        .then(() => this.#deps.onAgain(id))
        .catch(() => undefined); // we stop
    }
  }

  async #get(pods: readonly MissingPod[], signal: AbortSignal): Promise<Present> {
    const found = await Promise.all(
      pods.map(async ({ namespace, name = "" }) => {
        try {
          return entryOf(await this.#deps.client.get<unknown>(kubePath`/api/v1/namespaces/${namespace}/pods/${name}`, { signal }));
        } catch (err) {
          if (err instanceof KubeApiError && err.failure === "notFound") return undefined;
          throw err;
        }
      }),
    );
    return new Map(found.filter((entry) => entry !== undefined));
  }

  /** All Pods of a Namespace, by a consistent list. */
  async #list(namespace: string, signal: AbortSignal): Promise<Present> {
    const present = new Map<string, boolean>();
    for (let next: string | undefined; ; ) {
      const path = kubePath`/api/v1/namespaces/${namespace}/pods`;
      const page = await this.#deps.client.list<unknown>(path, { limit: PAGE, continue: next }, { signal });
      for (const item of page.items) present.set(...entryOf(item));
      next = page.continue;
      if (next === undefined) return present;
    }
  }
}

type Asked = { readonly pod: MissingPod; readonly loadBalancerIds: Set<string> };
/** UIDs of those that are there, and whether they end. */
type Present = ReadonlyMap<string, boolean>;

function entryOf(pod: unknown): [string, boolean] {
  const metadata = member(pod, "metadata");
  const phase = member(member(pod, "status"), "phase");
  const isEnding = member(metadata, "deletionTimestamp") !== undefined || phase === "Succeeded" || phase === "Failed";
  return [String(member(metadata, "uid")), isEnding];
}

function remember(times: Map<string, number>, uid: string, atMs: number): void {
  times.delete(uid); // moves it to the young end
  times.set(uid, atMs);
  if (times.size > MOST) times.delete(times.keys().next().value ?? "");
}
