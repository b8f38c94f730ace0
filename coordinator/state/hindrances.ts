import { isDeepStrictEqual } from "node:util";
import { type Hindrance, holdsBack } from "../domain/hindrance.ts";

/** Why load balancers will not reach Pods, as far as agents and the cloud's own lists tell. By UID of the Pod. */
export class Hindrances {
  readonly #clock: { now(): number };
  readonly #byPod = new Map<string, readonly Hindrance[]>();
  /** Pods that were held back when somebody last asked: when that ends, what was planned of them no longer holds. */
  readonly #held = new Set<string>();
  /** Pods whose agent has yet to say its first word, and until when they wait for it; 0: it has come. */
  readonly #awaited = new Map<string, number>();

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  /** True: that is news, or the time of one of them is over since the last call. */
  set(podUid: string, hindrances: readonly Hindrance[]): boolean {
    const known = this.#byPod.get(podUid) ?? [];
    if (hindrances.length === 0) this.#byPod.delete(podUid);
    else this.#byPod.set(podUid, hindrances);
    const isHeld = this.holdsBack(podUid);
    const hasTurned = isHeld !== this.#held.has(podUid);
    if (isHeld) this.#held.add(podUid);
    else this.#held.delete(podUid);
    return hasTurned || !isDeepStrictEqual(known, hindrances);
  }

  /** The Pod is not bound before `heard`, nor before `untilMs` where that never comes. Once for each Pod: a later call changes nothing. */
  awaitWord(podUid: string, untilMs: number): void {
    if (this.#awaited.has(podUid)) return;
    this.#awaited.set(podUid, untilMs);
    this.#held.add(podUid);
  }

  /** Its agent has spoken, or nobody would: what was told with it counts. */
  heard(podUid: string): void {
    if (this.#awaited.has(podUid)) this.#awaited.set(podUid, 0);
  }

  /** No place wants the Pod yet: the wait for a word begins anew when one does. */
  unwanted(podUid: string): void {
    this.#awaited.delete(podUid);
  }

  /** When the wait for a first word ends, milliseconds since the epoch; undefined: nobody waits for one. */
  awaitedUntilMs(podUid: string): number | undefined {
    const untilMs = this.#awaited.get(podUid);
    return untilMs === undefined || untilMs <= this.#clock.now() ? undefined : untilMs;
  }

  of(podUid: string): readonly Hindrance[] {
    return this.#byPod.get(podUid) ?? [];
  }

  /** What is told of one place, e.g. "lb-1 TCP:443"; what stands for all places first. */
  at(podUid: string, place: string): (Hindrance & { readonly holds: boolean }) | undefined {
    const all = this.#byPod.get(podUid);
    const found = all?.find((one) => one.place === undefined) ?? all?.find((one) => one.place === place);
    return found && { ...found, holds: holdsBack(found, this.#clock.now()) };
  }

  /** The Pod is not bound anew at any place now: the load balancer would mark it dead, and its neighbours wait for no one's write. */
  holdsBack(podUid: string): boolean {
    return this.awaitedUntilMs(podUid) !== undefined || this.of(podUid).some((one) => holdsBack(one, this.#clock.now()));
  }

  forget(podUid: string): void {
    this.#byPod.delete(podUid);
    this.#held.delete(podUid);
    this.#awaited.delete(podUid);
  }
}
