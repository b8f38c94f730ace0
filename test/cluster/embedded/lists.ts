import { apiVersionOf, itemJson, objectJson, type Resource } from "./resources.ts";
import { fieldSelector, labelSelector, type Matches } from "./selectors.ts";
import { type Cause, failure, wrong } from "./status.ts";
import type { Store } from "./store.ts";
import type { WatchRequest } from "./watches.ts";

const isTrue = (value: string | null): boolean => value === "true" || value === "1";
export const wantsWatch = (query: URLSearchParams): boolean => isTrue(query.get("watch"));

function selection(resource: Resource, query: URLSearchParams): Matches {
  const byLabel = labelSelector(query.get("labelSelector") ?? "");
  const byField = fieldSelector(resource, query.get("fieldSelector") ?? "");
  return (object) => byLabel(object) && byField(object);
}

function versionOf(text: string): number {
  if (!/^\d*$/.test(text))
    throw failure.badRequest(`resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`);
  return Number(text);
}

/** Rules for `resourceVersionMatch` and `sendInitialEvents`. Source: ValidateListOptions of apimachinery. */
function checkOptions(query: URLSearchParams, watch: boolean): void {
  const match = query.get("resourceVersionMatch") ?? "";
  const initial = query.has("sendInitialEvents");
  const field = "resourceVersionMatch";
  const check = (refused: boolean, cause: Cause): void => {
    if (refused) throw failure.invalid({ group: "meta.k8s.io", plural: "", kind: "ListOptions" }, "", [cause]);
  };
  if (watch) {
    check(
      initial && match !== "NotOlderThan",
      wrong.forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    );
    check(!initial && match !== "", wrong.forbidden(field, `${field} is forbidden for watch unless sendInitialEvents is provided`));
    return;
  }
  check(initial, wrong.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  check(match !== "" && !query.get("resourceVersion"), wrong.forbidden(field, `${field} is forbidden unless resourceVersion is provided`));
  check(!["", "Exact", "NotOlderThan"].includes(match), wrong.notSupported(field, match, ["Exact", "NotOlderThan"]));
}

export function watchRequest(resource: Resource, namespace: string | undefined, query: URLSearchParams): WatchRequest {
  checkOptions(query, true);
  const version = versionOf(query.get("resourceVersion") ?? "");
  const initialEvents = isTrue(query.get("sendInitialEvents"));
  return {
    resource,
    namespace,
    matches: selection(resource, query),
    since: version === 0 || initialEvents ? undefined : version,
    bookmarks: isTrue(query.get("allowWatchBookmarks")),
    initialEvents,
    timeoutSeconds: Number(query.get("timeoutSeconds") ?? 0) || 1_800 + Math.random() * 1_800, // the real server: 30 to 60 minutes
  };
}

type Page = { readonly version: number; readonly after: string };

/** The list answer as JSON text; pages of one list come from one state. Items of built-in kinds carry neither kind nor apiVersion. */
export function listJson(store: Store, resource: Resource, namespace: string | undefined, query: URLSearchParams): string {
  checkOptions(query, false);
  const asked = query.get("resourceVersion") ?? "";
  const version = versionOf(asked);
  if (version > store.version) throw failure.tooLarge(version, store.version);
  const token = query.get("continue");
  if (token && asked !== "" && asked !== "0") throw failure.badRequest("specifying resource version is not allowed when using continue");
  const page = token ? pageOf(token) : undefined;
  const exact = query.get("resourceVersionMatch") === "Exact" ? version : undefined;
  const at = page?.version ?? exact ?? store.version;
  const objects = at === store.version ? store.list(resource.plural, namespace) : store.at(resource.plural, at, namespace);
  const matches = selection(resource, query);
  const keyOf = ({ metadata }: (typeof objects)[number]): string => `${metadata.namespace ?? ""}/${metadata.name}`;
  const fitting = objects.filter((object) => (page === undefined || keyOf(object) > page.after) && matches(object));
  const limit = asked === "0" ? 0 : Number(query.get("limit") ?? 0); // the watch cache answers "0" and knows no pages
  const items = limit > 0 ? fitting.slice(0, limit) : fitting;
  const last = items.at(-1);
  const metadata: Record<string, unknown> = { resourceVersion: String(at) };
  if (last !== undefined && fitting.length > items.length) {
    metadata["continue"] = Buffer.from(JSON.stringify({ version: at, after: keyOf(last) } satisfies Page)).toString("base64url");
    if (!query.get("labelSelector") && !query.get("fieldSelector")) metadata["remainingItemCount"] = fitting.length - items.length;
  }
  const json = items.map((object) => (resource.custom ? objectJson(resource, object) : itemJson(object)));
  return `{"kind":"${resource.kind}List","apiVersion":"${apiVersionOf(resource)}","metadata":${JSON.stringify(metadata)},"items":[${json.join(",")}]}`;
}

function pageOf(token: string): Page {
  try {
    return JSON.parse(Buffer.from(token, "base64url").toString()) as Page; // made above; anything else does not parse
  } catch {
    throw failure.badRequest("continue key is not valid: illegal base64 data");
  }
}
