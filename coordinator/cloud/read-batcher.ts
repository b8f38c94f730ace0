/** Resolves with what exists, by id; an id that is left out does not exist. The call asks for `ids` when it has its turn: everybody who came until then is in it. */
type Read<T> = (ids: () => readonly string[], signal: AbortSignal) => Promise<ReadonlyMap<string, T>>;
type Round<T> = {
  readonly ids: Set<string>;
  readonly over: AbortController;
  readonly found: Promise<ReadonlyMap<string, T>>;
  askers: number;
};

export type ReadBatcherDeps<T> = {
  readonly read: Read<T>;
  /** Ids in one call at most. */
  readonly most: number;
  /** One of several ids may be the reason why this call failed. */
  readonly isRefusal: (error: unknown) => boolean;
};

/**
 * Many callers ask about one id each, and one call reads all of them: a caller that comes while a call waits for its turn joins it. So
 * nobody waits for a batch to fill, and the fewer calls the rate allows, the fuller they are.
 */
export class ReadBatcher<T> {
  readonly #deps: ReadBatcherDeps<T>;
  /** The call that has not been made yet. */
  #open: Round<T> | undefined;

  constructor(deps: ReadBatcherDeps<T>) {
    this.#deps = deps;
  }

  /** Undefined if it does not exist. Rejects with the signal's reason when aborted, else as `read` does. A caller that gives up does not cancel the others. */
  async ask(id: string, signal: AbortSignal): Promise<T | undefined> {
    signal.throwIfAborted();
    const { read, most, isRefusal } = this.#deps;
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
      return (await read(() => [id], signal)).get(id); // it may be another's fault
    } finally {
      signal.removeEventListener("abort", leave);
      round.askers -= 1;
      if (round.askers === 0) this.#callOff(round);
    }
  }

  /** Has no effect on a call that is over. */
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
    const found = this.#deps.read(taken, over.signal).finally(close);
    const round: Round<T> = { ids, over, found, askers: 0 };
    this.#open = round;
    return round;
  }
}
