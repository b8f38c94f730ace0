import type { KubeObject } from "./objects.ts";
import { SortedKeys } from "./sorted-keys.ts";
import { failure } from "./status.ts";

/** `plural` names the resource, e.g. "pods". `previous` is what the object was before; a DELETED carries the last content with a new version. */
export type StoreEvent = {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly plural: string;
  readonly version: number;
  readonly object: KubeObject;
  readonly previous?: KubeObject;
};

type Table = ReadonlyMap<string, KubeObject>;
const keyOf = ({ namespace = "", name }: { namespace?: string | undefined; name: string }): string => `${namespace}/${name}`;

/** Where a fresh store begins: a watch from resourceVersion 1 is too old on a real server, so here too. */
const FIRST_VERSION = 1_000;
/** Events kept for watches that resume: some minutes of the busiest test. */
const HISTORY_LIMIT = 20_000;
/** Lists that are read page by page at a time; who reads more of them has theirs made anew for each page. */
const MOST_PAGES = 8;

/** All objects, one resourceVersion counter, and the last events for watches and consistent pages. Objects in it are never changed in place. */
export class Store {
  readonly #tables = new Map<string, Map<string, KubeObject>>();
  /** A benchmark has 150 000 Pods, and lists some of them a hundred times. */
  readonly #keys = new Map<string, SortedKeys>();
  readonly #listeners = new Set<(event: StoreEvent) => void>();
  #history: StoreEvent[] = [];
  #oldest = FIRST_VERSION;
  #version = FIRST_VERSION;
  /** Pods by their node: every agent, and every watch in its place, lists those of one. */
  readonly #byNode = new Map<string, Map<string, KubeObject>>();
  /** Pods by each label, e.g. "app=web"; made when it is first asked for. */
  #byLabel: Map<string, Set<string>> | undefined;
  /** The last lists, the latest last: the pages of long ones are cut from them. */
  #pages: { readonly list: string; readonly version: number; readonly items: readonly KubeObject[] }[] = [];

  get version(): number {
    return this.#version;
  }

  #table(plural: string): Map<string, KubeObject> {
    let table = this.#tables.get(plural);
    if (table === undefined) this.#tables.set(plural, (table = new Map()));
    return table;
  }

  #keysOf(plural: string): SortedKeys {
    const known = this.#keys.get(plural) ?? new SortedKeys(() => this.#table(plural).keys());
    this.#keys.set(plural, known);
    return known;
  }

  get(plural: string, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#table(plural).get(keyOf({ namespace, name }));
  }

  /** In the order of the real server: by namespace and name. */
  list(plural: string, namespace?: string): KubeObject[] {
    return those(this.#keysOf(plural).of(namespace), this.#table(plural));
  }

  /** The Pods of one node, in the order of `list`. */
  podsOn(nodeName: string): KubeObject[] {
    const pods = this.#byNode.get(nodeName) ?? new Map<string, KubeObject>();
    return those([...pods.keys()].toSorted(), pods);
  }

  /** The Pods that have one of some labels, e.g. ["app=web", "app=api"], in the order of `list`. */
  podsWith(labels: readonly string[]): KubeObject[] {
    if (this.#byLabel === undefined) {
      this.#byLabel = new Map();
      for (const pod of this.#table("pods").values()) this.#label(undefined, pod);
    }
    const keys = new Set(labels.flatMap((label) => [...(this.#byLabel?.get(label) ?? [])]));
    return those([...keys].toSorted(), this.#table("pods"));
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
    if (previous === undefined) this.#keysOf(plural).add(keyOf(object.metadata));
    if (plural === "pods") this.#place(previous, stored);
    this.#tell({ type: previous ? "MODIFIED" : "ADDED", plural, version: this.#version, object: stored, ...(previous && { previous }) });
    return stored;
  }

  /** `silent` leaves out the DELETED event: a fault, no server does so. */
  remove(plural: string, { metadata }: KubeObject, silent = false): void {
    const previous = this.#table(plural).get(keyOf(metadata));
    if (previous === undefined) return;
    this.#table(plural).delete(keyOf(metadata));
    this.#keysOf(plural).delete(keyOf(metadata));
    if (plural === "pods") this.#place(previous, undefined);
    const object = this.#versioned(previous);
    if (!silent) this.#tell({ type: "DELETED", plural, version: this.#version, object, previous });
  }

  /** The list as it was at a version: pages of one list see one state. 410 when the history does not reach back so far. Not to be changed. */
  at(plural: string, version: number, namespace?: string): readonly KubeObject[] {
    const table = this.#table(plural);
    /** What has changed since, as it was; undefined: it was not there. */
    const former = new Map<string, KubeObject | undefined>();
    for (const { object, previous } of this.since(plural, version).toReversed()) former.set(keyOf(object.metadata), previous);
    const isInside = (key: string): boolean => namespace === undefined || key.startsWith(`${namespace}/`);
    const gone = [...former.keys()].filter((key) => !table.has(key) && isInside(key));
    const now = this.#keysOf(plural).of(namespace);
    const keys = gone.length === 0 ? now : [...now, ...gone].toSorted();
    return keys.flatMap((key) => (former.has(key) ? former.get(key) : table.get(key)) ?? []);
  }

  /** A list that was kept, e.g. of the first page, as it was at a version; `list` says of what. */
  kept(list: string, version: number): readonly KubeObject[] | undefined {
    return this.#pages.find((page) => page.list === list && page.version === version)?.items;
  }

  /** Keeps a list for its further pages. */
  keep(list: string, version: number, items: readonly KubeObject[]): void {
    const others = this.#pages.filter((page) => page.items !== items);
    this.#pages = [...others.slice(1 - MOST_PAGES), { list, version, items }];
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
    this.#pages = [];
    this.#oldest = this.#version;
  }

  subscribe(listener: (event: StoreEvent) => void): void {
    this.#listeners.add(listener);
  }

  #label(previous: KubeObject | undefined, stored: KubeObject | undefined): void {
    const byLabel = this.#byLabel;
    if (byLabel === undefined) return;
    for (const [label, key] of labelsOf(previous)) byLabel.get(label)?.delete(key);
    for (const [label, key] of labelsOf(stored)) byLabel.set(label, (byLabel.get(label) ?? new Set()).add(key));
  }

  #place(previous: KubeObject | undefined, stored: KubeObject | undefined): void {
    this.#label(previous, stored);
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

/** E.g. [["app=web", "default/web-1"]]. */
const labelsOf = (object: KubeObject | undefined): [label: string, key: string][] =>
  object === undefined
    ? []
    : Object.entries(object.metadata.labels ?? {}).map(([name, value]) => [`${name}=${value}`, keyOf(object.metadata)]);

const those = (keys: readonly string[], table: Table): KubeObject[] => keys.flatMap((key) => table.get(key) ?? []);
