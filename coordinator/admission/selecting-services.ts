import type { Change } from "../../common/kubernetes/list-watch.ts";
import { type OwnershipMode, ownershipOf, type ServiceRecord } from "../domain/intent/service.ts";
import { SelectorTable } from "../state/selector-table.ts";
import type { SelectsPods } from "./review.ts";

/** The selectors of Services that are ours, on every replica: a look-up costs what a Pod has of labels. */
export class SelectingServices {
  readonly #mode: OwnershipMode;
  readonly #selectors = new SelectorTable();
  #isListed = false;

  constructor(mode: OwnershipMode) {
    this.#mode = mode;
  }

  serviceChanged({ kind, record }: Change<ServiceRecord>): void {
    const { uid, namespace, selector } = record;
    if (kind !== "removed" && ownershipOf(record, this.#mode).kind === "ours") this.#selectors.set(uid, namespace, selector);
    else this.#selectors.delete(uid);
  }

  /** All Services there are have been told. */
  servicesListed(): void {
    this.#isListed = true;
  }

  readonly selects: SelectsPods = (namespace, labels) =>
    this.#selectors.matching(namespace, labels).length > 0 || (this.#isListed ? false : undefined);
}
