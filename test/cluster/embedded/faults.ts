import * as z from "zod";
import type { Target } from "./rest.ts";
import { failure } from "./status.ts";
import type { Store } from "./store.ts";
import type { Watches } from "./watches.ts";

const resource = z.string().optional(); // plural, e.g. "pods"; all without it
const Fault = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("gone"), ms: z.number() }), // every connection breaks, new ones are refused
  z.object({ kind: z.literal("freeze"), ms: z.number() }), // connections stay, no byte is sent
  z.object({
    kind: z.literal("fail"), // the next `times` requests that fit get `code`
    code: z.union([z.literal(429), z.literal(500), z.literal(503)]),
    times: z.number(),
    resource,
    verb: z.string().optional(), // get, list, watch, create, update, patch, delete
    retryAfterSeconds: z.number().default(1),
  }),
  z.object({ kind: z.literal("reset-watches"), resource }),
  z.object({ kind: z.literal("half-line"), resource }), // watches end cleanly in the middle of an event
  z.object({ kind: z.literal("compact") }), // every earlier resourceVersion is 410 from now on
  z.object({ kind: z.literal("empty-list"), resource: z.string(), times: z.number() }),
  z.object({
    kind: z.literal("vanish"),
    resource: z.string(),
    namespace: z.string().optional(),
    name: z.string(),
    silent: z.boolean().default(false),
  }),
  z.object({ kind: z.literal("clear") }),
]);
/** What can be broken, in process or by `POST /_faults`, e.g. { "kind": "fail", "code": 500, "times": 3, "resource": "pods", "verb": "list" }. */
export type Fault = z.input<typeof Fault>;

type Failing = {
  readonly code: number;
  times: number;
  readonly resource?: string | undefined;
  readonly verb?: string | undefined;
  readonly retryAfterSeconds: number;
};
export type FaultParts = {
  readonly store: Store;
  readonly watches: Watches;
  /** Breaks all connections and refuses new ones, or lets them in again. */
  readonly setReachable: (reachable: boolean) => void;
  /** Holds back everything that is written to connections, or lets it go. */
  readonly setFrozen: (frozen: boolean) => void;
};

export class Faults {
  readonly #parts: FaultParts;
  readonly #timers = new Set<NodeJS.Timeout>();
  #failing: Failing[] = [];
  #empty = new Map<string, number>();
  #thawed: Promise<void> | undefined;

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  /** Throws an Error that names the wrong field. */
  inject(input: Fault): void {
    const { data: fault, error } = Fault.safeParse(input);
    if (error) throw failure.badRequest(`no such fault: ${z.prettifyError(error)}`);
    const { store, watches, setReachable } = this.#parts;
    switch (fault.kind) {
      case "gone":
        setReachable(false);
        this.#later(fault.ms, () => setReachable(true));
        return;
      case "freeze":
        this.#freeze(fault.ms);
        return;
      case "fail":
        this.#failing.push({ ...fault });
        return;
      case "reset-watches":
        watches.cut("reset", fault.resource);
        return;
      case "half-line":
        watches.cut("half-line", fault.resource);
        return;
      case "compact":
        store.compact();
        return;
      case "empty-list":
        this.#empty.set(fault.resource, fault.times);
        return;
      case "vanish": {
        const object = store.get(fault.resource, fault.namespace, fault.name);
        if (object === undefined)
          throw failure.badRequest(`cannot let ${fault.resource} ${fault.namespace ?? ""}/${fault.name} vanish: there is none`);
        store.remove(fault.resource, object, fault.silent);
        return;
      }
      case "clear":
        this.#failing = [];
        this.#empty.clear();
        return;
      default:
        return fault satisfies never;
    }
  }

  #later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }

  #freeze(ms: number): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#thawed = promise;
    this.#parts.setFrozen(true);
    this.#later(ms, () => {
      this.#thawed = undefined;
      this.#parts.setFrozen(false);
      resolve();
    });
  }

  /** Settles when nothing is frozen. */
  async thawed(): Promise<void> {
    await this.#thawed;
  }

  /** The code and headers that this request must fail with, if any; counts it. */
  failureOf(target: Target | undefined, verb: string): { readonly code: number; readonly retryAfterSeconds: number } | undefined {
    const fits = (one: Failing): boolean =>
      one.times > 0 &&
      (one.resource === undefined || one.resource === target?.resource.plural) &&
      (one.verb === undefined || one.verb === verb);
    const found = this.#failing.find(fits);
    if (found) found.times -= 1;
    return found;
  }

  /** Whether this list must come without items; counts it. */
  emptiesList(plural: string): boolean {
    const left = this.#empty.get(plural) ?? 0;
    this.#empty.set(plural, left - 1);
    return left > 0;
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
