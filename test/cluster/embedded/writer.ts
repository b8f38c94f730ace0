import { randomInt, randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { cleaned, type KubeObject, type Metadata, type Raw, secondsOf } from "./objects.ts";
import { type Resource, resourceNamed } from "./resources.ts";
import { failure, wrong } from "./status.ts";
import type { Store } from "./store.ts";
import { metadataCauses } from "./validation.ts";

export type WriteOptions = { readonly dryRun?: boolean; readonly subresource?: "status" | "binding" };
export type DeleteOptions = {
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
};

/** What only the server writes. */
const OWN = "name namespace generateName uid creationTimestamp generation deletionTimestamp deletionGracePeriodSeconds".split(" ");
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** Creates, updates and deletes with the rules that every kind shares; throws ApiError. */
export class ObjectsWriter {
  readonly #store: Store;
  readonly #nowMs: () => number;

  constructor(store: Store, nowMs: () => number) {
    this.#store = store;
    this.#nowMs = nowMs;
  }

  create(resource: Resource, namespace: string | undefined, sent: Raw, { dryRun = false }: WriteOptions = {}): KubeObject {
    const object = decoded(resource, sent);
    const { generateName, resourceVersion } = object.metadata;
    const name = object.metadata.name || (generateName && generateName + randomSuffix());
    if (!name) throw failure.invalid(resource, "", [wrong.required("metadata.name", "name or generateName is required")]);
    if (resourceVersion) throw failure.badRequest("resourceVersion should not be set on objects to be created");
    this.#admit(resource, namespace, name, object);
    const existing = this.#store.get(resource.plural, namespace, name);
    if (existing) throw failure.alreadyExists(resource, name, existing.metadata.deletionTimestamp && "object is being deleted: ");
    for (const key of OWN) delete (object.metadata as Raw)[key];
    const place = { name, ...(generateName && { generateName }), ...(namespace !== undefined && { namespace }) };
    const birth = { uid: randomUUID(), resourceVersion: "", creationTimestamp: secondsOf(this.#nowMs()) };
    object.metadata = tidy({ ...object.metadata, ...place, ...birth, ...(resource.counted && { generation: 1 }) });
    resource.fill(object, undefined);
    const causes = [...metadataCauses(object, undefined), ...resource.causes(object, undefined)];
    if (causes.length > 0) throw failure.invalid(resource, name, causes);
    if (dryRun) return object;
    const stored = this.#store.put(resource.plural, object);
    // what the controller manager would add
    if (resource.plural === "namespaces") this.create(resourceNamed("serviceaccounts"), name, { metadata: { name: "default" } });
    return stored;
  }

  #admit(resource: Resource, namespace: string | undefined, name: string, { spec }: KubeObject): void {
    if (namespace === undefined) return;
    const home = this.#store.get("namespaces", undefined, namespace);
    if (home === undefined) throw failure.notFound(resourceNamed("namespaces"), namespace);
    if (home.metadata.deletionTimestamp !== undefined) {
      const message = `namespace ${namespace} is being terminated`;
      const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
      throw failure.forbidden(resource, name, why, [{ reason: "NamespaceTerminating", message, field: "metadata.namespace" }]);
    }
    const account = spec?.serviceAccountName ?? "default";
    if (resource.plural !== "pods" || this.#store.get("serviceaccounts", namespace, account)) return;
    const why = `error looking up service account ${namespace}/${account}: serviceaccount "${account}" not found`;
    throw failure.forbidden(resource, name, why);
  }

  /** `sent` is the whole wanted object. An update that changes nothing answers with the old object: no event, same resourceVersion. */
  update(resource: Resource, old: KubeObject, sent: Raw, { dryRun = false, subresource }: WriteOptions = {}): KubeObject {
    const wanted = decoded(resource, sent);
    const { name } = old.metadata;
    const { uid, resourceVersion } = wanted.metadata;
    if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) {
      const why = "the object has been modified; please apply your changes to the latest version and try again";
      throw failure.conflict(resource, name, why);
    }
    const next = this.#merged(resource, old, wanted, subresource);
    resource.fill(next, old);
    const causes = [...metadataCauses(next, old), ...(subresource === "binding" ? [] : resource.causes(next, old))];
    if (uid && uid !== old.metadata.uid) causes.unshift(wrong.invalid("metadata.uid", uid, "field is immutable"));
    if (causes.length > 0) throw failure.invalid(resource, name, causes);
    const { metadata: _was, status: _wasStatus, ...contentBefore } = old;
    const { metadata: _is, status: _isStatus, ...content } = next;
    if (resource.counted && !isDeepStrictEqual(content, contentBefore)) next.metadata.generation = (old.metadata.generation ?? 0) + 1;
    if (dryRun || isDeepStrictEqual(next, old)) return dryRun ? next : old;
    const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers } = next.metadata;
    const over = deletionTimestamp !== undefined && deletionGracePeriodSeconds === 0 && !finalizers?.length;
    if (!over || resource.plural === "namespaces") return this.#store.put(resource.plural, next);
    this.#store.remove(resource.plural, old);
    return next;
  }

  #merged(resource: Resource, old: KubeObject, wanted: KubeObject, subresource: WriteOptions["subresource"]): KubeObject {
    const metadata: Raw = { ...wanted.metadata, resourceVersion: old.metadata.resourceVersion };
    const keep = (key: string, from: Raw): void => {
      if (from[key] === undefined) delete metadata[key];
      else metadata[key] = from[key];
    };
    for (const key of OWN) keep(key, old.metadata);
    if (subresource === "status") for (const key of resource.statusKeeps) keep(key, old.metadata);
    const next = subresource === "status" ? { ...structuredClone(old), status: wanted.status ?? {} } : wanted;
    if (subresource === undefined && resource.subresources.includes("status")) {
      delete next.status;
      if (old.status !== undefined) next.status = structuredClone(old.status);
    }
    next.metadata = tidy(metadata as Metadata);
    return next;
  }

  /** `gone` tells whether the object is removed already; otherwise grace or finalizers keep it. */
  remove(resource: Resource, object: KubeObject, options: DeleteOptions = {}): { readonly object: KubeObject; readonly gone: boolean } {
    const { name, uid, resourceVersion } = object.metadata;
    const { preconditions = {}, dryRun = false } = options;
    const check = (field: string, wanted: string | undefined, is: string): void => {
      const why = `Precondition failed: ${field} in precondition: ${wanted}, ${field} in object meta: ${is}`;
      if (wanted !== undefined && wanted !== is) throw failure.conflict(resource, name, why);
    };
    check("UID", preconditions.uid, uid);
    check("ResourceVersion", preconditions.resourceVersion, resourceVersion);
    const end = this.#end(resource, object, options.gracePeriodSeconds);
    const gone = resource.plural !== "namespaces" && end?.deletionGracePeriodSeconds === 0 && !object.metadata.finalizers?.length;
    if (dryRun) return { object, gone };
    const marked = end && this.#mark(resource, object, end, gone);
    if (gone) this.#store.remove(resource.plural, object);
    return { object: marked ?? object, gone };
  }

  #mark(resource: Resource, object: KubeObject, end: End, gone: boolean): KubeObject | undefined {
    if (gone && resource.plural !== "pods") return undefined; // only a Pod is seen with grace 0 before it goes
    const count = resource.counted &&
      object.metadata.deletionTimestamp === undefined && { generation: (object.metadata.generation ?? 0) + 1 };
    const marked: KubeObject = { ...object, metadata: { ...object.metadata, ...count, ...end } };
    if (resource.plural === "namespaces") marked.status = { ...object.status, phase: "Terminating" };
    return this.#store.put(resource.plural, marked);
  }

  #at(grace: number): End {
    return { deletionTimestamp: secondsOf(this.#nowMs() + grace * 1_000), deletionGracePeriodSeconds: grace };
  }

  /** Grace is for Pods; it counts from the first DELETE, and a later one can only make it shorter. undefined: nothing changes. */
  #end({ plural }: Resource, { metadata, spec, status }: KubeObject, asked: number | undefined): End | undefined {
    const { deletionTimestamp, deletionGracePeriodSeconds: before = 0 } = metadata;
    if (deletionTimestamp === undefined) {
      const waits = plural === "pods" && spec?.nodeName && status?.phase !== "Succeeded" && status?.phase !== "Failed";
      const grace = waits ? (asked ?? spec.terminationGracePeriodSeconds ?? 30) : 0;
      return this.#at(grace < 0 ? 1 : grace);
    }
    if (asked === undefined || asked >= before) return undefined;
    return { deletionTimestamp: secondsOf(Date.parse(deletionTimestamp) + (asked - before) * 1_000), deletionGracePeriodSeconds: asked };
  }
}

const randomSuffix = (): string => Array.from({ length: 5 }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");

type End = { readonly deletionTimestamp: string; readonly deletionGracePeriodSeconds: number };

/** The object without kind and apiVersion, as a copy. Nobody has looked at the types of its fields; the causes of a kind look at those we rely on. */
function decoded(resource: Resource, sent: Raw): KubeObject {
  const { kind: _kind, apiVersion: _apiVersion, ...object } = (resource.custom ? structuredClone(sent) : cleaned(sent)) as Raw;
  return { ...object, metadata: (cleaned(sent["metadata"]) ?? {}) as Metadata };
}

function tidy(metadata: Metadata): Metadata {
  const { labels, annotations, finalizers, ownerReferences } = metadata;
  if (labels && Object.keys(labels).length === 0) delete metadata.labels;
  if (annotations && Object.keys(annotations).length === 0) delete metadata.annotations;
  if (finalizers?.length === 0) delete metadata.finalizers;
  if (ownerReferences?.length === 0) delete metadata.ownerReferences;
  delete (metadata as Raw)["managedFields"];
  return metadata;
}
