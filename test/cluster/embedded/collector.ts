import { RESOURCES, resourceNamed } from "./resources.ts";
import type { Store } from "./store.ts";
import type { ObjectsWriter } from "./writer.ts";

/**
 * What the controller manager does after a deletion: removes dependents whose last owner is gone (background), also one that a
 * controller made before it had heard of the end, and empties terminating namespaces, Pods first. Returns a function that stops it.
 */
export function startCollector(store: Store, writer: ObjectsWriter): () => void {
  /** Owners that were deleted, and those of new objects, which may be gone already. */
  const suspects = new Set<string>();
  /** Who was ever named as an owner: nobody looks for dependents of others, and a look goes over all objects. */
  const named = new Set<string>();
  const terminating = new Set<string>();
  let scheduled: NodeJS.Immediate | undefined;
  const run = (): void => {
    scheduled = undefined;
    const owners = new Set(suspects);
    suspects.clear(); // what is removed now leaves dependents of its own
    collectDependents(store, writer, owners);
    for (const namespace of terminating) if (sweep(store, writer, namespace)) terminating.delete(namespace);
  };
  store.subscribe(({ type, plural, object }) => {
    for (const { uid } of object.metadata.ownerReferences ?? []) named.add(uid);
    if (type === "DELETED" && named.has(object.metadata.uid)) suspects.add(object.metadata.uid);
    else if (plural === "namespaces" && object.metadata.deletionTimestamp !== undefined) terminating.add(object.metadata.name);
    if (type === "ADDED") for (const { uid } of object.metadata.ownerReferences ?? []) suspects.add(uid);
    if (suspects.size > 0 || terminating.size > 0) scheduled ??= setImmediate(run);
  });
  return () => clearImmediate(scheduled);
}

function collectDependents(store: Store, writer: ObjectsWriter, suspects: ReadonlySet<string>): void {
  const all = store.all();
  const present = new Set(all.map(({ object }) => object.metadata.uid));
  for (const { plural, object } of all) {
    const { ownerReferences: owners = [] } = object.metadata;
    if (!owners.some(({ uid }) => suspects.has(uid) && !present.has(uid))) continue;
    const left = owners.filter(({ uid }) => present.has(uid));
    if (left.length === 0) writer.remove(resourceNamed(plural), object);
    else store.put(plural, { ...object, metadata: { ...object.metadata, ownerReferences: left } });
  }
}

/** One step of emptying a namespace; true when the namespace itself is gone. Nothing but Pods is touched while a Pod is there. */
function sweep(store: Store, writer: ObjectsWriter, name: string): boolean {
  const namespace = store.get("namespaces", undefined, name);
  if (namespace === undefined) return true;
  const resources = store.list("pods", name).length > 0 ? [resourceNamed("pods")] : RESOURCES.filter((one) => one.namespaced);
  const content = resources.flatMap((resource) => store.list(resource.plural, name).map((object) => ({ resource, object })));
  for (const { resource, object } of content) if (object.metadata.deletionTimestamp === undefined) writer.remove(resource, object);
  if (content.length === 0) store.remove("namespaces", namespace);
  return content.length === 0;
}
