import type { KubeObject } from "./objects.ts";
import { failure } from "./status.ts";

/** `plural` names the resource, e.g. "pods". `previous` is what the object was before; a DELETED carries the last content with a new version. */
export type StoreEvent = {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly plural: string;
  readonly version: number;
  readonly object: KubeObject;
  readonly previous?: KubeObject;
};

type Table = Map<string, KubeObject>;
const keyOf = ({ namespace = "", name }: { namespace?: string | undefined; name: string }): string => `${namespace}/${name}`;

/** Where a fresh store begins: a watch from resourceVersion 1 is too old on a real server, so here too. */
const FIRST_VERSION = 1_000;
/** Events kept for watches that resume: some minutes of the busiest test. */
const HISTORY_LIMIT = 20_000;

/** All objects, one resourceVersion counter, and the last events for watches and consistent pages. Objects in it are never changed in place. */
export class Store {
  readonly #tables = new Map<string, Table>();
  readonly #listeners = new Set<(event: StoreEvent) => void>();
  #history: StoreEvent[] = [];
  #oldest = FIRST_VERSION;
  #version = FIRST_VERSION;
  /** Pods by their node: every agent, and every watch in its place, lists those of one. */
  readonly #byNode = new Map<string, Table>();
  /** The last sorted list: the pages of a long one are cut from it. */
  #page:
    | { readonly plural: string; readonly namespace: string | undefined; readonly version: number; readonly items: KubeObject[] }
    | undefined;

  get version(): number {
    return this.#version;
  }

  #table(plural: string): Table {
    let table = this.#tables.get(plural);
    if (table === undefined) this.#tables.set(plural, (table = new Map()));
    return table;
  }

  get(plural: string, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#table(plural).get(keyOf({ namespace, name }));
  }

  /** In the order of the real server: by namespace and name. */
  list(plural: string, namespace?: string): KubeObject[] {
    return sorted(this.#table(plural), namespace);
  }

  /** The Pods of one node, in the order of `list`. */
  podsOn(nodeName: string): KubeObject[] {
    return sorted(this.#byNode.get(nodeName) ?? new Map(), undefined);
  }

  /** Every object of every resource: for garbage collection. */
  all(): { plural: string; object: KubeObject }[] {
    return [...this.#tables].flatMap(([plural, table]) => [...table.values()].map((object) => ({ plural, object })));
  }

  /** Stores the object under a new resourceVersion and tells everybody. */
  put(plural: string, object: KubeObject): KubeObject {
    const table = this.#table(plural);
    const previous = table.get(keyOf(object.metadata));
    const stored = this.#versioned(object);
    table.set(keyOf(object.metadata), stored);
    if (plural === "pods") this.#place(previous, stored);
    this.#tell({ type: previous ? "MODIFIED" : "ADDED", plural, version: this.#version, object: stored, ...(previous && { previous }) });
    return stored;
  }

  /** `silent` leaves out the DELETED event: a fault, no server does so. */
  remove(plural: string, { metadata }: KubeObject, silent = false): void {
    const previous = this.#table(plural).get(keyOf(metadata));
    if (previous === undefined) return;
    this.#table(plural).delete(keyOf(metadata));
    if (plural === "pods") this.#place(previous, undefined);
    const object = this.#versioned(previous);
    if (!silent) this.#tell({ type: "DELETED", plural, version: this.#version, object, previous });
  }

  /** The list as it was at a version: pages of one list see one state. 410 when the history does not reach back so far. Not to be changed. */
  at(plural: string, version: number, namespace?: string): KubeObject[] {
    const page = this.#page;
    if (page?.plural === plural && page.namespace === namespace && page.version === version) return page.items;
    const then = new Map(this.#table(plural));
    for (const { object, previous } of this.since(plural, version).toReversed()) {
      if (previous) then.set(keyOf(previous.metadata), previous);
      else then.delete(keyOf(object.metadata));
    }
    const items = sorted(then, namespace);
    this.#page = { plural, namespace, version, items };
    return items;
  }

  /** Events after a version, oldest first; throws 410 when some of them are forgotten. */
  since(plural: string, version: number): StoreEvent[] {
    if (version < this.#oldest) throw failure.expired(`too old resource version: ${version} (${this.#oldest})`);
    const begin = this.#history.findLastIndex((event) => event.version <= version) + 1;
    return this.#history.slice(begin).filter((event) => event.plural === plural);
  }

  /** Forgets all history: a watch or a page from any earlier version is 410 from now on. Takes a version itself, as other traffic would. */
  compact(): void {
    this.#version += 1;
    this.#history = [];
    this.#page = undefined;
    this.#oldest = this.#version;
  }

  subscribe(listener: (event: StoreEvent) => void): void {
    this.#listeners.add(listener);
  }

  #place(previous: KubeObject | undefined, stored: KubeObject | undefined): void {
    if (previous?.spec?.nodeName !== undefined) this.#byNode.get(previous.spec.nodeName)?.delete(keyOf(previous.metadata));
    const node = stored?.spec?.nodeName;
    if (stored === undefined || node === undefined) return;
    const pods = this.#byNode.get(node) ?? new Map<string, KubeObject>();
    this.#byNode.set(node, pods.set(keyOf(stored.metadata), stored));
  }

  #versioned(object: KubeObject): KubeObject {
    this.#version += 1;
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
  }

  #tell(event: StoreEvent): void {
    this.#history.push(event);
    if (this.#history.length > HISTORY_LIMIT * 1.25) {
      const forgotten = this.#history.splice(0, this.#history.length - HISTORY_LIMIT);
      this.#oldest = forgotten.at(-1)?.version ?? this.#oldest;
    }
    for (const listener of this.#listeners) listener(event);
  }
}

function sorted(table: Table, namespace: string | undefined): KubeObject[] {
  const keys = [...table.keys()].filter((key) => namespace === undefined || key.startsWith(`${namespace}/`)).sort();
  return keys.flatMap((key) => table.get(key) ?? []);
}
