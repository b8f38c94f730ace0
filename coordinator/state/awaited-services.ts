/**
 * Which Pods' gates wait for a Service: for its first pass, or for another controller to let go of it. Their passes do nothing meanwhile;
 * a change of the Service brings them back.
 */
export class AwaitedServices {
  readonly #pods = new Map<string, Set<string>>();
  readonly #services = new Map<string, Set<string>>();

  wait(serviceUid: string, podUid: string): void {
    add(this.#pods, serviceUid, podUid);
    add(this.#services, podUid, serviceUid);
  }

  /** The Pods that wait for this Service; they wait no longer. */
  take(serviceUid: string): readonly string[] {
    const podUids = [...(this.#pods.get(serviceUid) ?? [])];
    for (const podUid of podUids) this.forget(podUid);
    return podUids;
  }

  /** The Pod waits for no Service any more. */
  forget(podUid: string): void {
    for (const serviceUid of this.#services.get(podUid) ?? []) {
      const waiting = this.#pods.get(serviceUid);
      waiting?.delete(podUid);
      if (waiting?.size === 0) this.#pods.delete(serviceUid);
    }
    this.#services.delete(podUid);
  }
}

function add(sets: Map<string, Set<string>>, key: string, value: string): void {
  const known = sets.get(key);
  if (known === undefined) sets.set(key, new Set([value]));
  else known.add(value);
}
