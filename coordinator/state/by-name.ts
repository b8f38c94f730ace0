import type { Change } from "../../common/kubernetes/list-watch.ts";

type Named = { readonly uid: string; readonly namespace: string; readonly name: string };

/** Watched objects by Namespace and name: a pass looks for one of each owner of a load balancer, among thousands. */
export class ByName<R extends Named> {
  readonly #records = new Map<string, Map<string, R>>();
  #version = 0;

  /** Another number when any of them has changed. */
  get version(): number {
    return this.#version;
  }

  get(namespace: string, name: string): R | undefined {
    return this.#records.get(namespace)?.get(name);
  }

  changed({ kind, record }: Change<R>): void {
    const { uid, namespace, name } = record;
    this.#version += 1;
    const here = this.#records.get(namespace) ?? new Map<string, R>();
    if (kind !== "removed") this.#records.set(namespace, here.set(name, record));
    else if (here.get(name)?.uid === uid && here.delete(name) && here.size === 0) this.#records.delete(namespace);
  }
}
