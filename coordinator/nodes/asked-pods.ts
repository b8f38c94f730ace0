import type { Change } from "../../common/kubernetes/list-watch.ts";
import { FINALIZER } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { IngressUses, serviceKey } from "../state/ingress-uses.ts";
import { SelectorTable } from "../state/selector-table.ts";

type Labels = Readonly<Record<string, string>>;
/** Of a watched Service, what matters here. */
type Selecting = {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly namespace: string;
  readonly name: string;
  readonly type: string;
  readonly finalizers: readonly string[];
  readonly selector: Labels;
};

/** Which of the reported Pods matter to anybody: only those are read. */
export interface AskedPods {
  /** False: the Services have not been listed yet, so that nobody knows. */
  readonly known: boolean;
  /** A selector that selects it, of a Service that a load balancer may serve; undefined: none does. */
  selectorOf(pod: Pick<PodFact, "namespace" | "labels">): Labels | undefined;
  /** Told of a namespace in which more Pods may matter now; undefined: in all. */
  follow(listener: (namespace: string | undefined) => void): void;
}

/** The same, as the watches of Services and Ingresses fill it. */
export class ServedSelectors implements AskedPods {
  readonly #selectors = new SelectorTable();
  readonly #byUid = new Map<string, Labels>();
  readonly #uses = new IngressUses();
  /** Services that none but an Ingress may lead a load balancer to, e.g. "demo/shop". */
  readonly #others = new Map<string, Selecting>();
  readonly #followers: ((namespace: string | undefined) => void)[] = [];
  #known = false;

  get known(): boolean {
    return this.#known;
  }

  /** All Services and Ingresses have been told once. */
  listed(): void {
    this.#known = true;
    for (const listener of this.#followers) listener(undefined);
  }

  serviceChanged({ kind, record }: Change<Selecting>): void {
    const { uid, namespace, name } = record;
    const key = serviceKey(namespace, name);
    const isOwner = record.type === "LoadBalancer" || record.finalizers.includes(FINALIZER);
    if (kind === "removed" || isOwner) this.#others.delete(key);
    else this.#others.set(key, record);
    if (kind === "removed" || !(isOwner || this.#uses.of(record).size > 0)) this.#drop(uid);
    else this.#add(record);
  }

  /** Whatever the Ingress is: it may become ours. */
  ingressChanged(change: Parameters<IngressUses["changed"]>[0]): void {
    for (const key of this.#uses.changed(change)) {
      const service = this.#others.get(key);
      if (service === undefined) continue;
      if (this.#uses.of(service).size > 0) this.#add(service);
      else this.#drop(service.uid);
    }
  }

  selectorOf({ namespace, labels }: Pick<PodFact, "namespace" | "labels">): Labels | undefined {
    const uids = this.#selectors.matching(namespace, labels);
    if (uids.length > 1) uids.sort(); // always the same of several: one group waits together
    const uid = uids[0];
    return uid === undefined ? undefined : this.#byUid.get(uid);
  }

  follow(listener: (namespace: string | undefined) => void): void {
    this.#followers.push(listener);
  }

  #add({ uid, namespace, selector }: Selecting): void {
    this.#byUid.set(uid, selector);
    if (this.#selectors.set(uid, namespace, selector) && this.#known) for (const listener of this.#followers) listener(namespace);
  }

  #drop(uid: string): void {
    this.#selectors.delete(uid);
    this.#byUid.delete(uid);
  }
}
