import { orphanDependents } from "./collector.ts";
import { listJson, wantsWatch, watchRequest } from "./lists.ts";
import { isRaw, type KubeObject, type Raw, secondsOf } from "./objects.ts";
import type { DeleteOptions, ObjectsWriter, WriteOptions } from "./objects-writer.ts";
import { jsonPatch, mergePatch, strategicMerge } from "./patch.ts";
import { apiVersionOf, objectJson, RESOURCES, type Resource } from "./resources.ts";
import { failure, success, wrong } from "./status.ts";
import type { Store } from "./store.ts";
import { type Tokens, tokenReview } from "./tokens.ts";
import { microTimeError } from "./validation.ts";
import type { WatchRequest } from "./watches.ts";

/** What a request is about, as RBAC names it: `resource` "pods/status", `name` "" for a collection. */
export type Target = {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly subresource: string;
};
export type Call = { readonly method: string; readonly query: URLSearchParams; readonly contentType: string; readonly text: string };
export type Answer = { readonly code: number; readonly json: string } | { readonly watch: WatchRequest };
export type RestParts = { readonly store: Store; readonly writer: ObjectsWriter; readonly tokens: Tokens; readonly nowMs: () => number };

const REVIEW: Pick<Resource, "group" | "version" | "plural"> = { group: "authentication.k8s.io", version: "v1", plural: "tokenreviews" };
export const isTokenReview = (path: string): boolean => path === `/apis/${REVIEW.group}/${REVIEW.version}/${REVIEW.plural}`;

/** Which resource a path names; undefined where no such group is served, 404 where the group has no such resource. */
export function targetOf(path: string): Target | undefined {
  const parts = path.split("/").slice(1).map(decodeURIComponent);
  const [group, version] = parts[0] === "api" ? ["", parts[1]] : parts[0] === "apis" ? [parts[1], parts[2]] : [];
  const served = RESOURCES.filter((one) => one.group === group && one.version === version);
  if (served.length === 0) return undefined;
  const rest = parts.slice(group === "" ? 2 : 3);
  const inside = rest[0] === "namespaces" && rest.length > 2 && !(group === "" && rest[2] === "status");
  const [plural, name = "", subresource = "", ...more] = inside ? rest.slice(2) : rest;
  const resource = served.find((one) => one.plural === plural);
  const misplaced = resource && (inside ? !resource.namespaced : resource.namespaced && name !== "");
  if (resource === undefined || misplaced || more.length > 0) throw failure.noSuchResource();
  if (subresource !== "" && !resource.subresources.includes(subresource)) throw failure.noSuchResource();
  return { resource, namespace: inside ? rest[1] : undefined, name, subresource };
}

/** The verb as RBAC knows it, e.g. "list", "watch", "patch"; 405 where the resource does not have it. */
export function verbOf({ resource, namespace, name, subresource }: Target, { method, query }: Pick<Call, "method" | "query">): string {
  if (name === "") {
    if (method === "GET") return wantsWatch(query) ? "watch" : "list";
    if (method === "POST" && (namespace !== undefined || !resource.namespaced)) return "create";
    throw failure.methodNotAllowed();
  }
  const creates = ["eviction", "binding", "token"].includes(subresource);
  const verbs: Record<string, string> = creates
    ? { POST: "create" }
    : { GET: "get", PUT: "update", PATCH: "patch", ...(subresource === "" && { DELETE: "delete" }) };
  const verb = verbs[method];
  if (verb === undefined) throw failure.methodNotAllowed();
  return verb;
}

/** Carries out one request; throws ApiError. */
export async function rest(parts: RestParts, target: Target, verb: string, call: Call): Promise<Answer> {
  const { store, writer } = parts;
  const { resource, namespace, name, subresource } = target;
  const options = optionsOf(call.query, subresource);
  if (verb === "watch") return { watch: watchRequest(resource, namespace, call.query) };
  if (verb === "list") return { code: 200, json: listJson(store, resource, namespace, call.query) };
  if (name === "") {
    const created = writer.create(resource, namespace, await bodyOf(call, target), options);
    return { code: 201, json: objectJson(resource, created) };
  }
  const old = store.get(resource.plural, namespace, name);
  if (verb === "create") return { code: 201, json: JSON.stringify(await createSubresource(parts, target, old, call)) };
  if (old === undefined && !((verb === "update" && resource.putCreates) || (verb === "patch" && isApply(call))))
    throw failure.notFound(resource, name);
  if (verb === "delete") return deleteOne(parts, resource, old, call);
  if (verb === "get") return shown(target, old);
  const sent = verb === "patch" ? await patched(target, old, call) : await bodyOf(call, target);
  if (old === undefined) {
    if (isRaw(sent["metadata"]) && sent["metadata"]["uid"]) {
      const why = `uid mismatch: the provided object specified uid ${String(sent["metadata"]["uid"])}, and no existing object was found`;
      throw failure.conflict(resource, name, why);
    }
    return { code: 201, json: objectJson(resource, writer.create(resource, namespace, sent, options)) };
  }
  const metadata = (sent["metadata"] ?? {}) as Raw;
  if (verb === "update") checkReplacement(resource, old, metadata);
  if (subresource === "scale") return shown(target, scaled(parts, target, old, sent, options));
  return shown(target, writer.update(resource, old, sent, options));
}

