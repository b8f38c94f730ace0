import { member } from "./json-member.ts";

/** The least that a record carries; the rest is what `decode` keeps of an object. */
export type Watched = { readonly uid: string; readonly resourceVersion: string };

/**
 * `evidence`: "deleted" is a DELETED event (an object that leaves a label selector looks the same), "absent" is missing in a complete, consistent list.
 * A `removed` record is the final state where the server told it.
 */
export type Change<R> =
  | { readonly kind: "added" | "changed"; readonly record: R }
  | { readonly kind: "removed"; readonly record: R; readonly evidence: "deleted" | "absent" };

/** A complete list before it is believed: by UID, the object's name and what was understood of it. */
export type Listed<R> = Map<string, { readonly name: string; readonly record: R | undefined }>;

export interface WatchedStore<R> {
  readonly records: ReadonlyMap<string, R>;
  /** Adds one page to a list that is being read. Throws on what is no API object: skipping it would make its record look absent. */
  stage(listed: Listed<R>, items: readonly unknown[]): void;
  /** True if believing it would remove more than half of the records. */
  isDoubtful(listed: Listed<R>): boolean;
  /** Believes the list: removals first, so that a replaced object never shows twice under its name. */
  accept(listed: Listed<R>): readonly Change<R>[];
  /** Folds one event in; none, one, or two changes (replaced under the same name). */
  fold(type: "ADDED" | "MODIFIED" | "DELETED", object: unknown): readonly Change<R>[];
}

/** Slim records by UID. `decode` gives undefined for what it does not understand: the last good record stays, since nothing is removed for want of knowledge. */
export function makeWatchedStore<R extends Watched>(decode: (raw: unknown) => R | undefined): WatchedStore<R> {
  const records = new Map<string, R>();
  let uidByName = new Map<string, string>();

  function remove(uid: string, evidence: "deleted" | "absent", final?: R): Change<R>[] {
    const last = records.get(uid);
    if (last === undefined) return [];
    records.delete(uid);
    return [{ kind: "removed", record: final ?? last, evidence }];
  }
  function put(record: R): Change<R>[] {
    const before = records.get(record.uid);
    if (before?.resourceVersion === record.resourceVersion) return [];
    records.set(record.uid, record);
    return [{ kind: before === undefined ? "added" : "changed", record }];
  }

  return {
    records,
    stage: (listed, items) => {
      for (const raw of items) {
        const identity = identityOf(raw);
        if (identity === undefined)
          throw new Error("a listed object has no metadata.uid, name or resourceVersion: the list proves nothing");
        const known = records.get(identity.uid);
        listed.set(identity.uid, {
          name: identity.name,
          record: known?.resourceVersion === identity.resourceVersion ? known : decode(raw),
        });
      }
    },
    isDoubtful: (listed) => {
      const absent = [...records.keys()].filter((uid) => !listed.has(uid)).length;
      return absent * 2 > records.size;
    },
    accept: (listed) => {
      uidByName = new Map([...listed].map(([uid, { name }]) => [name, uid]));
      const absent = [...records.keys()].filter((uid) => !listed.has(uid));
      return [
        ...absent.flatMap((uid) => remove(uid, "absent")),
        ...[...listed.values()].flatMap(({ record }) => (record === undefined ? [] : put(record))),
      ];
    },
    fold: (type, object) => {
      const identity = identityOf(object);
      if (identity === undefined) return [];
      const { uid, name, resourceVersion } = identity;
      const holder = uidByName.get(name) ?? uid;
      const newest = records.get(uid) ?? records.get(holder);
      if (newest !== undefined && isOlder(resourceVersion, newest.resourceVersion)) return []; // told again, out of order
      const record = decode(object);
      if (type === "DELETED") {
        if (holder === uid) uidByName.delete(name);
        return remove(uid, "deleted", record);
      }
      uidByName.set(name, uid);
      const replaced = holder === uid ? [] : remove(holder, "absent"); // a name has one object: its DELETED was missed
      return record === undefined ? replaced : [...replaced, ...put(record)];
    },
  };
}

/** resourceVersions of one resource are decimal and grow (Kubernetes API concepts, "Resource versions"); others are never older. */
export function isOlder(one: string, other: string): boolean {
  if (!/^\d+$/.test(one) || !/^\d+$/.test(other)) return false;
  return one.length === other.length ? one < other : one.length < other.length;
}

/** UID and "namespace/name" of any API object; undefined where it is none. */
export function identityOf(raw: unknown): { uid: string; name: string; resourceVersion: string } | undefined {
  const metadata = member(raw, "metadata");
  const [uid, name, namespace, resourceVersion] = ["uid", "name", "namespace", "resourceVersion"].map((key) => member(metadata, key));
  if (typeof uid !== "string" || typeof name !== "string" || typeof resourceVersion !== "string") return undefined;
  return { uid, name: typeof namespace === "string" ? `${namespace}/${name}` : name, resourceVersion };
}
