import { listJson, wantsWatch, watchRequest } from "./lists.ts";
import { isRaw, type KubeObject, type Raw, rawIn, secondsOf } from "./objects.ts";
import { jsonPatch, mergePatch, strategicMerge } from "./patch.ts";
import { apiVersionOf, objectJson, RESOURCES, type Resource, SUBRESOURCES } from "./resources.ts";
import { failure, success, wrong } from "./status.ts";
import type { Store } from "./store.ts";
import type { Tokens } from "./tokens.ts";
import type { WatchRequest } from "./watches.ts";
import { type DeleteOptions, isRunning, type ObjectsWriter, type WriteOptions } from "./writer.ts";

/** What a request is about, e.g. subresource "status"; `name` is "" for a collection. */
export type Target = {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly subresource: Resource["subresources"][number] | undefined;
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
  const [plural, name = "", wanted, ...more] = inside ? place.slice(2) : place;
  const resource = served.find((one) => one.plural === plural);
  const subresource = resource?.subresources.find((one) => one === wanted);
  const misplaced = resource && (inside ? !resource.namespaced : resource.namespaced && name !== "");
  if (resource === undefined || misplaced || wanted !== subresource || more.length > 0) throw failure.noSuchResource();
  return { resource, namespace: inside ? place[1] : undefined, name, subresource };
}

const VERBS: Record<string, string> = { POST: "create", GET: "get", PUT: "update", PATCH: "patch", DELETE: "delete" };

/** The verb as RBAC knows it, e.g. "list", "watch", "patch"; 405 where the resource does not have it. */
export function verbOf({ resource, namespace, name, subresource }: Target, method: string, query: URLSearchParams): string {
  const ofAll = wantsWatch(query) ? "watch" : "list";
  const verb = (name === "" && method === "GET" ? ofAll : VERBS[method]) ?? "";
  const forAll = verb === "create" ? namespace !== undefined || !resource.namespaced : verb === ofAll;
  const fits = subresource
    ? SUBRESOURCES[subresource].verbs.includes(verb)
    : resource.verbs.includes(verb) && (name === "" ? forAll : verb !== "create");
  if (!fits) throw failure.methodNotAllowed();
  return verb;
}

/** Carries out one request, all at once: nothing else happens between its read and its write. Throws ApiError. */
export function rest(parts: RestParts, target: Target, verb: string, call: Call): Answer {
  const { store, writer, tokens } = parts;
  const { resource, namespace, name, subresource } = target;
  if (verb === "watch") return { watch: watchRequest(resource, namespace, call.query) };
  if (verb === "list") return { code: 200, json: listJson(store, resource, namespace, call.query) };
  if (resource.plural === "tokenreviews") return { code: 201, json: JSON.stringify(tokens.answer(bodyOf(call))) };
  if (resource.plural === "subjectaccessreviews") return { code: 201, json: JSON.stringify(accessReview(bodyOf(call))) };
  const options: WriteOptions = { dryRun: isDryRun(call), ...(subresource === "status" && { subresource }) };
  const create = (sent: Raw): Answer => ({ code: 201, json: objectJson(resource, writer.create(resource, namespace, sent, options)) });
  if (name === "") return create(placed(bodyOf(call), target));
  const old = store.get(resource.plural, namespace, name);
  const creates = (verb === "update" && resource.putCreates) || (verb === "patch" && call.contentType === APPLY);
  if (old === undefined && !creates) throw failure.notFound(resource, name);
  if (old !== undefined && verb === "get") return shown(target, old);
  if (old !== undefined && verb === "delete") return deleteOne(parts, resource, old, call);
  if (old !== undefined && verb === "create") return { code: 201, json: createSubresource(parts, target, old, bodyOf(call)) };
  const sent = verb === "patch" ? patched(target, old, call) : placed(bodyOf(call), target);
  const metadata = rawIn(sent, "metadata");
  // A PUT that creates is not held against the version that it names.
  if (old === undefined && !metadata["uid"]) return create({ ...sent, metadata: { ...metadata, resourceVersion: undefined } });
  const why = `Precondition failed: UID in precondition: ${String(metadata["uid"])}, UID in object meta: ${old?.metadata.uid ?? ""}`;
  const other = metadata["uid"] && metadata["uid"] !== old?.metadata.uid;
  if (old === undefined || (verb === "update" && other)) throw failure.conflict(resource, name, why);
  const cause = wrong.invalid("metadata.resourceVersion", 0, "must be specified for an update");
  if (verb === "update" && resource.needsVersion && !metadata["resourceVersion"]) throw failure.invalid(resource, name, [cause]);
  if (subresource !== "scale") return shown(target, writer.update(resource, old, sent, options));
  const wanted = { ...old, metadata: { ...old.metadata, resourceVersion: metadata["resourceVersion"] } };
  const { replicas = 0 } = rawIn(sent, "spec");
  return shown(target, writer.update(resource, old, { ...wanted, spec: { ...old.spec, replicas } }, options));
}

const isDryRun = ({ query }: Call): boolean => query.get("dryRun") === "All";
const shown = ({ resource, subresource }: Target, object: KubeObject): Answer => {
  return { code: 200, json: subresource === "scale" ? JSON.stringify(scaleOf(object)) : objectJson(resource, object) };
};

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
  const why = `the name of the object (${JSON.stringify(itsName)}) does not match the name on the URL (${name})`;
  check(name === "" || itsName === name, why);
  if (!resource.custom) checkMicroTimes(resource.kind, body);
  return { ...body, metadata: { ...metadata, ...(name !== "" && { name }), ...(namespace !== undefined && { namespace }) } };
}