const optionsOf = (query: URLSearchParams, subresource: string): WriteOptions => ({
  dryRun: query.get("dryRun") === "All",
  ...((subresource === "status" || subresource === "scale") && { subresource }),
});

const shown = ({ resource, subresource }: Target, object: KubeObject | undefined): Answer => {
  if (object === undefined) throw failure.noSuchResource();
  return { code: 200, json: subresource === "scale" ? JSON.stringify(scaleOf(object)) : objectJson(resource, object) };
};

function checkReplacement(resource: Resource, old: KubeObject, { uid, resourceVersion }: Raw): void {
  const { name } = old.metadata;
  if (typeof uid === "string" && uid !== "" && uid !== old.metadata.uid) {
    const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`;
    throw failure.conflict(
      resource,
      name,
      `StorageError: invalid object, Code: 4, Key: /registry/${resource.plural}/${name}, ResourceVersion: 0, AdditionalErrorMsg: ${why}`,
    );
  }
  if (resource.needsVersion && !resourceVersion) {
    const cause = { ...wrong.invalid("metadata.resourceVersion", 0, ""), message: "Invalid value: 0x0: must be specified for an update" };
    throw failure.invalid(resource, name, [cause]);
  }
}

async function parsed(text: string): Promise<unknown> {
  try {
    return JSON.parse(text);
  } catch {
    const { loadYaml } = await import("@kubernetes/client-node"); // half a second to load, and YAML bodies are rare
    try {
      return loadYaml(text);
    } catch (error) {
      throw failure.badRequest(`error decoding the body: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** The object in the body, with its place filled in from the path; 400 where the two contradict each other. */
const bodyOf = async (call: Call, target: Target): Promise<Raw> => placed(await decodedBody(call), target);

async function decodedBody({ contentType, text }: Call): Promise<Raw> {
  if (!/^(application\/(json|yaml)|)$/.test(contentType)) throw failure.unsupportedMediaType(["application/json", "application/yaml"]);
  const body = await parsed(text);
  if (!isRaw(body)) throw failure.badRequest("the body of the request must be an object");
  return body;
}

function placed(body: Raw, { resource, namespace, name, subresource }: Target): Raw {
  const { kind = resource.kind, apiVersion = apiVersionOf(resource) } = body;
  const metadata = isRaw(body["metadata"]) ? body["metadata"] : {};
  if (subresource !== "scale" && (kind !== resource.kind || apiVersion !== apiVersionOf(resource))) {
    const got = `${String(apiVersion)}, Kind=${String(kind)}`;
    throw failure.badRequest(
      `the object provided is unrecognized (must be of type ${resource.kind}): ${got} does not match ${apiVersionOf(resource)}`,
    );
  }
  if (metadata["namespace"] && metadata["namespace"] !== namespace) {
    throw failure.badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
  if (name !== "" && metadata["name"] && metadata["name"] !== name) {
    throw failure.badRequest(`the name of the object (${String(metadata["name"])}) does not match the name on the URL (${name})`);
  }
  const unreadable = microTimeError(resource.kind, apiVersionOf(resource), body);
  if (unreadable && !resource.custom) throw unreadable;
  return { ...body, metadata: { ...metadata, ...(name !== "" && { name }), ...(namespace !== undefined && { namespace }) } };
}

const APPLY = ["application/apply-patch+yaml", "application/apply-patch+json"];
const isApply = ({ contentType }: Call): boolean => APPLY.includes(contentType);

/** The object as the patch wants it. Server-side apply is a merge here: nothing is remembered of who owns which field. */
async function patched(target: Target, old: KubeObject | undefined, call: Call): Promise<Raw> {
  const { resource, name, subresource } = target;
  const strategic = "application/strategic-merge-patch+json";
  const known = [
    "application/json-patch+json",
    "application/merge-patch+json",
    ...(resource.custom ? [] : [strategic]),
    "application/apply-patch+yaml",
  ];
  if (!known.includes(call.contentType) && !isApply(call)) throw failure.unsupportedMediaType(known);
  if (isApply(call) && !call.query.get("fieldManager")) {
    const cause = wrong.required("fieldManager", "is required for apply patch");
    throw failure.invalid({ group: "meta.k8s.io", plural: "", kind: "PatchOptions" }, "", [cause]);
  }
  const patch = await parsed(call.text);
  const whole = { kind: resource.kind, apiVersion: apiVersionOf(resource), ...old };
  const from = subresource === "scale" && old ? scaleOf(old) : whole;
  if (call.contentType === "application/json-patch+json") return placed(asRaw(jsonPatch(from, patch)), target);
  if (!isRaw(patch)) throw failure.badRequest(`the patch for ${resource.plural} "${name}" must be an object`);
  const strategicMerges = call.contentType === strategic || (isApply(call) && !resource.custom);
  return placed(asRaw(strategicMerges ? strategicMerge(from, patch) : mergePatch(from, patch)), target);
}

function asRaw(value: unknown): Raw {
  if (!isRaw(value)) throw failure.unprocessable();
  return value;
}

function scaleOf({ metadata, spec, status }: KubeObject): Raw {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  const selector = Object.entries(spec?.selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: spec?.replicas ?? 0 },
    status: { replicas: status?.replicas ?? 0, selector: selector.join(",") },
  };
}

function scaled({ writer }: RestParts, { resource }: Target, old: KubeObject, scale: Raw, options: WriteOptions): KubeObject {
  const replicas = isRaw(scale["spec"]) ? (scale["spec"]["replicas"] ?? 0) : 0;
  const version = isRaw(scale["metadata"]) ? scale["metadata"]["resourceVersion"] : undefined;
  return writer.update(
    resource,
    old,
    { ...old, metadata: { ...old.metadata, resourceVersion: version }, spec: { ...old.spec, replicas } },
    options,
  );
}

async function deleteOne({ store, writer }: RestParts, resource: Resource, old: KubeObject | undefined, call: Call): Promise<Answer> {
  if (old === undefined) throw failure.noSuchResource();
  const body = call.text === "" ? {} : await parsed(call.text);
  const asked = (isRaw(body) ? body : {}) as DeleteOptions;
  const grace = call.query.get("gracePeriodSeconds");
  const propagationPolicy = asked.propagationPolicy ?? call.query.get("propagationPolicy");
  const dryRun = call.query.get("dryRun") === "All";
  if (propagationPolicy === "Orphan" && !dryRun) orphanDependents(store, old);
  const { object, gone } = writer.remove(resource, old, { ...(grace !== null && { gracePeriodSeconds: Number(grace) }), ...asked, dryRun });
  if (!gone || resource.returnsDeleted) return { code: 200, json: objectJson(resource, object) };
  const { name, uid } = old.metadata;
  return {
    code: 200,
    json: JSON.stringify(success({ name, ...(resource.group && { group: resource.group }), kind: resource.plural, uid })),
  };
}

async function createSubresource(parts: RestParts, target: Target, old: KubeObject | undefined, call: Call): Promise<object> {
  const { resource, namespace = "", name, subresource } = target;
  const body = call.text === "" ? {} : await decodedBody(call);
  if (subresource === "token") return parts.tokens.issue(namespace, name, body);
  if (old === undefined) throw failure.notFound(resource, name);
  if (subresource === "binding") return bind(parts, target, old, body);
  const options = (isRaw(body["deleteOptions"]) ? body["deleteOptions"] : {}) as DeleteOptions;
  const condition = { type: "DisruptionTarget", status: "True", reason: "EvictionByEvictionAPI", message: "Eviction API: evicting" };
  const disrupted = { conditions: [{ ...condition, lastTransitionTime: secondsOf(parts.nowMs()) }] };
  const over = !old.spec?.nodeName || old.status?.phase === "Succeeded" || old.status?.phase === "Failed";
  const { uid } = options.preconditions ?? {};
  const mark = !over && !old.metadata.deletionTimestamp && (uid === undefined || uid === old.metadata.uid);
  const marked = mark
    ? parts.writer.update(resource, old, asRaw(strategicMerge(old, { status: disrupted })), { subresource: "status" })
    : old;
  parts.writer.remove(resource, marked, options);
  return success(undefined, 201);
}

function bind({ writer, nowMs }: RestParts, { resource, name }: Target, pod: KubeObject, body: Raw): object {
  const nodeName = isRaw(body["target"]) ? body["target"]["name"] : undefined;
  if (typeof nodeName !== "string") throw failure.invalid(resource, name, [wrong.required("target.name")]);
  const { plural } = resource;
  if (pod.spec?.nodeName)
    throw failure.conflict(
      { ...resource, plural: `${plural}/binding` },
      name,
      `pod ${name} is already assigned to node "${pod.spec.nodeName}"`,
    );
  const condition = { type: "PodScheduled", status: "True", lastTransitionTime: secondsOf(nowMs()) };
  const patch = { spec: { nodeName }, status: { conditions: [condition] } };
  writer.update(resource, pod, asRaw(strategicMerge(pod, patch)), { subresource: "binding" });
  return success(undefined, 201);
}

/** POST of a TokenReview, the only resource that is not stored. */
export async function reviewToken(tokens: Tokens, method: string, text: string): Promise<Answer> {
  if (method !== "POST") throw failure.methodNotAllowed();
  const body = await parsed(text);
  return { code: 201, json: JSON.stringify(tokenReview(tokens, isRaw(body) ? body : {})) };
}
