import { isRaw, type KubeObject } from "./objects.ts";
import { apiVersionOf, itemJson, objectJson, type Resource } from "./resources.ts";
import { failure, wrong } from "./status.ts";
import type { Store } from "./store.ts";
import type { WatchRequest } from "./watches.ts";

const isTrue = (value: string | null): boolean => value === "true" || value === "1";
export const wantsWatch = (query: URLSearchParams): boolean => isTrue(query.get("watch"));

type Matches = WatchRequest["matches"];

function requirement(text: string): (labels: Record<string, string>) => boolean {
  const set = /^([^\s=!,()]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(text);
  if (set) {
    const [, key = "", operator, list = ""] = set;
    const values = new Set(list.split(",").map((value) => value.trim()));
    return (labels) => values.has(labels[key] ?? "") === (operator === "in") && (operator === "notin" || key in labels);
  }
  const equality = /^([^\s=!,()]+)\s*(==|=|!=)\s*([^\s=!,()]*)$/.exec(text);
  if (equality) {
    const [, key = "", operator, value] = equality;
    return (labels) => (labels[key] === value) === (operator !== "!=");
  }
  const [, not, key = ""] = /^(!?)\s*([^\s=!,()]+)$/.exec(text) ?? [];
  if (not === undefined) throw failure.badRequest(`unable to parse requirement: ${text}`);
  return (labels) => key in labels === (not === "");
}

/** Equality, set-based and existence requirements, e.g. "app=web,tier in (a, b),!legacy". */
function labelSelector(text: string): Matches {
  const parts = text.split(/,(?![^(]*\))/).map((part) => part.trim());
  const all = text.trim() === "" ? [] : parts.map(requirement);
  return ({ metadata }) => all.every((fits) => fits(metadata.labels ?? {}));
}

/** "spec.nodeName=node-a,metadata.name!=x". Fields that the resource does not offer are 400, as on the real server. */
function fieldSelector(resource: Resource, text: string): Matches {
  const all = text
    .split(",")
    .filter(Boolean)
    .map((part) => {
      const [, field = "", operator, value] = /^([^=!]+)(==|=|!=)(.*)$/.exec(part) ?? [];
      if (operator === undefined) throw failure.badRequest(`invalid selector: '${part}'; can't understand '${part}'`);
      if (!["metadata.name", "metadata.namespace", ...resource.fields].includes(field)) {
        const what = `Unable to find "${resource.group}/${resource.version}, Resource=${resource.plural}" that match label selector ""`;
        throw failure.badRequest(`${what}, field selector "${text}": field label not supported: ${field}`);
      }
      const path = field.split(".");
      const read = (object: KubeObject): unknown => path.reduce<unknown>((at, key) => (isRaw(at) ? at[key] : undefined), object);
      return (object: KubeObject) => ((read(object) ?? "") === value) === (operator !== "!=");
    });
  return (object) => all.every((fits) => fits(object));
}

/** The node that a field selector asks for, e.g. "node-a" of "spec.nodeName=node-a": its Pods are found without a look at all others. */
const onlyNode = (query: URLSearchParams): string | undefined => /^spec\.nodeName==?([^,]+)$/.exec(query.get("fieldSelector") ?? "")?.[1];

/** A label that a selector asks for, e.g. "app=web" of "tier in (a, b),app=web": the same. */
const oneLabel = (query: URLSearchParams): string | undefined => {
  const parts = (query.get("labelSelector") ?? "").split(/,(?![^(]*\))/).map((part) => part.trim());
  const [, name, value] = parts.map((part) => /^([^\s=!,()]+)\s*==?\s*([^\s=!,()]+)$/.exec(part)).find((found) => found !== null) ?? [];
  return name === undefined ? undefined : `${name}=${value}`;
};

function selection(resource: Resource, query: URLSearchParams): Matches {
  const byLabel = labelSelector(query.get("labelSelector") ?? "");
  const byField = fieldSelector(resource, query.get("fieldSelector") ?? "");
  return (object) => byLabel(object) && byField(object);
}

/** The resourceVersion that was asked for, 0 without one; refuses what cannot be asked (ValidateListOptions of apimachinery), and "Exact". */
function versionOf(query: URLSearchParams): number {
  const asked = query.get("resourceVersion") ?? "";
  if (!/^\d*$/.test(asked)) throw failure.badRequest(`resourceVersion: Invalid value: "${asked}": invalid syntax`);
  const match = query.get("resourceVersionMatch") ?? "";
  const initial = query.has("sendInitialEvents");
  const fits = initial ? wantsWatch(query) && match === "NotOlderThan" : match === "" || (match === "NotOlderThan" && !wantsWatch(query));
  const cause = wrong.forbidden("resourceVersionMatch", "only NotOlderThan is served, for lists and for watches with sendInitialEvents");
  if (!fits) throw failure.invalid({ group: "meta.k8s.io", plural: "", kind: "ListOptions" }, "", [cause]);
  return Number(asked);
}

/** The watch that a query asks for; throws ApiError. */
export function watchRequest(resource: Resource, namespace: string | undefined, query: URLSearchParams): WatchRequest {
  const version = versionOf(query);
  const initialEvents = isTrue(query.get("sendInitialEvents"));
  return {
    resource,
    namespace,
    initialEvents,
    bookmarks: isTrue(query.get("allowWatchBookmarks")),
    matches: selection(resource, query),
    since: version === 0 || initialEvents ? undefined : version,
    timeoutSeconds: Number(query.get("timeoutSeconds") ?? 0) || 1_800 + Math.random() * 1_800, // the real server: 30 to 60 minutes
  };
}

/** The list answer as JSON text; pages of one list come from one state: a continue token is "<version>.<items seen>". */
export function listJson(store: Store, resource: Resource, namespace: string | undefined, query: URLSearchParams): string {
  const version = versionOf(query);
  if (version > store.version) throw failure.tooLarge(version, store.version);
  const token = query.get("continue") ?? "";
  if (!/^(\d+\.\d+)?$/.test(token)) throw failure.badRequest("continue key is not valid");
  if (token && version > 0) throw failure.badRequest("specifying resource version is not allowed when using continue");
  const [at = store.version, seen = 0] = token ? token.split(".").map(Number) : [];
  const isFirstOfPods = resource.plural === "pods" && !token;
  const nodeName = isFirstOfPods ? onlyNode(query) : undefined;
  const label = isFirstOfPods ? oneLabel(query) : undefined;
  const some = nodeName !== undefined ? store.podsOn(nodeName) : label !== undefined ? store.podsWith(label) : undefined;
  const all = some ?? store.at(resource.plural, at, namespace);
  const inside = ({ metadata }: KubeObject): boolean => namespace === undefined || metadata.namespace === namespace;
  const fits = selection(resource, query);
  const rest = all.filter((object) => inside(object) && fits(object)).slice(seen);
  const limit = query.get("resourceVersion") === "0" ? 0 : Number(query.get("limit") ?? 0); // the watch cache answers "0" and knows no pages
  const items = limit > 0 ? rest.slice(0, limit) : rest;
  const left = rest.length - items.length;
  const counted = left > 0 && !query.get("labelSelector") && !query.get("fieldSelector") && { remainingItemCount: left };
  return listOf(resource, items, { resourceVersion: `${at}`, ...(left > 0 && { continue: `${at}.${seen + items.length}` }), ...counted });
}

/** Items of built-in kinds carry neither kind nor apiVersion. */
export function listOf(resource: Resource, objects: readonly KubeObject[], metadata: object): string {
  const items = objects.map((object) => (resource.custom ? objectJson(resource, object) : itemJson(object)));
  const head = `{"kind":"${resource.kind}List","apiVersion":"${apiVersionOf(resource)}"`;
  return `${head},"metadata":${JSON.stringify(metadata)},"items":[${items.join(",")}]}`;
}
