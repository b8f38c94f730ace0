import type { Clock } from "../../common/clock.ts";
import { isCancelled, remedyOf } from "../../common/errors.ts";
import { makeHeap } from "../../common/heap.ts";
import { type ApiFailures, againMs, NO_FAILURES, withFailure } from "../../common/kubernetes/api-backoff.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { decodePod } from "../../common/kubernetes/node-pods.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient, ListPage, Query } from "../../common/kubernetes/requests.ts";
import { isOlder } from "../../common/kubernetes/watched-store.ts";
import type { Logger } from "../../common/log.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { FollowedPods } from "./followed-pods.ts";
import { bundled, type Labels, type Listing, listingOf, MOST_GETS, textOf } from "./pod-listings.ts";

/** A Pod that somebody reported and that the API server is asked about. */
export type Wanted = {
  readonly reported: Pick<PodFact, "uid" | "namespace" | "name">;
  /** Of a Service that selects it by the reported labels: with others of them it comes in one list. */
  readonly selector: Labels | undefined;
  /** Its containers are ready: it waits for company no longer. */
  readonly isUrgent: boolean;
  /** The answer must be younger than the question; default: whatever is told of the Pod answers it. */
  readonly needsFresh?: boolean;
  /** What a watch tells of an older version than this resourceVersion answers nothing; a GET or a list always does. */
  readonly notBefore?: string;
};

/** What the API server says: the Pod, or that there is none of this name and UID. `askedAtMs`: when the request began, milliseconds since the epoch. */
export type PodAnswer =
  | { readonly kind: "found"; readonly pod: PodFact; readonly askedAtMs: number }
  | { readonly kind: "gone"; readonly uid: string };

export interface PodReader {
  /** Asks, soon; told again of the same UID it takes the newer wish. */
  want(wanted: Wanted): void;
  /** Nobody needs to know any more. */
  forget(uid: string): void;
}

/** Makes a reader that tells each answer once; lists tell of Pods that nobody asked about as well. In production `podReaderOf`. */
export type MakePodReader = (onAnswer: (answer: PodAnswer) => void, signal: AbortSignal) => PodReader;

export type PodReaderDeps = {
  readonly client: Pick<KubeClient, "get" | "list" | "watch">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Condition type of our ReadinessGate. */
  readonly gateType: string;
  /** For metrics: one request of that kind. */
  readonly onRead: (kind: "get" | "list" | "watch", outcome: "ok" | "gone" | "failed") => void;
};

/** A Pod that is not ready waits so long for others: containers take seconds to start, and a rollout brings many Pods. */
const COMPANY_MS = 2_000;
/** Requests under way at a time. With 5 ms each that is 1 600 a second, below what an API server does (2 000: kubernetes.md §12). */
const MOST_UNDER_WAY = 8;
/** No request is repeated faster than once in 30 s for ever. Source: design.md §3. */
const RETRY = { baseMs: 200, maxMs: 30_000 };
const PAGE = 500;
/** A role of the former version lacks the right until it is upgraded. Milliseconds. */
const DENIED_MS = 300_000;

/** After one look at who is due the next one comes so much later: who becomes due meanwhile is asked about together. */
const SETTLE_MS = 10;
/** So many of those who are due make up the next requests: more than eight of them can take. */
const MOST_PLANNED = 1_000;

type Waiting = Wanted & { readonly key: string; readonly dueAtMs: number; readonly failures: ApiFailures };
/** `order` in which it was told. */
type Time = { readonly uid: string; readonly dueAtMs: number; readonly order: number };

/**
 * Reads Pods one by one, or with a list where more than ten of one Service, or of several that one label tells apart, wait; those of a
 * Service that is asked about again and again are watched for as long as that lasts.
 */
export const podReaderOf =
  (deps: PodReaderDeps): MakePodReader =>
  (onAnswer, signal) =>
    new Reader(deps, onAnswer, signal);

