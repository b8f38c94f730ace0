import type { Change } from "../../common/kubernetes/list-watch.ts";
import { DRAIN_MODE } from "../../common/names.ts";
import { DRAIN_WISHES, type DrainWish } from "../domain/admission/drain-mode.ts";
import type { IngressRecord } from "../domain/intent/ingress-record.ts";
import type { ServiceRecord } from "../domain/intent/service.ts";
import { IngressUses, serviceKey } from "../state/ingress-uses.ts";
import type { OwnershipOf } from "../state/object-ownership.ts";
import { SelectorTable } from "../state/selector-table.ts";
import type { Selecting, SelectsPods } from "./review.ts";

/** The selectors of Services that are ours, or that an Ingress of ours leads to, on every replica: a look-up costs what a Pod has of labels. */
export class SelectingServices {
  readonly #ownershipOf: OwnershipOf;
  readonly #selectors = new SelectorTable();
  readonly #uses = new IngressUses();
  /** By "demo/shop". */
  readonly #services = new Map<string, ServiceRecord>();
  readonly #ingresses = new Map<string, IngressRecord>();
  /** What a review goes by, by UID of the Service. */
  readonly #selecting = new Map<string, Selecting>();
  #isListed = false;

  constructor(ownershipOf: OwnershipOf) {
    this.#ownershipOf = ownershipOf;
  }

  serviceChanged({ kind, record }: Change<ServiceRecord>): void {
    const key = serviceKey(record.namespace, record.name);
    if (kind === "removed") {
      this.#services.delete(key);
      this.#forget(record.uid);
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

  readonly selects: SelectsPods = (namespace, labels) => {
    const found: Selecting[] = [];
    for (const uid of this.#selectors.matching(namespace, labels)) {
      const one = this.#selecting.get(uid);
      if (one !== undefined) found.push(one);
    }
    if (found.length > 1) found.sort((one, other) => (one.name < other.name ? -1 : 1));
    return found.length > 0 || this.#isListed ? found : undefined;
  };

  #judge(key: string): void {
    const service = this.#services.get(key);
    if (service === undefined) return;
    const { uid, namespace, name, selector, ports, annotations } = service;
    if (!this.#isOurs(service) && ![...this.#uses.of(service)].some((user) => this.#isOurs(this.#ingresses.get(user))))
      return this.#forget(uid);
    this.#selectors.set(uid, namespace, selector);
    const targetPorts = ports.map(({ targetPort }) => targetPort);
    this.#selecting.set(uid, { uid, name: `Service ${namespace}/${name}`, targetPorts, wish: wishOf(annotations[DRAIN_MODE]) });
  }

  #forget(uid: string): void {
    this.#selectors.delete(uid);
    this.#selecting.delete(uid);
  }

  #isOurs(object: ServiceRecord | IngressRecord | undefined): boolean {
    return object !== undefined && this.#ownershipOf(object, false).kind === "ours";
  }
}

/** What is none is told by the Service's own pass. */
const wishOf = (value: string | undefined): DrainWish | undefined => DRAIN_WISHES.find((one) => one === value);
