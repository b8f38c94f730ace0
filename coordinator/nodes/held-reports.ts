import { OVER } from "../../common/signals.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { makeSharing } from "./shared-values.ts";

/**
 * What one node says of a Pod that the API server was not yet asked about. `idle`: nobody needs it; `reading`: it is being asked about;
 * `refused`: the API server says otherwise.
 */
export type Held = {
  readonly node: string;
  fact: PodFact;
  state: "idle" | "reading" | "refused";
  readonly sinceMs: number;
  /** Aborts when it is no longer being read. */
  readonly settled: AbortController;
};

/** Reports that are held, by node, UID, namespace and address. */
export class HeldReports {
  readonly #byNode = new Map<string, Map<string, Held>>();
  readonly #byUid = new Map<string, Set<Held>>();
  readonly #byNamespace = new Map<string, Set<Held>>();
  readonly #byIp = new Map<string, Set<Held>>();
  readonly #share = makeSharing();
  /** UIDs that are being read, by node. */
  readonly #reading = new Map<string, Set<string>>();

  get(node: string, uid: string): Held | undefined {
    return this.#byNode.get(node)?.get(uid);
  }

  /** Of all nodes; a copy. */
  of(uid: string): readonly Held[] {
    return [...(this.#byUid.get(uid) ?? [])];
  }

  at(ip: string): readonly Held[] {
    return [...(this.#byIp.get(ip) ?? [])];
  }

  /** `namespace` undefined: all. */
  in(namespace: string | undefined): readonly Held[] {
    if (namespace !== undefined) return [...(this.#byNamespace.get(namespace) ?? [])];
    return [...this.#byNamespace.values()].flatMap((held) => [...held]);
  }

  /** How many of a node match. */
  count(node: string, matches: (held: Held) => boolean): number {
    let count = 0;
    for (const held of this.#byNode.get(node)?.values() ?? []) if (matches(held)) count += 1;
    return count;
  }

  size(node: string): number {
    return this.#byNode.get(node)?.size ?? 0;
  }

  isReading(node: string): boolean {
    return (this.#reading.get(node)?.size ?? 0) > 0;
  }

  /** What a node says of it now. */
  put(told: PodFact, nowMs: number): Held {
    const fact = this.#share(told);
    const node = fact.nodeName;
    const known = this.get(node, fact.uid);
    const held = known ?? { node, fact, state: "idle" as const, sinceMs: nowMs, settled: new AbortController() };
    if (known !== undefined) this.#unindex(known);
    held.fact = fact;
    const ofNode = this.#byNode.get(node) ?? new Map<string, Held>();
    this.#byNode.set(node, ofNode.set(fact.uid, held));
    this.#index(held);
    return held;
  }

  read(held: Held): void {
    held.state = "reading";
    addTo(this.#reading, held.node, held.fact.uid);
  }

  refuse(held: Held): void {
    held.state = "refused";
    this.#settle(held);
  }

  drop(held: Held): void {
    const ofNode = this.#byNode.get(held.node);
    if (ofNode?.get(held.fact.uid) !== held) return;
    ofNode.delete(held.fact.uid);
    if (ofNode.size === 0) this.#byNode.delete(held.node);
    this.#unindex(held);
    this.#settle(held);
  }

  #settle(held: Held): void {
    takeFrom(this.#reading, held.node, held.fact.uid);
    held.settled.abort(OVER);
  }

  #index(held: Held): void {
    const { uid, namespace, ips } = held.fact;
    addTo(this.#byUid, uid, held);
    addTo(this.#byNamespace, namespace, held);
    for (const ip of ips) addTo(this.#byIp, ip, held);
  }

  #unindex(held: Held): void {
    const { uid, namespace, ips } = held.fact;
    takeFrom(this.#byUid, uid, held);
    takeFrom(this.#byNamespace, namespace, held);
    for (const ip of ips) takeFrom(this.#byIp, ip, held);
  }
}

function addTo<T>(index: Map<string, Set<T>>, key: string, value: T): void {
  const group = index.get(key);
  if (group === undefined) index.set(key, new Set([value]));
  else group.add(value);
}

function takeFrom<T>(index: Map<string, Set<T>>, key: string, value: T): void {
  const group = index.get(key);
  group?.delete(value);
  if (group?.size === 0) index.delete(key);
}
