import type { Change } from "../../common/kubernetes/list-watch.ts";
import type { IngressRecord } from "../domain/intent/ingress-record.ts";
import type { ServiceRecord } from "../domain/intent/service.ts";
import { IngressUses, serviceKey } from "../state/ingress-uses.ts";
import type { OwnershipOf } from "../state/object-ownership.ts";
import { SelectorTable } from "../state/selector-table.ts";
import type { SelectsPods } from "./review.ts";

/** The selectors of Services that are ours, or that an Ingress of ours leads to, on every replica: a look-up costs what a Pod has of labels. */
export class SelectingServices {
  readonly #ownershipOf: OwnershipOf;
  readonly #selectors = new SelectorTable();
  readonly #uses = new IngressUses();
  /** By "demo/shop". */
  readonly #services = new Map<string, ServiceRecord>();
  readonly #ingresses = new Map<string, IngressRecord>();
  #isListed = false;

  constructor(ownershipOf: OwnershipOf) {
    this.#ownershipOf = ownershipOf;
  }

  serviceChanged({ kind, record }: Change<ServiceRecord>): void {
    const key = serviceKey(record.namespace, record.name);
    if (kind === "removed") {
      this.#services.delete(key);
      this.#selectors.delete(record.uid);
      return;
    }
    this.#services.set(key, record);
    this.#judge(key);
  }

  ingressChanged({ kind, record }: Change<IngressRecord>): void {
    if (kind === "removed") this.#ingresses.delete(record.uid);
    else this.#ingresses.set(record.uid, record);
    for (const key of this.#uses.changed({ kind, record })) this.#judge(key);
  }

  /** Other Ingresses may be ours now. */
  ingressClassChanged(): void {
    for (const key of this.#services.keys()) this.#judge(key);
  }

  /** All Services and Ingresses there are have been told. */
  servicesListed(): void {
    this.#isListed = true;
  }

  readonly selects: SelectsPods = (namespace, labels) =>
    this.#selectors.matching(namespace, labels).length > 0 || (this.#isListed ? false : undefined);

  #judge(key: string): void {
    const service = this.#services.get(key);
    if (service === undefined) return;
    const { uid, namespace, selector } = service;
    if (this.#isOurs(service) || [...this.#uses.of(service)].some((user) => this.#isOurs(this.#ingresses.get(user))))
      this.#selectors.set(uid, namespace, selector);
    else this.#selectors.delete(uid);
  }

  #isOurs(object: ServiceRecord | IngressRecord | undefined): boolean {
    return object !== undefined && this.#ownershipOf(object, false).kind === "ours";
  }
}
