import type { Change } from "../../common/kubernetes/list-watch.ts";
import { type IngressRecord, servicesOf } from "../domain/intent/ingress-record.ts";

/** Which Ingresses lead to which Services: by name, because a Service may come after them. */
export class IngressUses {
  /** UIDs of Ingresses by Service, e.g. "demo/shop". */
  readonly #users = new Map<string, Set<string>>();
  /** By UID of the Ingress. */
  readonly #services = new Map<string, ReadonlySet<string>>();

  /** Returns the Services, e.g. "demo/shop", that the Ingress leads to or did before. */
  changed({ kind, record }: Pick<Change<IngressRecord>, "kind" | "record">): ReadonlySet<string> {
    const { uid, namespace } = record;
    const before = this.#services.get(uid) ?? NONE;
    const now = kind === "removed" ? NONE : new Set([...servicesOf(record)].map((name) => serviceKey(namespace, name)));
    for (const service of before) {
      const users = this.#users.get(service);
      if (now.has(service)) continue;
      users?.delete(uid);
      if (users?.size === 0) this.#users.delete(service);
    }
    for (const service of now) this.#users.set(service, (this.#users.get(service) ?? new Set<string>()).add(uid));
    if (now.size === 0) this.#services.delete(uid);
    else this.#services.set(uid, now);
    return new Set([...before, ...now]);
  }

  /** UIDs of the Ingresses that lead to a Service. */
  of({ namespace, name }: { readonly namespace: string; readonly name: string }): ReadonlySet<string> {
    return this.#users.get(serviceKey(namespace, name)) ?? NONE;
  }
}

export const serviceKey = (namespace: string, name: string): string => `${namespace}/${name}`;
const NONE: ReadonlySet<string> = new Set();
