import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import { decodePod } from "../../common/kubernetes/node-pods.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import type { PodFact } from "../../common/vocabulary.ts";

export type TerminationDeps = {
  readonly client: Pick<KubeClient, "get" | "list">;
  /** Condition type of our ReadinessGate. */
  readonly gateType: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Something new is known of these Pods; UIDs. `read`: as the API server gave them. */
  readonly onRead: (podUids: readonly string[], read: readonly PodFact[]) => void;
  /** It is known meanwhile that this Pod terminates: nobody has to ask. */
  readonly isKnown: (podUid: string) => boolean;
};

/** What the API server said of a Pod after its dial. `gone`: it has no such Pod; `graceSeconds`: of the deletion. */
export type Termination =
  | { readonly kind: "terminates"; readonly deletionAtMs: number | undefined; readonly graceSeconds: number | undefined }
  | { readonly kind: "lives" }
  | { readonly kind: "gone" };

type Asked = { readonly pod: Pick<PodFact, "uid" | "namespace" | "name">; readonly sinceMs: number };

/** The node's agent mostly tells of a deletion within this time, and then nobody has to ask; a node drain brings many dials. Milliseconds. */
const COMPANY_MS = 100;
/** The next questions come so long after the last ones. Milliseconds. */
const PAUSE_MS = 500;
/** More than so many of one Namespace are asked about with one list. Source: design.md §7. */
const MOST_GETS = 10;
const PAGE = 500;
/** A hold that ends after 5 s needs its answer before. Milliseconds. */
const TIMEOUT_MS = 3_000;
/** Pods remembered. */
const MOST = 20_000;

/** Asks the API server whether Pods that dialled terminate, where nobody has told: one read, younger than the dial. */
export class TerminationReads {
  readonly #deps: TerminationDeps;
  readonly #signal: AbortSignal;
  readonly #said = new Map<string, { readonly sinceMs: number; readonly what: Termination }>();
  readonly #waiting = new Map<string, Asked>();
  #isRunning = false;

  constructor(deps: TerminationDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  /** What was said of the Pod after its dial at `sinceMs`; undefined: nothing so far. */
  of(podUid: string, sinceMs: number): Termination | undefined {
    const said = this.#said.get(podUid);
    return said !== undefined && said.sinceMs >= sinceMs ? said.what : undefined;
  }

  /** Asks, soon; once for each dial. */
  ask(pod: Asked["pod"], sinceMs: number): void {
    if (this.of(pod.uid, sinceMs) !== undefined || this.#signal.aborted) return;
    this.#waiting.set(pod.uid, { pod, sinceMs });
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#run();
  }

  forget(podUid: string): void {
    this.#said.delete(podUid);
    this.#waiting.delete(podUid);
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { clock, log, isKnown } = this.#deps;
    await clock.sleep(COMPANY_MS, this.#signal).catch(() => undefined);
    while (this.#waiting.size > 0 && !this.#signal.aborted) {
      for (const uid of this.#waiting.keys()) if (isKnown(uid)) this.#waiting.delete(uid);
      const [first] = this.#waiting.values();
      if (first === undefined) break;
      const together = [...this.#waiting.values()].filter(({ pod }) => pod.namespace === first.pod.namespace);
      for (const { pod } of together) this.#waiting.delete(pod.uid);
      try {
        await (together.length > MOST_GETS
          ? this.#list(first.pod.namespace, together)
          : Promise.all(together.map((one) => this.#get(one))));
      } catch (err) {
        if (this.#signal.aborted) break;
        log.warn({ err, pods: together.length }, "the API server could not be asked whether Pods terminate, trying again");
        for (const one of together) if (!this.#waiting.has(one.pod.uid)) this.#waiting.set(one.pod.uid, one);
      }
      await clock.sleep(PAUSE_MS, this.#signal).catch(() => undefined);
    }
    this.#isRunning = false;
  }

  async #get({ pod: { uid, namespace, name } }: Asked): Promise<void> {
    const askedMs = this.#deps.clock.now();
    const path = kubePath`/api/v1/namespaces/${namespace}/pods/${name}`;
    try {
      this.#learn([uid], [await this.#deps.client.get<unknown>(path, { signal: this.#signal, timeoutMs: TIMEOUT_MS })], askedMs);
    } catch (err) {
      if (!(err instanceof KubeApiError && err.failure === "notFound")) throw err;
      this.#learn([uid], [], askedMs);
    }
  }

  async #list(namespace: string, asked: readonly Asked[]): Promise<void> {
    const askedMs = this.#deps.clock.now();
    const items: unknown[] = [];
    for (let next: string | undefined; ; ) {
      const path = kubePath`/api/v1/namespaces/${namespace}/pods`;
      const query = { limit: PAGE, continue: next };
      const page = await this.#deps.client.list<unknown>(path, query, { signal: this.#signal, timeoutMs: TIMEOUT_MS });
      items.push(...page.items);
      next = page.continue;
      if (next === undefined) break;
    }
    this.#learn(
      asked.map(({ pod }) => pod.uid),
      items,
      askedMs,
    );
  }

  #decoded(item: unknown): readonly PodFact[] {
    try {
      return [decodePod(item, this.#deps.gateType)];
    } catch (err) {
      this.#deps.log.warn({ err }, "a Pod that terminates could not be read as a whole");
      return [];
    }
  }

  #learn(uids: readonly string[], items: readonly unknown[], askedMs: number): void {
    const read = new Map(items.map((item) => [String(member(member(item, "metadata"), "uid")), item]));
    const facts: PodFact[] = [];
    for (const uid of uids) {
      const item = read.get(uid);
      const what: Termination = item === undefined ? { kind: "gone" } : terminationIn(item);
      this.#said.delete(uid);
      this.#said.set(uid, { sinceMs: askedMs, what });
      if (what.kind === "terminates") facts.push(...this.#decoded(item));
    }
    while (this.#said.size > MOST) this.#said.delete(this.#said.keys().next().value ?? "");
    this.#deps.onRead(uids, facts);
  }
}

function terminationIn(pod: unknown): Termination {
  const metadata = member(pod, "metadata");
  const at = member(metadata, "deletionTimestamp");
  if (typeof at !== "string") return { kind: "lives" };
  const grace = member(metadata, "deletionGracePeriodSeconds");
  const atMs = Date.parse(at);
  return {
    kind: "terminates",
    deletionAtMs: Number.isNaN(atMs) ? undefined : atMs,
    graceSeconds: typeof grace === "number" ? grace : undefined,
  };
}