/** metav1.MicroTime (Leases and Events) is read with exactly six digits; anything else does not decode: 400. */
function checkMicroTimes(kind: string, body: Raw): void {
  const spec = rawIn(body, "spec");
  for (const time of [spec["acquireTime"], spec["renewTime"], body["eventTime"]]) {
    if (typeof time !== "string" || /T\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/.test(time)) continue;
    const why = `parsing time "${time}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "${time.slice(19)}" as ".000000"`;
    throw failure.badRequest(`${kind} in version "v1" cannot be handled as a ${kind}: ${why}`);
  }
}

const JSON_PATCH = "application/json-patch+json";
const MERGE = "application/merge-patch+json";
const STRATEGIC = "application/strategic-merge-patch+json";
const APPLY = "application/apply-patch+yaml";
const PATCH_OPTIONS = { group: "meta.k8s.io", plural: "", kind: "PatchOptions" };

/** The object as the patch wants it. Server-side apply is a merge here: nothing is remembered of who owns which field. */
function patched(target: Target, old: KubeObject | undefined, { contentType, body, query }: Call): Raw {
  const { resource, name, subresource } = target;
  const known = [JSON_PATCH, MERGE, ...(resource.custom ? [] : [STRATEGIC]), APPLY];
  if (!known.includes(contentType)) throw failure.unsupportedMediaType(known);
  const cause = wrong.required("fieldManager", "is required for apply patch");
  if (contentType === APPLY && !query.get("fieldManager")) throw failure.invalid(PATCH_OPTIONS, "", [cause]);
  const whole = { kind: resource.kind, apiVersion: apiVersionOf(resource), ...old };
  const from = subresource === "scale" && old ? scaleOf(old) : whole;
  if (contentType === JSON_PATCH) return placed(asRaw(jsonPatch(from, body)), target);
  if (!isRaw(body)) throw failure.badRequest(`the patch for ${resource.plural} "${name}" must be an object`);
  const merge = contentType === MERGE || resource.custom ? mergePatch : strategicMerge;
  return placed(asRaw(merge(from, body)), target);
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
  const options = { ...(grace !== null && { gracePeriodSeconds: Number(grace) }), ...body, dryRun: isDryRun(call) };
  const { object, gone } = writer.remove(resource, old, options);
  if (!gone || resource.returnsDeleted) return { code: 200, json: objectJson(resource, object) };
  const { name, uid } = old.metadata;
  return { code: 200, json: success({ details: { name, group: resource.group || undefined, kind: resource.plural, uid } }) };
}

function createSubresource(parts: RestParts, target: Target, old: KubeObject, body: Raw): string {
  const { namespace = "", name, subresource } = target;
  if (subresource === "token") return JSON.stringify(parts.tokens.issue(namespace, name, body));
  if (subresource === "binding") bind(parts, target, old, body);
  else evict(parts, target.resource, old, rawIn(body, "deleteOptions"));
  return success({ code: 201 });
}

function evict({ writer, nowMs }: RestParts, resource: Resource, pod: KubeObject, options: DeleteOptions): void {
  const why = { reason: "EvictionByEvictionAPI", message: "Eviction API: evicting", lastTransitionTime: secondsOf(nowMs()) };
  const status = { conditions: [{ type: "DisruptionTarget", status: "True", ...why }] };
  writer.remove(resource, pod, { ...options, dryRun: true }); // its preconditions come before the mark
  const marked = isRunning(pod) ? writer.update(resource, pod, asRaw(strategicMerge(pod, { status })), { subresource: "status" }) : pod;
  const { resourceVersion: _past, ...preconditions } = options.preconditions ?? {}; // held before the mark, which made a new version
  writer.remove(resource, marked, { ...options, preconditions });
}

function bind({ writer, nowMs }: RestParts, { resource, name }: Target, pod: KubeObject, body: Raw): void {
  const nodeName = rawIn(body, "target")["name"];
  if (typeof nodeName !== "string") throw failure.invalid(resource, name, [wrong.required("target.name")]);
  const why = `pod ${name} is already assigned to node "${pod.spec?.nodeName}"`;
  if (pod.spec?.nodeName) throw failure.conflict({ ...resource, plural: "pods/binding" }, name, why);
  const condition = { type: "PodScheduled", status: "True", lastTransitionTime: secondsOf(nowMs()) };
  const patch = { spec: { nodeName }, status: { conditions: [condition] } };
  writer.update(resource, pod, asRaw(strategicMerge(pod, patch)), { subresource: "binding" });
}

/** Without RBAC the one right that the chart gives is known by its holder: ServiceAccount clb-direct-reader may read explanations. */
function accessReview(body: Raw): Raw {
  const spec = rawIn(body, "spec");
  const allowed = spec["user"] === "system:serviceaccount:clb-direct:clb-direct-reader";
  return {
    kind: "SubjectAccessReview",
    apiVersion: "authorization.k8s.io/v1",
    metadata: { creationTimestamp: null },
    spec,
    status: { allowed },
  };
}
