import { isRaw, type KubeObject } from "./objects.ts";
import { apiVersionOf, itemJson, objectJson, type Resource } from "./resources.ts";
import { failure, wrong } from "./status.ts";
import type { Store } from "./store.ts";
import type { WatchRequest } from "./watches.ts";

const isTrue = (value: string | null): boolean => value === "true" || value === "1";
export const wantsWatch = (query: URLSearchParams): boolean => isTrue(query.get("watch"));

type Matches = WatchRequest["matches"];

/** One part of a label selector: `oneOf` are the labels of which an object has to have one, e.g. ["app=web"]; undefined where it names none. */
type Requirement = { readonly fits: (labels: Record<string, string>) => boolean; readonly oneOf?: readonly string[] };

function requirement(text: string): Requirement {
  const set = /^([^\s=!,()]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(text);
  if (set) {
    const [, key = "", operator, list = ""] = set;
    const values = new Set(list.split(",").map((value) => value.trim()));
    if (operator === "notin") return { fits: (labels) => !values.has(labels[key] ?? "") };
    return { fits: (labels) => key in labels && values.has(labels[key] ?? ""), oneOf: [...values].map((value) => `${key}=${value}`) };
  }
  const equality = /^([^\s=!,()]+)\s*(==|=|!=)\s*([^\s=!,()]*)$/.exec(text);
  if (equality) {
    const [, key = "", operator, value] = equality;
    if (operator === "!=") return { fits: (labels) => labels[key] !== value };
    return { fits: (labels) => labels[key] === value, oneOf: [`${key}=${value}`] };
  }
  const [, not, key = ""] = /^(!?)\s*([^\s=!,()]+)$/.exec(text) ?? [];
  if (not === undefined) throw failure.badRequest(`unable to parse requirement: ${text}`);
  return { fits: (labels) => key in labels === (not === "") };
}

/** Equality, set-based and existence requirements, e.g. "app=web,tier in (a, b),!legacy". */
const labelSelector = (text: string): readonly Requirement[] =>
  text.trim() === "" ? [] : text.split(/,(?![^(]*\))/).map((part) => requirement(part.trim()));

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

/** `oneOf` as of a requirement: the objects that have one of these labels are all that may fit. */
function selection(resource: Resource, query: URLSearchParams): { readonly fits: Matches; readonly oneOf: readonly string[] | undefined } {
  const byLabel = labelSelector(query.get("labelSelector") ?? "");
  const byField = fieldSelector(resource, query.get("fieldSelector") ?? "");
  return {
    fits: (object) => byLabel.every(({ fits }) => fits(object.metadata.labels ?? {})) && byField(object),
    oneOf: byLabel.find(({ oneOf }) => oneOf !== undefined)?.oneOf,
  };
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
    matches: selection(resource, query).fits,
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
  /** Of what; its pages are cut from one list. */
  const list = JSON.stringify([resource.plural, namespace, query.get("labelSelector"), query.get("fieldSelector")]);
  const all = (token ? store.kept(list, at) : undefined) ?? found(store, resource, namespace, query, token ? at : undefined);
  const rest = seen === 0 ? all : all.slice(seen);
  const limit = query.get("resourceVersion") === "0" ? 0 : Number(query.get("limit") ?? 0); // the watch cache answers "0" and knows no pages
  const items = limit > 0 ? rest.slice(0, limit) : rest;
  const left = rest.length - items.length;
  if (left > 0) store.keep(list, at, all);
  const counted = left > 0 && !query.get("labelSelector") && !query.get("fieldSelector") && { remainingItemCount: left };
  return listOf(resource, items, { resourceVersion: `${at}`, ...(left > 0 && { continue: `${at}.${seen + items.length}` }), ...counted });
}

/** All that fits a query: now, or, for a later page, as it was at a version. */
function found(
  store: Store,
  resource: Resource,
  namespace: string | undefined,
  query: URLSearchParams,
  at: number | undefined,
): readonly KubeObject[] {
  const { fits, oneOf } = selection(resource, query);
  const nodeName = onlyNode(query);
  const inside = ({ metadata }: KubeObject): boolean => namespace === undefined || metadata.namespace === namespace;
  const isFirstOfPods = resource.plural === "pods" && at === undefined;
  const some = !isFirstOfPods ? undefined : nodeName !== undefined ? store.podsOn(nodeName) : oneOf && store.podsWith(oneOf);
  const all = some ?? store.at(resource.plural, at ?? store.version, namespace);
  return all.filter((object) => inside(object) && fits(object));
}

/** Items of built-in kinds carry neither kind nor apiVersion. */
export function listOf(resource: Resource, objects: readonly KubeObject[], metadata: object): string {
  const items = objects.map((object) => (resource.custom ? objectJson(resource, object) : itemJson(object)));
  const head = `{"kind":"${resource.kind}List","apiVersion":"${apiVersionOf(resource)}"`;
  return `${head},"metadata":${JSON.stringify(metadata)},"items":[${items.join(",")}]}`;
}
