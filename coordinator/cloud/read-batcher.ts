/** What a look found, by id; an id that is left out does not exist. `ids` is asked for when the call has its turn: whoever came until then is in it. */
type Look<T> = (ids: () => readonly string[], signal: AbortSignal) => Promise<ReadonlyMap<string, T>>;
type Round<T> = {
  readonly ids: Set<string>;
  readonly over: AbortController;
  readonly found: Promise<ReadonlyMap<string, T>>;
  askers: number;
};

export type SharedLookDeps<T> = {
  readonly look: Look<T>;
  /** Ids in one call at most. */
  readonly most: number;
  /** One of several ids may be the reason why this call failed. */
  readonly isRefusal: (error: unknown) => boolean;
};

/**
 * Many ask about one each, a call asks about all of them: whoever comes while a call waits for its turn goes along. So nobody waits for
 * company, and the fewer calls the rate allows, the fuller they are.
 */
export class SharedLook<T> {
  readonly #deps: SharedLookDeps<T>;
  /** The call that has not been made yet. */
  #open: Round<T> | undefined;

  constructor(deps: SharedLookDeps<T>) {
    this.#deps = deps;
  }

  /** Undefined if it does not exist. Rejects with the signal's reason when aborted, else as the look does; who gives up leaves the others alone. */
  async ask(id: string, signal: AbortSignal): Promise<T | undefined> {
    signal.throwIfAborted();
    const { look, most, isRefusal } = this.#deps;
    const hasRoom = this.#open !== undefined && (this.#open.ids.size < most || this.#open.ids.has(id));
    const round = hasRoom && this.#open !== undefined ? this.#open : this.#begin();
    round.ids.add(id);
    round.askers += 1;
    const gone = Promise.withResolvers<never>();
    const leave = (): void => gone.reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    try {
      return (await Promise.race([round.found, gone.promise])).get(id);
    } catch (err) {
      if (signal.aborted || round.ids.size === 1 || !isRefusal(err)) throw err;
      return (await look(() => [id], signal)).get(id); // it may be another's fault
    } finally {
      signal.removeEventListener("abort", leave);
      round.askers -= 1;
      if (round.askers === 0) this.#callOff(round);
    }
  }

  /** Without effect on one that is over. */
  #callOff(round: Round<T>): void {
    if (this.#open === round) this.#open = undefined; // nobody joins a call that is being called off
    round.over.abort(new DOMException("nobody waits for it any more", "AbortError"));
  }

  #begin(): Round<T> {
    const ids = new Set<string>();
    const over = new AbortController();
    const close = (): void => {
      if (this.#open?.ids === ids) this.#open = undefined;
    };
    const taken = (): readonly string[] => {
      close();
      return [...ids];
    };
    const found = this.#deps.look(taken, over.signal).finally(close);
    const round: Round<T> = { ids, over, found, askers: 0 };
    this.#open = round;
    return round;
  }
}
