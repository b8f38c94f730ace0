import { MultiMap } from "../../common/multi-map.ts";
import { OVER } from "../../common/signals.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { sizeOf } from "./report-fault.ts";
import { makeSharing } from "./shared-values.ts";

/**
 * What one node says of a Pod that the API server was not yet asked about. `idle`: nobody needs it; `reading`: it is being asked about;
 * `refused`: the API server says otherwise.
 */
export class Held {
  readonly node: string;
  fact: PodFact;
  /** As `sizeOf` counts it. */
  characters: number;
  state: "idle" | "reading" | "refused" = "idle";
  readonly sinceMs: number;
  /** Made for who waits for it: most Pods are nobody's business. */
  #settled: AbortController | undefined;
  #isSettled = false;

  constructor(node: string, fact: PodFact, sinceMs: number) {
    this.node = node;
    this.fact = fact;
    this.characters = 0;
    this.sinceMs = sinceMs;
  }

  /** Aborts when it is no longer being read. */
  get settled(): AbortSignal {
    this.#settled ??= new AbortController();
    if (this.#isSettled) this.#settled.abort(OVER);
    return this.#settled.signal;
  }

  settle(): void {
    this.#isSettled = true;
    this.#settled?.abort(OVER);
  }
}

/** Reports that are held, by node, UID, namespace and address. */
export class HeldReports {
  readonly #byNode = new Map<string, Map<string, Held>>();
  /** Sum of what a node's are large. */
  readonly #characters = new Map<string, number>();
  readonly #byUid = new MultiMap<string, Held>();
  readonly #byNamespace = new Map<string, Set<Held>>();
  readonly #byIp = new MultiMap<string, Held>();
  readonly #share = makeSharing();
  /** UIDs that are being read, by node. */
  readonly #reading = new Map<string, Set<string>>();

  get(node: string, uid: string): Held | undefined {
    return this.#byNode.get(node)?.get(uid);
  }

  /** Of all nodes; a copy. */
  of(uid: string): readonly Held[] {
    return this.#byUid.of(uid);
  }

  at(ip: string): readonly Held[] {
    return this.#byIp.of(ip);
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

  /** How large a node's are together, as `sizeOf` counts it. */
  characters(node: string): number {
    return this.#characters.get(node) ?? 0;
  }

  isReading(node: string): boolean {
    return (this.#reading.get(node)?.size ?? 0) > 0;
  }

  /** What a node says of it now. */
  put(told: PodFact, nowMs: number, characters = sizeOf(told)): Held {
    const fact = this.#share(told);
    const node = fact.nodeName;
    const known = this.get(node, fact.uid);
    const held = known ?? new Held(node, fact, nowMs);
    if (known !== undefined) this.#unindex(known);
    held.fact = fact;
    this.#resize(held, characters);
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
    this.#resize(held, 0);
    if (ofNode.size === 0) {
      this.#byNode.delete(held.node);
      this.#characters.delete(held.node);
    }
    this.#unindex(held);
    this.#settle(held);
  }

  #resize(held: Held, characters: number): void {
    this.#characters.set(held.node, this.characters(held.node) + characters - held.characters);
    held.characters = characters;
  }

  #settle(held: Held): void {
    takeFrom(this.#reading, held.node, held.fact.uid);
    held.settle();
  }

  #index(held: Held): void {
    const { uid, namespace, ips } = held.fact;
    this.#byUid.add(uid, held);
    addTo(this.#byNamespace, namespace, held);
    for (const ip of ips) this.#byIp.add(ip, held);
  }

  #unindex(held: Held): void {
    const { uid, namespace, ips } = held.fact;
    this.#byUid.delete(uid, held);
    takeFrom(this.#byNamespace, namespace, held);
    for (const ip of ips) this.#byIp.delete(ip, held);
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
