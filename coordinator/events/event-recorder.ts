import { createHash } from "node:crypto";
import type { Clock } from "../../common/clock.ts";
import { isCancelled } from "../../common/errors.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import type { Problem } from "../domain/problem.ts";

/** The same Event (object, reason, message) is told at most once in this time: as long as an API server keeps it by default (kubernetes.md §9). */
const REPEAT_MS = 3_600_000;
/** Events that wait for the API server; more are dropped, oldest first: the next pass tells them again. */
const MAX_WAITING = 1_000;
const MAX_REMEMBERED = 20_000;
/** So many Events in a row that could not be written end a round; the next one comes a second later. */
const MAX_FAILURES = 3;

/**
 * Writes core/v1 Events. The name is made from object, reason and message, so that a restarted process finds what it told before and
 * says nothing twice.
 */
export class EventRecorder {
  readonly #deps: { client: KubeClient; clock: Clock; log: Logger; component: string };
  /** When it was last told, and how often by this process. */
  readonly #told = new Map<string, { readonly atMs: number; readonly count: number }>();
  readonly #waiting = new Map<string, Problem>();
  /** Of problems that every pass tells anew, as one object. */
  readonly #names = new WeakMap<Problem, string>();
  #wake = Promise.withResolvers<void>();

  constructor(deps: { client: KubeClient; clock: Clock; log: Logger; component: string }) {
    this.#deps = deps;
  }

  /** Takes the problem on; never fails, never waits. */
  tell(problem: Problem): void {
    const name = this.#names.get(problem) ?? eventName(problem);
    this.#names.set(problem, name);
    const told = this.#told.get(name);
    if (told !== undefined && this.#deps.clock.now() - told.atMs < REPEAT_MS) return;
    if (this.#waiting.size >= MAX_WAITING) this.#waiting.delete(this.#waiting.keys().next().value ?? "");
    this.#waiting.set(name, problem);
    this.#wake.resolve();
  }

  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wake.resolve(), { once: true });
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers();
      let failures = 0;
      for (const [name, problem] of this.#waiting) {
        if (await this.#write(name, problem, signal)) this.#waiting.delete(name);
        else if ((failures += 1) === MAX_FAILURES) break; // nobody answers, rather than one Event that cannot be written
      }
      if (this.#waiting.size === 0) await this.#wake.promise;
      else await this.#deps.clock.sleep(1_000, signal).catch(() => undefined);
    }
  }

  /** False: try again later. */
  async #write(name: string, problem: Problem, signal: AbortSignal): Promise<boolean> {
    const { client, clock, log } = this.#deps;
    const { namespace } = problem.object;
    try {
      await client.create(kubePath`/api/v1/namespaces/${namespace}/events`, this.#event(name, problem), { signal });
    } catch (err) {
      if (isCancelled(err, signal)) return false;
      if (!(err instanceof KubeApiError) || err.code === undefined || err.code >= 500 || err.code === 429) return false;
      if (err.code === 409)
        await this.#repeat(kubePath`/api/v1/namespaces/${namespace}/events/${name}`, this.#told.get(name)?.count, signal);
      else log.warn({ err, reason: problem.reason }, "event refused"); // e.g. 403 in a namespace that is being deleted
    }
    if (this.#told.size >= MAX_REMEMBERED) this.#told.delete(this.#told.keys().next().value ?? "");
    this.#told.set(name, { atMs: clock.now(), count: (this.#told.get(name)?.count ?? 0) + 1 });
    return true;
  }

  /** It exists: told before. Only what this process itself told an hour ago is refreshed. */
  async #repeat(path: string, told: number | undefined, signal: AbortSignal): Promise<void> {
    if (told === undefined) return;
    const { client, clock, log } = this.#deps;
    try {
      await client.patch(path, { count: told + 1, lastTimestamp: toTime(clock.now()) }, "strategic", { signal });
    } catch (err) {
      if (!isCancelled(err, signal)) log.debug({ err }, "event not refreshed");
    }
  }

  #event(name: string, problem: Problem): object {
    const { object, type, reason, message } = problem;
    const { kind } = object;
    const time = toTime(this.#deps.clock.now());
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name, namespace: object.namespace },
      involvedObject: {
        apiVersion: "v1",
        kind,
        name: object.name,
        uid: object.uid,
        ...(kind !== "Node" && { namespace: object.namespace }),
      },
      type,
      reason,
      message,
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
      source: { component: this.#deps.component },
      reportingComponent: this.#deps.component,
      reportingInstance: "",
    };
  }
}

/** metav1.Time has whole seconds, e.g. "2026-01-02T03:04:05Z". */
const toTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

function eventName({ object, reason, message }: Problem): string {
  const digest = createHash("sha256").update(`${object.uid}\n${reason}\n${message}`).digest("hex").slice(0, 16);
  return `${object.name.slice(0, 200)}.${digest}`;
}
