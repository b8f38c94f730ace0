import { listJson, wantsWatch, watchRequest } from "./lists.ts";
import { isRaw, type KubeObject, type Raw, rawIn, secondsOf } from "./objects.ts";
import { jsonPatch, mergePatch, strategicMerge } from "./patch.ts";
import { apiVersionOf, objectJson, RESOURCES, type Resource } from "./resources.ts";
import { failure, success, wrong } from "./status.ts";
import type { Store } from "./store.ts";
import type { Tokens } from "./tokens.ts";
import { checkMicroTimes } from "./validation.ts";
import type { WatchRequest } from "./watches.ts";
import type { DeleteOptions, ObjectsWriter, WriteOptions } from "./writer.ts";

/** What a request is about, e.g. subresource "status"; `name` is "" for a collection. */
export type Target = {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly subresource: string;
};
/** `body` is what was sent, parsed; undefined where nothing was. */
export type Call = { readonly method: string; readonly query: URLSearchParams; readonly contentType: string; readonly body: unknown };
export type Answer = { readonly code: number; readonly json: string } | { readonly watch: WatchRequest };
export type RestParts = { readonly store: Store; readonly writer: ObjectsWriter; readonly tokens: Tokens; readonly nowMs: () => number };

/** Which resource a path names; undefined where no such group is served, 404 where the group has no such resource. */
export function targetOf(path: string): Target | undefined {
  const parts = path.split("/").slice(1).map(decodeURIComponent);
  const [group, version] = parts[0] === "api" ? ["", parts[1]] : parts[0] === "apis" ? [parts[1], parts[2]] : [];
  const served = RESOURCES.filter((one) => one.group === group && one.version === version);
  if (served.length === 0) return undefined;
  const place = parts.slice(group === "" ? 2 : 3);
  const inside = place[0] === "namespaces" && place.length > 2 && !(group === "" && place[2] === "status");
  const [plural, name = "", subresource = "", ...more] = inside ? place.slice(2) : place;
  const resource = served.find((one) => one.plural === plural);
  const misplaced = resource && (inside ? !resource.namespaced : resource.namespaced && name !== "");
  if (resource === undefined || misplaced || more.length > 0) throw failure.noSuchResource();
  if (subresource !== "" && !resource.subresources.includes(subresource)) throw failure.noSuchResource();
  return { resource, namespace: inside ? place[1] : undefined, name, subresource };
}

/** The verb as RBAC knows it, e.g. "list", "watch", "patch"; 405 where the resource does not have it. */
export function verbOf({ resource, namespace, name, subresource }: Target, method: string, query: URLSearchParams): string {
  const creates = ["eviction", "binding", "token"].includes(subresource);
  const verbs: Record<string, string> =
    name === ""
      ? { GET: wantsWatch(query) ? "watch" : "list", ...((namespace !== undefined || !resource.namespaced) && { POST: "create" }) }
      : creates
        ? { POST: "create" }
        : { GET: "get", PUT: "update", PATCH: "patch", ...(subresource === "" && { DELETE: "delete" }) };
  const verb = verbs[method];
  if (verb === undefined) throw failure.methodNotAllowed();
  return verb;
}

/** Carries out one request, all at once: nothing else happens between its read and its write. Throws ApiError. */
export function rest(parts: RestParts, target: Target, verb: string, call: Call): Answer {
  const { store, writer } = parts;
  const { resource, namespace, name, subresource } = target;
  if (verb === "watch") return { watch: watchRequest(resource, namespace, call.query) };
  if (verb === "list") return { code: 200, json: listJson(store, resource, namespace, call.query) };
  const options: WriteOptions = { dryRun: call.query.get("dryRun") === "All", ...(subresource === "status" && { subresource }) };
  const create = (sent: Raw): Answer => ({ code: 201, json: objectJson(resource, writer.create(resource, namespace, sent, options)) });
  if (name === "") return create(placed(bodyOf(call), target));
  const old = store.get(resource.plural, namespace, name);
  const creates = (verb === "update" && resource.putCreates) || (verb === "patch" && isApply(call));
  if (old === undefined && !creates) throw failure.notFound(resource, name);
  if (old !== undefined && verb === "get") return shown(target, old);
  if (old !== undefined && verb === "delete") return deleteOne(parts, resource, old, call);
  if (old !== undefined && verb === "create") return { code: 201, json: JSON.stringify(createSubresource(parts, target, old, call)) };
  const sent = verb === "patch" ? patched(target, old, call) : placed(bodyOf(call), target);
  const metadata = rawIn(sent, "metadata");
  if (old === undefined) {
    const why = `uid mismatch: the provided object specified uid ${JSON.stringify(metadata["uid"])}, and no existing object was found`;
    if (metadata["uid"]) throw failure.conflict(resource, name, why);
    return create(sent);
  }
  if (verb === "update") checkReplacement(resource, old, metadata);
  if (subresource !== "scale") return shown(target, writer.update(resource, old, sent, options));
  const wanted = { ...old, metadata: { ...old.metadata, resourceVersion: metadata["resourceVersion"] } };
  const { replicas = 0 } = rawIn(sent, "spec");
  return shown(target, writer.update(resource, old, { ...wanted, spec: { ...old.spec, replicas } }, options));
}

