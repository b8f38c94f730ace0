import { KubeApiError } from "./api-error.ts";

/** As Kubernetes itself refuses names: they would be other paths. Source: ValidatePathSegmentName of apimachinery's validation/path. */
const NOT_A_SEGMENT = /^\.{0,2}$|[/%]/;

/**
 * A path of the API in which each value is one segment: kubePath`/api/v1/namespaces/${namespace}/pods/${name}/status`. Throws KubeApiError
 * ("badRequest") where a value can be no object's name, e.g. "../services/web": encoding alone would not do, since servers decode.
 */
export function kubePath(parts: TemplateStringsArray, ...values: readonly string[]): string {
  const wrong = values.find((value) => NOT_A_SEGMENT.test(value));
  if (wrong !== undefined) throw refusal(String.raw(parts, ...values), `"${wrong}" is no name of an object: it would lead to another path`);
  return String.raw(parts, ...values.map(encodeURIComponent));
}

/**
 * The URL of a request. Throws KubeApiError ("badRequest") for a path that a server would read in another way than it is written, e.g. with
 * "..", "?" or an encoded slash. `request` e.g. "GET /api/v1/pods".
 */
export function urlOf(server: string, path: string, request: string): URL {
  const url = URL.canParse(server + path) ? new URL(server + path) : undefined;
  const base = new URL(server).pathname.replace(/\/$/, "");
  const isPlain = url?.pathname === base + path && url.search === "" && url.hash === "";
  if (!isPlain || /\/\/|%2f|%5c/i.test(path)) throw refusal(request, "not a plain path: make it with kubePath");
  return url;
}

const refusal = (request: string, message: string): KubeApiError => new KubeApiError(request, "badRequest", message, { code: 400 });
