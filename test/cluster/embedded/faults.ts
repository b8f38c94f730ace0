import type { Listener } from "./listener.ts";
import { failure } from "./status.ts";
import type { Store } from "./store.ts";
import type { Watches } from "./watches.ts";

/**
 * What can be broken, in process or by `POST /_faults`, e.g. { "kind": "fail", "code": 500, "times": 3, "resource": "pods", "verb": "list" }.
 * `resource` is a plural; without it all are meant. A `fail` without `verb` (get, list, watch, create, update, patch, delete) fits every verb.
 * gone: every connection breaks, new ones are refused · freeze: connections stay, no byte is sent · half-line: watches end cleanly in the
 * middle of an event · compact: every earlier resourceVersion is 410 · vanish: removed without deletionTimestamp, `silent`: without an event.
 */
export type Fault =
  | { readonly kind: "gone" | "freeze"; readonly ms: number }
  | ({ readonly kind: "fail"; readonly times: number } & Failing)
  | { readonly kind: "reset-watches" | "half-line"; readonly resource?: string }
  | { readonly kind: "compact" | "clear" }
  | { readonly kind: "empty-list"; readonly resource: string; readonly times: number }
  | { readonly kind: "vanish"; readonly resource: string; readonly namespace?: string; readonly name: string; readonly silent?: boolean };
type Failing = { readonly code: 429 | 500 | 503; readonly resource?: string; readonly verb?: string; readonly retryAfterSeconds?: number };

export type FaultParts = { readonly store: Store; readonly watches: Watches; readonly listeners: readonly Listener[] };

export class Faults {
  readonly #parts: FaultParts;
  readonly #timers = new Set<NodeJS.Timeout>();
  #failing: (Failing & { left: number })[] = [];
  #empty = new Map<string, number>();
  #thawed: Promise<void> | undefined;

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  /** Throws an ApiError (400) for a kind or an object that does not exist. */
  inject(fault: Fault): void {
    const { store, watches, listeners } = this.#parts;
    switch (fault.kind) {
      case "gone":
        for (const listener of listeners) void listener.stop();
        return this.#later(fault.ms, () => listeners.forEach((listener) => void listener.start()));
      case "freeze":
        return this.#freeze(fault.ms);
      case "fail":
        return void this.#failing.push({ ...fault, left: fault.times });
      case "reset-watches":
      case "half-line":
        return watches.cut(fault.kind, fault.resource);
      case "compact":
        return store.compact();
      case "empty-list":
        return void this.#empty.set(fault.resource, fault.times);
      case "vanish": {
        const { resource, namespace, name } = fault;
        const object = store.get(resource, namespace, name);
        if (object) return store.remove(resource, object, fault.silent);
        throw failure.badRequest(`cannot let ${resource} ${namespace}/${name} vanish: there is none`);
      }
      case "clear":
        this.#failing = [];
        return this.#empty.clear();
      default:
        throw failure.badRequest(`no such fault: ${JSON.stringify(fault satisfies never)}`);
    }
  }

  #later(ms: number, run: () => void): void {
    this.#timers.add(setTimeout(run, ms));
  }

  #freeze(ms: number): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#thawed = promise;
    for (const listener of this.#parts.listeners) listener.setFrozen(true);
    this.#later(ms, () => {
      this.#thawed = undefined;
      for (const listener of this.#parts.listeners) listener.setFrozen(false);
      resolve();
    });
  }

  /** Settles when nothing is frozen. */
  async thawed(): Promise<void> {
    await this.#thawed;
  }

  /** How this request must fail, if it must; counts it. */
  failureOf(plural: string, verb: string): Failing | undefined {
    const found = this.#failing.find((one) => one.left > 0 && (one.resource ?? plural) === plural && (one.verb ?? verb) === verb);
    if (found) found.left -= 1;
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