const shown = ({ resource, subresource }: Target, object: KubeObject): Answer => {
  return { code: 200, json: subresource === "scale" ? JSON.stringify(scaleOf(object)) : objectJson(resource, object) };
};

function checkReplacement(resource: Resource, old: KubeObject, { uid, resourceVersion }: Raw): void {
  const { name } = old.metadata;
  const head = `StorageError: invalid object, Code: 4, Key: ${name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed`;
  const why = `${head}: UID in precondition: ${JSON.stringify(uid)}, UID in object meta: ${old.metadata.uid}`;
  if (uid && uid !== old.metadata.uid) throw failure.conflict(resource, name, why);
  const message = "Invalid value: 0x0: must be specified for an update";
  const cause = { reason: "FieldValueInvalid", field: "metadata.resourceVersion", message };
  if (resource.needsVersion && !resourceVersion) throw failure.invalid(resource, name, [cause]);
}

function bodyOf({ contentType, body = {} }: Call): Raw {
  if (!/^(application\/(json|yaml)|)$/.test(contentType)) throw failure.unsupportedMediaType(["application/json", "application/yaml"]);
  if (!isRaw(body)) throw failure.badRequest("the body of the request must be an object");
  return body;
}

/** The object with its place filled in from the path; 400 where the two contradict each other. */
function placed(body: Raw, { resource, namespace, name, subresource }: Target): Raw {
  const { kind = resource.kind, apiVersion = apiVersionOf(resource) } = body;
  const metadata = rawIn(body, "metadata");
  const check = (fits: boolean, why: string): void => {
    if (!fits) throw failure.badRequest(why);
  };
  const fits = subresource === "scale" || (kind === resource.kind && apiVersion === apiVersionOf(resource));
  check(fits, `${JSON.stringify(apiVersion)}, Kind=${JSON.stringify(kind)} is not ${apiVersionOf(resource)}, Kind=${resource.kind}`);
  const [itsNamespace, itsName] = [metadata["namespace"] || namespace, metadata["name"] || name];
  check(itsNamespace === namespace, "the namespace of the provided object does not match the namespace sent on the request");
  check(
    name === "" || itsName === name,
    `the name of the object (${JSON.stringify(itsName)}) does not match the name on the URL (${name})`,
  );
  if (!resource.custom) checkMicroTimes(resource.kind, body);
  return { ...body, metadata: { ...metadata, ...(name !== "" && { name }), ...(namespace !== undefined && { namespace }) } };
}

const [JSON_PATCH, MERGE, STRATEGIC, APPLY] = ["json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"].map(
  (type) => `application/${type}`,
) as [string, string, string, string];
const isApply = ({ contentType }: Call): boolean => contentType === APPLY;

