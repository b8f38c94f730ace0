import { isDeepStrictEqual } from "node:util";
import type { PodEnd, PodFact } from "../../common/vocabulary.ts";
import { type EndpointSlice, endpointsOf, type StrangeEndpoint, strangeEndpoints, withEndpoints } from "../domain/intent/endpoints.ts";
import type { OwnerObject } from "../domain/intent/owner-object.ts";
import { hasSelector } from "../domain/intent/service.ts";
import type { EndpointSlices } from "./endpoint-slices.ts";
import type { FormerPod, NodeState, PodChange, PodFacts } from "./pod-facts.ts";
import type { PodIndex } from "./pod-index.ts";

type Listener = (change: PodChange) => void;

/**
 * The same facts, and of each Pod what EndpointSlices of Services without a selector say of its addresses. Where there is no such slice it
 * costs nothing: the facts are passed on as they are.
 */
export class EndpointFacts implements PodFacts {
  readonly pods: ReadonlyMap<string, PodFact>;
  readonly #facts: PodFacts;
  /** Pods that a slice names, as they are told here; by UID. */
  readonly #named = new Map<string, PodFact>();
  /** Slices by "demo 10.0.0.7". */
  readonly #slices = new Map<string, Set<EndpointSlice>>();
  readonly #listeners = new Set<Listener>();
  readonly #over = new AbortController();
  readonly #unsubscribe: readonly (() => void)[];

  constructor(facts: PodFacts, endpointSlices: Pick<EndpointSlices, "all" | "follow">) {
    this.#facts = facts;
    this.pods = overlaid(facts.pods, this.#named);
    for (const slice of endpointSlices.all) this.#sliceChanged(undefined, slice);
    this.#unsubscribe = [
      facts.subscribe((change) => this.#podChanged(change)),
      endpointSlices.follow((before, after) => this.#sliceChanged(before, after)),
    ];
  }

  endOf(uid: string): PodEnd | undefined {
    return this.#facts.endOf(uid);
  }

  formerAt(ip: string): FormerPod | undefined {
    return this.#facts.formerAt(ip);
  }

  get complete(): boolean {
    return this.#facts.complete;
  }

  confirm(names: readonly string[], signal: AbortSignal): Promise<void> {
    return this.#facts.confirm(names, signal);
  }

  learn(pod: PodFact): void {
    this.#facts.learn(pod);
  }

  nodes(): readonly NodeState[] {
    return this.#facts.nodes();
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Follows facts and slices no longer. */
  close(): void {
    this.#over.abort();
    for (const end of this.#unsubscribe) end();
  }

  #podChanged(change: PodChange): void {
    const uid = change.before?.uid ?? change.after?.uid ?? "";
    const before = this.#named.get(uid) ?? change.before;
    const after = change.after && this.#take(change.after);
    if (after === undefined) this.#named.delete(uid);
    this.#tell(before === change.before && after === change.after ? change : { before, after, end: change.end });
  }

  /** The Pod as it is told here. */
  #take(pod: PodFact): PodFact {
    const told = this.#slices.size === 0 ? pod : withEndpoints(pod, endpointsOf(pod, this.#slicesOf(pod)));
    if (told === pod) this.#named.delete(pod.uid);
    else this.#named.set(pod.uid, told);
    return told;
  }

  #slicesOf({ namespace, ips }: PodFact): EndpointSlice[] {
    const all = new Set(ips.flatMap((ip) => [...(this.#slices.get(addressKey(namespace, ip)) ?? [])]));
    return [...all].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #sliceChanged(before: EndpointSlice | undefined, after: EndpointSlice | undefined): void {
    const concerned = new Set<string>();
    for (const slice of before === undefined ? [] : [before])
      for (const key of addressesOf(slice)) {
        concerned.add(key);
        const there = this.#slices.get(key);
        there?.delete(slice);
        if (there?.size === 0) this.#slices.delete(key);
      }
    for (const slice of after === undefined ? [] : [after])
      for (const key of addressesOf(slice)) {
        concerned.add(key);
        this.#slices.set(key, (this.#slices.get(key) ?? new Set()).add(slice));
      }
    for (const pod of this.#facts.pods.values()) {
      if (!pod.ips.some((ip) => concerned.has(addressKey(pod.namespace, ip)))) continue;
      const was = this.#named.get(pod.uid) ?? pod;
      const is = this.#take(pod);
      if (!isDeepStrictEqual(was, is)) this.#tell({ before: was, after: is, end: undefined });
    }
    // Whom agents have reported and nobody needed is read now, and whenever one of these is reported.
    const ips = (after?.endpoints ?? []).flatMap(({ addresses }) => addresses);
    if (ips.length > 0) void this.#facts.confirm(ips, this.#over.signal).catch(() => undefined); // rejects with the signal's reason only
  }

  #tell(change: PodChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

/** Addresses in the EndpointSlices of a Service that are bound nowhere; none where it has a selector, or while not all Pods are known. */
export function strangeEndpointsOf(
  service: OwnerObject | undefined,
  endpointSlices: Pick<EndpointSlices, "of">,
  { pods, facts }: { readonly pods: Pick<PodIndex, "byIp">; readonly facts: Pick<PodFacts, "complete"> },
): readonly StrangeEndpoint[] {
  if (service === undefined || "kind" in service || hasSelector(service) || !facts.complete) return [];
  return strangeEndpoints(endpointSlices.of(service.namespace, service.name) ?? [], (ip) => pods.byIp(ip));
}

const addressesOf = ({ namespace, endpoints }: EndpointSlice): string[] =>
  endpoints.flatMap(({ addresses }) => addresses.map((ip) => addressKey(namespace, ip)));
const addressKey = (namespace: string, ip: string): string => `${namespace} ${ip}`;

/** A view of a map in which some values are others. */
function overlaid<V>(base: ReadonlyMap<string, V>, others: ReadonlyMap<string, V>): ReadonlyMap<string, V> {
  function* entries(): MapIterator<[string, V]> {
    for (const [key, value] of base) yield [key, others.get(key) ?? value];
    return undefined;
  }
  function* values(): MapIterator<V> {
    for (const [, value] of entries()) yield value;
    return undefined;
  }
  return {
    get: (key) => (others.size === 0 ? undefined : others.get(key)) ?? base.get(key), // asked for each target of each plan
    has: (key) => base.has(key),
    get size() {
      return base.size;
    },
    keys: () => base.keys(),
    values: () => (others.size === 0 ? base.values() : values()),
    entries: () => (others.size === 0 ? base.entries() : entries()),
    forEach: (callback) => {
      for (const [key, value] of entries()) callback(value, key, base);
    },
    [Symbol.iterator]: () => (others.size === 0 ? base[Symbol.iterator]() : entries()),
  };
}