class Reader implements PodReader {
  readonly #deps: PodReaderDeps;
  readonly #onAnswer: (answer: PodAnswer) => void;
  readonly #signal: AbortSignal;
  readonly #waiting = new Map<string, Waiting>();
  /** The same by key and UID: who may come in one list. */
  readonly #groups = new Map<string, Map<string, Waiting>>();
  /** Those whose time has come, the longest waiting first; by UID. */
  readonly #due = new Map<string, Waiting>();
  /** The times of the others, the earliest first; one that differs from `#waiting` is void. */
  readonly #times = makeHeap<Time>(
    (one, other) => one.dueAtMs < other.dueAtMs || (one.dueAtMs === other.dueAtMs && one.order < other.order),
  );
  readonly #followed: FollowedPods;
  #told = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #underWay = 0;
  #timer: AbortController | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  /** Until then they are read with lists; milliseconds since the epoch. */
  #deniedUntilMs = 0;

  constructor(deps: PodReaderDeps, onAnswer: (answer: PodAnswer) => void, signal: AbortSignal) {
    this.#deps = deps;
    this.#onAnswer = onAnswer;
    this.#signal = signal;
    this.#followed = new FollowedPods({ ...deps, onPod: (pod, askedAtMs) => this.#hear(pod, askedAtMs) }, signal);
    signal.addEventListener("abort", () => this.#timer?.abort("over"), { once: true });
  }

  want(wanted: Wanted): void {
    const { uid, namespace } = wanted.reported;
    const nowMs = this.#deps.clock.now();
    const known = this.#waiting.get(uid);
    const dueAtMs = wanted.isUrgent ? nowMs : nowMs + COMPANY_MS;
    const key = `${namespace} ${wanted.selector === undefined ? "" : textOf(wanted.selector)}`;
    const failures = known?.failures ?? NO_FAILURES;
    const needsFresh = wanted.needsFresh === true || known?.needsFresh === true;
    const notBefore = wanted.notBefore ?? known?.notBefore;
    this.#followed.asked(key);
    // After a failure the time of the next attempt stands.
    const due = known === undefined ? dueAtMs : failures !== NO_FAILURES ? known.dueAtMs : Math.min(known.dueAtMs, dueAtMs);
    this.#wait({ ...wanted, needsFresh, ...(notBefore !== undefined && { notBefore }), key, failures, dueAtMs: due });
    this.#wakeAt(wanted.isUrgent ? due : Math.max(due, this.#lookedAtMs + SETTLE_MS));
  }

  forget(uid: string): void {
    const known = this.#waiting.get(uid);
    if (known === undefined) return;
    this.#waiting.delete(uid);
    this.#due.delete(uid);
    const group = this.#groups.get(known.key);
    group?.delete(uid);
    if (group?.size === 0) this.#groups.delete(known.key);
  }

  #wait(waiting: Waiting): void {
    const { uid } = waiting.reported;
    const wasDue = this.#due.has(uid) && waiting.dueAtMs <= this.#deps.clock.now();
    const known = this.#waiting.get(uid);
    if (known?.key !== waiting.key) this.forget(uid);
    this.#waiting.set(uid, waiting);
    const group = this.#groups.get(waiting.key) ?? new Map<string, Waiting>();
    this.#groups.set(waiting.key, group.set(uid, waiting));
    if (wasDue) this.#due.set(uid, waiting);
    else if (known?.dueAtMs !== waiting.dueAtMs) this.#times.push({ uid, dueAtMs: waiting.dueAtMs, order: this.#told++ });
  }

  /** Told by a watch. */
  #hear(pod: PodFact, askedAtMs: number): void {
    const { needsFresh, notBefore } = this.#waiting.get(pod.uid) ?? {};
    if (needsFresh !== true && !isOlder(pod.resourceVersion, notBefore ?? "")) this.forget(pod.uid);
    this.#onAnswer({ kind: "found", pod, askedAtMs });
  }

  #wakeAt(atMs: number): void {
    if (atMs >= this.#wakeAtMs || this.#signal.aborted) return;
    this.#timer?.abort("sooner");
    const timer = new AbortController();
    this.#timer = timer;
    this.#wakeAtMs = atMs;
    this.#deps.clock.sleep(Math.max(0, atMs - this.#deps.clock.now()), timer.signal).then(
      () => this.#wake(),
      () => undefined,
    );
  }

  #wake(): void {
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    this.#start();
  }

  /** Starts what is due, as far as requests are free. */
  #start(): void {
    if (this.#signal.aborted) return;
    const free = MOST_UNDER_WAY - this.#underWay;
    if (free <= 0) return; // the end of one starts the next
    const nowMs = this.#deps.clock.now();
    this.#lookedAtMs = nowMs;
    this.#ripen(nowMs);
    const works = this.#plan([...this.#due.values().take(MOST_PLANNED)]).slice(0, free);
    const singles = works.flatMap((work) => ("of" in work ? [] : [work]));
    for (const work of works) if ("of" in work) this.#run(work.of, 1, this.#list(work));
    if (singles.length > 0) this.#run(singles, singles.length, this.#getAll(singles));
    const next = this.#firstTime();
    if (next !== undefined) this.#wakeAt(Math.max(next.dueAtMs, nowMs + SETTLE_MS));
  }

  #ripen(nowMs: number): void {
    for (let first = this.#firstTime(); first !== undefined && first.dueAtMs <= nowMs; first = this.#firstTime()) {
      this.#times.pop();
      const waiting = this.#waiting.get(first.uid);
      if (waiting !== undefined) this.#due.set(first.uid, waiting);
    }
  }

  #firstTime(): Time | undefined {
    let first = this.#times.peek();
    while (first !== undefined && (this.#waiting.get(first.uid)?.dueAtMs !== first.dueAtMs || this.#due.has(first.uid))) {
      this.#times.pop();
      first = this.#times.peek();
    }
    return first;
  }

  #run(of: readonly Waiting[], requests: number, work: Promise<void>): void {
    this.#underWay += requests;
    for (const { reported, key, selector } of of.slice(0, requests)) {
      const { namespace } = reported;
      if (selector !== undefined) this.#followed.read({ key, namespace, labelSelector: textOf(selector) });
    }
    for (const { reported } of of) this.forget(reported.uid);
    void work
      .catch((err: unknown) => this.#again(of, err))
      .finally(() => {
        this.#underWay -= requests;
        this.#start();
      });
  }

  /** Told together: what was changed together, e.g. the labels of several Pods, is judged as a whole. */
  async #getAll(singles: readonly Waiting[]): Promise<void> {
    const answers = await Promise.allSettled(singles.map((one) => this.#get(one)));
    for (const [at, answer] of answers.entries()) {
      const one = singles[at];
      if (answer.status === "fulfilled") for (const each of answer.value) this.#onAnswer(each);
      else if (one !== undefined) this.#again([one], answer.reason);
    }
  }

  /** The requests that read whom is due, and with a list whoever waits for the same. */
  #plan(due: readonly Waiting[]): (Listing<Waiting> | Waiting)[] {
    const keys = new Set(due.map(({ key }) => key));
    const isMany = (key: string): boolean => (this.#groups.get(key)?.size ?? 0) > MOST_GETS;
    const lists = [...keys].filter(isMany).flatMap((key) => listingOf([...(this.#groups.get(key)?.values() ?? [])]) ?? []);
    const few = due.filter(({ key, selector }) => selector === undefined || !isMany(key));
    const bundles = [...Map.groupBy(few, ({ reported }) => reported.namespace).values()].flatMap(bundled);
    const listed = new Set([...lists, ...bundles].flatMap(({ of }) => of));
    return [...lists, ...bundles, ...few.filter((one) => !listed.has(one))];
  }

  async #get(one: Waiting): Promise<readonly PodAnswer[]> {
    const { uid, namespace, name } = one.reported;
    const askedAtMs = this.#deps.clock.now();
    const pod = await this.#read("get", async () => {
      try {
        return await this.#one(namespace, name);
      } catch (err) {
        if (err instanceof KubeApiError && err.failure === "notFound") return undefined;
        throw err;
      }
    });
    const found = pod === undefined ? [] : [{ kind: "found", pod, askedAtMs } as const];
    return pod?.uid === uid ? found : [...found, { kind: "gone", uid }];
  }

  /** Without the right to get a Pod, which a role of the former version lacks, by a list of one. */
  async #one(namespace: string, name: string): Promise<PodFact | undefined> {
    const { client, gateType, log, clock } = this.#deps;
    const signal = this.#signal;
    let denied: unknown;
    if (this.#deniedUntilMs <= clock.now())
      try {
        return decodePod(await client.get(kubePath`/api/v1/namespaces/${namespace}/pods/${name}`, { signal }), gateType);
      } catch (err) {
        if (!(err instanceof KubeApiError && err.failure === "denied")) throw err;
        denied = err;
      }
    const query = { fieldSelector: `metadata.name=${name}` };
    const { items } = await client.list<unknown>(kubePath`/api/v1/namespaces/${namespace}/pods`, query, { signal });
    if (denied !== undefined) {
      // A server that has just begun denies the list as well.
      this.#deniedUntilMs = clock.now() + DENIED_MS;
      log.error({ err: denied }, "the coordinator's role lacks `get` on Pods: they are read with lists for now; apply the access manifest");
    }
    return items[0] === undefined ? undefined : decodePod(items[0], gateType);
  }

  async #list({ namespace, labelSelector, of }: Listing<Waiting>): Promise<void> {
    const { client, gateType, log } = this.#deps;
    const path = kubePath`/api/v1/namespaces/${namespace}/pods`;
    const seen = new Set<string>();
    let next: string | undefined;
    const askedAtMs = this.#deps.clock.now(); // the later pages are as old as the first one
    do {
      const query: Query = { labelSelector, limit: PAGE, continue: next };
      const page: ListPage<unknown> = await this.#read("list", () => client.list(path, query, { signal: this.#signal }));
      next = page.continue;
      for (const item of page.items) {
        const pod = decoded(item, gateType);
        if (pod === undefined) log.warn({ namespace, labelSelector }, "a Pod in a list could not be read");
        else {
          seen.add(pod.uid);
          this.#onAnswer({ kind: "found", pod, askedAtMs });
        }
      }
    } while (next !== undefined);
    // Who is not in it may have other labels than reported: asked about alone, at once.
    for (const one of of) if (!seen.has(one.reported.uid)) this.want({ ...one, selector: undefined, isUrgent: true });
  }

  async #read<T>(kind: "get" | "list", request: () => Promise<T>): Promise<T> {
    try {
      const answer = await request();
      this.#deps.onRead(kind, answer === undefined ? "gone" : "ok");
      return answer;
    } catch (err) {
      if (!isCancelled(err, this.#signal)) this.#deps.onRead(kind, "failed");
      throw err;
    }
  }

  #again(of: readonly Waiting[], err: unknown): void {
    if (isCancelled(err, this.#signal)) return;
    const [first] = of;
    this.#deps.log.warn({ err, pods: of.length, pod: first?.reported.name }, "reported Pods could not be read, trying again");
    for (const one of of) {
      if (this.#waiting.has(one.reported.uid)) continue; // asked about anew meanwhile
      const failures = withFailure(one.failures, err);
      const remedy = remedyOf(err);
      const waitMs =
        remedy.kind === "retry" ? againMs(failures, err, RETRY, Math.random) : remedy.kind === "giveUp" ? RETRY.maxMs : remedy.delayMs;
      this.#wait({ ...one, failures, dueAtMs: this.#deps.clock.now() + waitMs });
    }
  }
}

function decoded(item: unknown, gateType: string): PodFact | undefined {
  try {
    return decodePod(item, gateType);
  } catch {
    return undefined;
  }
}
