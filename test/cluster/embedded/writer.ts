import { randomInt, randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { fill, QUALIFIED } from "./kinds.ts";
import { cleaned, type KubeObject, type Metadata, type Raw, secondsOf } from "./objects.ts";
import { type Resource, resourceNamed } from "./resources.ts";
import { type Cause, failure, wrong } from "./status.ts";
import type { Store } from "./store.ts";

export type WriteOptions = { readonly dryRun?: boolean; readonly subresource?: "status" | "binding" };
export type DeleteOptions = {
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
};

/** What only the server writes. */
const OWN = "name namespace generateName uid creationTimestamp generation deletionTimestamp deletionGracePeriodSeconds".split(" ");

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
    if (resource.status) object.status = { ...resource.status };
    finish(resource, object, undefined);
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
    const { resourceVersion } = wanted.metadata;
    const why = "the object has been modified; please apply your changes to the latest version and try again";
    const stale = resourceVersion && resourceVersion !== old.metadata.resourceVersion;
    if (stale) throw failure.conflict(resource, old.metadata.name, why);
    const next = merged(resource, old, wanted, subresource);
    finish(resource, next, old, { uid: wanted.metadata.uid, binds: subresource === "binding" });
    const content = ({ metadata: _metadata, status: _status, ...rest }: KubeObject): object => rest;
    const changed = resource.counted && !isDeepStrictEqual(content(next), content(old));
    if (changed) next.metadata.generation = (old.metadata.generation ?? 0) + 1;
    if (dryRun || isDeepStrictEqual(next, old)) return dryRun ? next : old;
    if (!isOver(resource, next)) return this.#store.put(resource.plural, next);
    this.#store.remove(resource.plural, old);
    return next;
  }

  /** `gone` tells whether the object is removed already; otherwise grace or finalizers keep it. */
  remove(resource: Resource, object: KubeObject, options: DeleteOptions = {}): { readonly object: KubeObject; readonly gone: boolean } {
    const { plural } = resource;
    const { name, uid, resourceVersion, deletionTimestamp, generation = 0 } = object.metadata;
    const { preconditions = {}, dryRun = false, gracePeriodSeconds } = options;
    const check = (field: string, wanted: string | undefined, is: string): void => {
      const why = `Precondition failed: ${field} in precondition: ${wanted}, ${field} in object meta: ${is}`;
      if (wanted !== undefined && wanted !== is) throw failure.conflict(resource, name, why);
    };
    check("UID", preconditions.uid, uid);
    check("ResourceVersion", preconditions.resourceVersion, resourceVersion);
    const end = endOf(resource, object, gracePeriodSeconds, this.#nowMs());
    if (end === undefined) return { object, gone: false };
    const counted = resource.counted && deletionTimestamp === undefined && { generation: generation + 1 };
    const marked: KubeObject = { ...object, metadata: { ...object.metadata, ...counted, ...end } };
    if (plural === "namespaces") marked.status = { ...object.status, phase: "Terminating" };
    const gone = isOver(resource, marked);
    if (dryRun) return { object, gone };
    const stored = gone && plural !== "pods" ? object : this.#store.put(plural, marked); // only a Pod is seen with grace 0 before it goes
    if (gone) this.#store.remove(plural, stored);
    return { object: stored, gone };
  }
}

/** Whether a Pod has containers to end: a node, and no end yet. */
export const isRunning = ({ spec, status, metadata }: KubeObject): boolean =>
  Boolean(spec?.nodeName) && !metadata.deletionTimestamp && status?.phase !== "Succeeded" && status?.phase !== "Failed";

/** Deleted, and nothing keeps it: neither grace nor finalizers nor, in a namespace, its content. */
function isOver({ plural }: Resource, { metadata }: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = metadata;
  return deletionTimestamp !== undefined && deletionGracePeriodSeconds === 0 && finalizers.length === 0 && plural !== "namespaces";
}

