import { isDeepStrictEqual } from "node:util";
import { type Hindrance, holdsBack } from "../domain/hindrance.ts";

/** Why load balancers will not reach Pods, as far as agents and the cloud's own lists tell. By UID of the Pod. */
export class Hindrances {
  readonly #clock: { now(): number };
  readonly #byPod = new Map<string, readonly Hindrance[]>();
  /** Pods that were held back when somebody last asked: when that ends, what was planned of them no longer holds. */
  readonly #held = new Set<string>();

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
    return this.of(podUid).some((one) => holdsBack(one, this.#clock.now()));
  }

  forget(podUid: string): void {
    this.#byPod.delete(podUid);
    this.#held.delete(podUid);
  }
}