/** The object as the patch wants it. Server-side apply is a merge here: nothing is remembered of who owns which field. */
function patched(target: Target, old: KubeObject | undefined, call: Call): Raw {
  const { resource, name, subresource } = target;
  const { contentType, body } = call;
  const known = [JSON_PATCH, MERGE, ...(resource.custom ? [] : [STRATEGIC]), APPLY];
  if (!known.includes(contentType)) throw failure.unsupportedMediaType(known);
  const cause = wrong.required("fieldManager", "is required for apply patch");
  const unnamed = isApply(call) && !call.query.get("fieldManager");
  if (unnamed) throw failure.invalid({ group: "meta.k8s.io", plural: "", kind: "PatchOptions" }, "", [cause]);
  const whole = { kind: resource.kind, apiVersion: apiVersionOf(resource), ...old };
  const from = subresource === "scale" && old ? scaleOf(old) : whole;
  if (contentType === JSON_PATCH) return placed(asRaw(jsonPatch(from, body)), target);
  if (!isRaw(body)) throw failure.badRequest(`the patch for ${resource.plural} "${name}" must be an object`);
  const strategic = contentType === STRATEGIC || (isApply(call) && !resource.custom);
  return placed(asRaw(strategic ? strategicMerge(from, body) : mergePatch(from, body)), target);
}

function asRaw(value: unknown): Raw {
  if (!isRaw(value)) throw failure.unprocessable();
  return value;
}

function scaleOf({ metadata, spec, status }: KubeObject): Raw {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  const selector = Object.entries(spec?.selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const scale = { spec: { replicas: spec?.replicas ?? 0 }, status: { replicas: status?.replicas ?? 0, selector: selector.join(",") } };
  return { kind: "Scale", apiVersion: "autoscaling/v1", metadata: { name, namespace, uid, resourceVersion, creationTimestamp }, ...scale };
}

function deleteOne({ writer }: RestParts, resource: Resource, old: KubeObject, call: Call): Answer {
  const body: DeleteOptions & { propagationPolicy?: string } = bodyOf(call);
  const grace = call.query.get("gracePeriodSeconds");
  const policy = body.propagationPolicy ?? call.query.get("propagationPolicy") ?? "Background";
  if (policy !== "Background") throw failure.badRequest(`propagationPolicy ${policy} is not served here; use Background`);
  const dryRun = call.query.get("dryRun") === "All";
  const { object, gone } = writer.remove(resource, old, { ...(grace !== null && { gracePeriodSeconds: Number(grace) }), ...body, dryRun });
  if (!gone || resource.returnsDeleted) return { code: 200, json: objectJson(resource, object) };
  const { name, uid } = old.metadata;
  const details = { name, ...(resource.group && { group: resource.group }), kind: resource.plural, uid };
  return { code: 200, json: JSON.stringify(success(details)) };
}

function createSubresource(parts: RestParts, target: Target, old: KubeObject, call: Call): object {
  const { resource, namespace = "", name, subresource } = target;
  const body = bodyOf(call);
  if (subresource === "token") return parts.tokens.issue(namespace, name, body);
  if (subresource === "binding") return bind(parts, target, old, body);
  const options: DeleteOptions = rawIn(body, "deleteOptions");
  const lastTransitionTime = secondsOf(parts.nowMs());
  const why = { reason: "EvictionByEvictionAPI", message: "Eviction API: evicting", lastTransitionTime };
  const status = { conditions: [{ type: "DisruptionTarget", status: "True", ...why }] };
  parts.writer.remove(resource, old, { ...options, dryRun: true }); // its preconditions come before the mark
  const over = !old.spec?.nodeName || old.status?.phase === "Succeeded" || old.status?.phase === "Failed" || old.metadata.deletionTimestamp;
  const marked = over ? old : parts.writer.update(resource, old, asRaw(strategicMerge(old, { status })), { subresource: "status" });
  const { resourceVersion: _past, ...preconditions } = options.preconditions ?? {}; // held before the mark, which made a new version
  parts.writer.remove(resource, marked, { ...options, preconditions });
  return success(undefined, 201);
}

function bind({ writer, nowMs }: RestParts, { resource, name }: Target, pod: KubeObject, body: Raw): object {
  const nodeName = rawIn(body, "target")["name"];
  if (typeof nodeName !== "string") throw failure.invalid(resource, name, [wrong.required("target.name")]);
  const why = `pod ${name} is already assigned to node "${pod.spec?.nodeName}"`;
  if (pod.spec?.nodeName) throw failure.conflict({ ...resource, plural: "pods/binding" }, name, why);
  const condition = { type: "PodScheduled", status: "True", lastTransitionTime: secondsOf(nowMs()) };
  const patch = { spec: { nodeName }, status: { conditions: [condition] } };
  writer.update(resource, pod, asRaw(strategicMerge(pod, patch)), { subresource: "binding" });
  return success(undefined, 201);
}