/** Grace is for Pods; it counts from the first DELETE, and a later one can only make it shorter. undefined: nothing changes. */
function endOf(
  { plural }: Resource,
  object: KubeObject,
  asked: number | undefined,
  nowMs: number,
): Pick<Metadata, "deletionTimestamp" | "deletionGracePeriodSeconds"> | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds: before = 0 } = object.metadata;
  if (deletionTimestamp !== undefined && (asked === undefined || asked >= before)) return undefined;
  const wanted = asked ?? object.spec?.terminationGracePeriodSeconds ?? 30;
  const first = plural === "pods" && isRunning(object) ? (wanted < 0 ? 1 : wanted) : 0;
  const grace = deletionTimestamp === undefined ? first : wanted;
  const fromMs = deletionTimestamp === undefined ? nowMs : Date.parse(deletionTimestamp) - before * 1_000;
  return { deletionTimestamp: secondsOf(fromMs + grace * 1_000), deletionGracePeriodSeconds: grace };
}

/** Fills in what is missing, then refuses what is wrong (422). `uid` is the one that was sent. */
function finish(resource: Resource, next: KubeObject, old: KubeObject | undefined, sent: { uid?: string; binds?: boolean } = {}): void {
  fill(next, resource.defaults);
  resource.fit(next, old);
  const causes = [...metadataCauses(next, old), ...(sent.binds ? [] : resource.causes(next, old))];
  const other = sent.uid && sent.uid !== next.metadata.uid;
  if (other) causes.unshift(wrong.invalid("metadata.uid", sent.uid, "field is immutable"));
  if (causes.length > 0) throw failure.invalid(resource, next.metadata.name, causes);
}

const SUBDOMAIN = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** What holds for the metadata of every kind. */
function metadataCauses({ metadata: { name, finalizers = [] } }: KubeObject, old: KubeObject | undefined): Cause[] {
  const causes = SUBDOMAIN.test(name) ? [] : [wrong.invalid("metadata.name", name, "a lowercase RFC 1123 subdomain is needed")];
  const unqualified = finalizers.filter((one) => !QUALIFIED.test(one) || !one.includes("/"));
  for (const one of unqualified) causes.push(wrong.invalid("metadata.finalizers", one, "name is not fully qualified"));
  const added = finalizers.filter((one) => !old?.metadata.finalizers?.includes(one)).map((one) => JSON.stringify(one));
  if (old?.metadata.deletionTimestamp === undefined || added.length === 0) return causes;
  const why = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.join(", ")}}`;
  return [...causes, wrong.forbidden("metadata.finalizers", why)];
}

/** What an update may change of the old object: /status its status and most metadata, everything else not the status. */
function merged(resource: Resource, old: KubeObject, wanted: KubeObject, subresource: WriteOptions["subresource"]): KubeObject {
  const ofStatus = subresource === "status";
  const kept = new Set([...OWN, "resourceVersion", ...(ofStatus ? ["ownerReferences"] : [])]);
  const theirs = Object.entries(wanted.metadata).filter(([key]) => !kept.has(key));
  const ours = Object.entries(old.metadata).filter(([key]) => kept.has(key));
  const next = ofStatus ? { ...structuredClone(old), status: wanted.status ?? {} } : wanted;
  if (subresource === undefined && resource.subresources.includes("status")) {
    delete next.status;
    if (old.status !== undefined) next.status = structuredClone(old.status);
  }
  next.metadata = tidy(Object.fromEntries([...theirs, ...ours]) as Metadata);
  return next;
}

const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";
const randomSuffix = (): string => Array.from({ length: 5 }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");

/** The object without kind and apiVersion, as a copy. Nobody has looked at the types of its fields; the causes of a kind look at those we rely on. */
function decoded(resource: Resource, sent: Raw): KubeObject {
  const { kind: _kind, apiVersion: _apiVersion, ...object } = (resource.custom ? structuredClone(sent) : cleaned(sent)) as Raw;
  return { ...object, metadata: (cleaned(sent["metadata"]) ?? {}) as Metadata };
}

/** Without managedFields and empty lists and maps; changes and returns `metadata`. */
function tidy(metadata: Metadata): Metadata {
  for (const [key, value] of Object.entries(metadata)) {
    const empty = typeof value === "object" && Object.keys(value).length === 0;
    if (empty || key === "managedFields") delete (metadata as Raw)[key];
  }
  return metadata;
}
