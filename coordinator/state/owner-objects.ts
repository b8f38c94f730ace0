import type { Change } from "../../common/kubernetes/list-watch.ts";
import type { IngressRecord } from "../domain/intent/ingress-record.ts";
import type { OwnerObject } from "../domain/intent/owner-object.ts";
import type { ServiceRecord } from "../domain/intent/service.ts";
import { IngressUses, serviceKey } from "./ingress-uses.ts";
import type { WatchedObjects } from "./watched-objects.ts";

export type ServiceChange = Change<ServiceRecord>;
export type IngressChange = Change<IngressRecord>;
type Objects = Pick<WatchedObjects, "services" | "ingresses">;

/** The objects that may own listeners, as they are watched, whatever their kind. */
export class OwnerObjects {
  readonly ingressUses = new IngressUses();
  readonly #objects: Objects;
  /** UIDs by "demo/shop". */
  readonly #services = new Map<string, string>();

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  serviceChanged({ kind, record: { uid, namespace, name } }: ServiceChange): void {
    const key = serviceKey(namespace, name);
    if (kind !== "removed") this.#services.set(key, uid);
    else if (this.#services.get(key) === uid) this.#services.delete(key);
  }

  ingressChanged(change: IngressChange): void {
    this.ingressUses.changed(change);
  }

  /** By UID. */
  readonly object = (uid: string): OwnerObject | undefined =>
    this.#objects.services.records.get(uid) ?? this.#objects.ingresses.records.get(uid);

  readonly serviceNamed = (namespace: string, name: string): ServiceRecord | undefined =>
    this.#objects.services.records.get(this.#services.get(serviceKey(namespace, name)) ?? "");

  /** UIDs. */
  readonly ingresses = (): Iterable<string> => this.#objects.ingresses.records.keys();
}
