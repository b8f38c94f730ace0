import type { Clock } from "../../common/clock.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import { makeListWatch } from "../../common/kubernetes/list-watch.ts";
import { decodePod } from "../../common/kubernetes/node-pods.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient, Query } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { eitherSignal, OVER } from "../../common/signals.ts";
import type { PodFact } from "../../common/vocabulary.ts";

export type FollowedPodsDeps = {
  readonly client: Pick<KubeClient, "list" | "watch">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Condition type of our ReadinessGate. */
  readonly gateType: string;
  /** For metrics: one request of that kind. */
  readonly onRead: (kind: "list" | "watch", outcome: "ok" | "failed") => void;
  /** A Pod with an address, as the API server has it; `askedAtMs`: when the watch began, milliseconds since the epoch. */
  readonly onPod: (pod: PodFact, askedAtMs: number) => void;
};

/** The Pods that a Service selects; `key` tells them from others. */
type Group = { readonly key: string; readonly namespace: string; readonly labelSelector: string };
/** `reads` since `fromMs`. */
type Count = { readonly reads: number; readonly fromMs: number };

/** Read more often than that within so long, a group is followed: a rollout goes on, however few Pods each of its steps brings. */
const MOST_READS = 10;
const COUNTED_MS = 600_000;
/** Where no Pod of the group was new for so long, its rollout is over. */
const IDLE_MS = 300_000;
/** Each costs a connection, and memory for all its Pods (some 1 kB each). */
const MOST_FOLLOWED = 20;
const MOST_COUNTED = 10_000;

/** Lists and watches the Pods of the groups that are asked about again and again, so that a rollout costs a dozen requests, whatever its pace. */
export class FollowedPods {
  readonly #deps: FollowedPodsDeps;
  readonly #signal: AbortSignal;
  readonly #counts = new Map<string, Count>();
  /** When somebody last asked about a Pod of those that are followed, by key; milliseconds since the epoch. */
  readonly #askedMs = new Map<string, number>();

  constructor(deps: FollowedPodsDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  /** Somebody asks about a Pod of that group. */
  asked(key: string): void {
    if (this.#askedMs.has(key)) this.#askedMs.set(key, this.#deps.clock.now());
  }

  /** A request is made for Pods of that group. */
  read(group: Group): void {
    const nowMs = this.#deps.clock.now();
    const known = this.#counts.get(group.key);
    const count =
      known === undefined || known.fromMs + COUNTED_MS < nowMs ? { reads: 1, fromMs: nowMs } : { ...known, reads: known.reads + 1 };
    this.#counts.delete(group.key);
    this.#counts.set(group.key, count);
    for (const oldest of this.#counts.keys()) {
      if (this.#counts.size <= MOST_COUNTED) break;
      this.#counts.delete(oldest);
    }
    if (count.reads >= MOST_READS && !this.#askedMs.has(group.key) && this.#askedMs.size < MOST_FOLLOWED) void this.#follow(group);
  }

  /** Never rejects. */
  async #follow({ key, namespace, labelSelector }: Group): Promise<void> {
    const { clock, log, gateType, onPod } = this.#deps;
    const askedAtMs = clock.now();
    this.#askedMs.set(key, askedAtMs);
    this.#counts.delete(key);
    const idle = new AbortController();
    const pods = makeListWatch<PodFact>(
      { client: this.#counted(), clock, log },
      {
        path: kubePath`/api/v1/namespaces/${namespace}/pods`,
        query: { labelSelector },
        wanted: (raw) => member(member(raw, "status"), "podIPs") !== undefined, // until then nobody asks
        decode: (raw) => decodePod(raw, gateType),
        onChange: (change) => {
          if (change.kind !== "removed") onPod(change.record, askedAtMs);
        },
      },
    );
    const running = pods.run(eitherSignal(idle.signal, this.#signal));
    for (let restMs = IDLE_MS; restMs > 0 && !this.#signal.aborted; restMs = (this.#askedMs.get(key) ?? 0) + IDLE_MS - clock.now())
      await clock.sleep(restMs, this.#signal).catch(() => undefined);
    idle.abort(OVER);
    await running;
    this.#askedMs.delete(key);
  }

  #counted(): Pick<KubeClient, "list" | "watch"> {
    const { client, onRead } = this.#deps;
    return {
      list: async <T>(path: string, query?: Query, options?: { readonly signal?: AbortSignal }) => {
        const page = await client.list<T>(path, query, options);
        onRead("list", "ok");
        return page;
      },
      watch: async (...args) => {
        onRead("watch", "ok");
        return await client.watch(...args);
      },
    };
  }
}
