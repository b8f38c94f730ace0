import type { Clock } from "../../../common/clock.ts";
import { errorFromAnswer } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient, PatchType, Query, WatchEnd, WatchEventType } from "../../../common/kubernetes/requests.ts";
import type { KubeObject } from "./objects.ts";
import { objectJson, resourceNamed } from "./resources.ts";
import { rest, targetOf, verbOf } from "./rest.ts";
import { ApiError, failure } from "./status.ts";
import { Store } from "./store.ts";
import { Tokens } from "./tokens.ts";
import { ObjectsWriter } from "./writer.ts";

/** A request is answered after so long. Milliseconds. */
const ANSWER_MS = 5;

export type InProcessCluster = {
  readonly client: KubeClient;
  /** What is stored: to be looked at only. */
  readonly store: Store;
};

const CONTENT: Readonly<Record<PatchType, string>> = {
  strategic: "application/strategic-merge-patch+json",
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  apply: "application/apply-patch+yaml",
};

/** The embedded API server as a client, without sockets: for virtual time. Everything passes through JSON as on the wire. */
export function inProcessCluster(clock: Clock): InProcessCluster {
  const store = new Store();
  const nowMs = (): number => clock.now();
  const writer = new ObjectsWriter(store, nowMs);
  const tokens = new Tokens(store, { adminToken: "admin", nowMs });
  for (const name of ["default", "kube-system"]) writer.create(resourceNamed("namespaces"), undefined, { metadata: { name } });

  const answerOf = (method: string, path: string, query: URLSearchParams, contentType: string, body: unknown): string => {
    const request = `${method} ${path}`;
    try {
      const target = targetOf(path);
      if (target === undefined) throw failure.noSuchResource();
      const call = { method, query, contentType, body: body === undefined ? undefined : JSON.parse(JSON.stringify(body)) };
      const answer = rest({ store, writer, tokens, nowMs }, target, verbOf(target, method, query), call);
      if ("watch" in answer) throw new TypeError(`${request}: a watch is asked for by watch()`);
      return answer.json;
    } catch (err) {
      throw err instanceof ApiError ? errorFromAnswer(request, err.code, JSON.stringify(err.status)) : err;
    }
  };
  const ask = async <T>(method: string, path: string, sent: Sent = {}): Promise<T> => {
    await clock.sleep(ANSWER_MS, sent.signal);
    const answer: T = JSON.parse(answerOf(method, path, paramsOf(sent.query ?? {}), sent.contentType ?? "application/json", sent.body));
    return answer;
  };
  const client: KubeClient = {
    server: "https://cluster.test",
    get: (path, options) => ask("GET", path, options),
    list: async (path, query, options) => {
      const answer = await ask<ListAnswer>("GET", path, { ...options, query: query ?? {} });
      const next = answer.metadata.continue;
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as with a real client, the caller knows what it asked for
      return {
        items: answer.items as never[],
        resourceVersion: answer.metadata.resourceVersion,
        ...(next !== undefined && { continue: next }),
      };
    },
    create: (path, body, options) => ask("POST", path, { ...options, body }),
    replace: (path, body, options) => ask("PUT", path, { ...options, body }),
    patch: (path, body, type, options) => ask("PATCH", path, { ...options, body, contentType: CONTENT[type] }),
    delete: async (path, body, options) => void (await ask("DELETE", path, { ...options, ...(body !== undefined && { body }) })),
    watch: (path, query, onEvent, signal) => watch(store, path, query, onEvent, signal),
    close: () => Promise.resolve(),
  };
  return { client, store };
}

type Sent = { readonly query?: Query; readonly signal?: AbortSignal; readonly body?: unknown; readonly contentType?: string };
type ListAnswer = {
  readonly items: readonly unknown[];
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
};

function paramsOf(query: Query): URLSearchParams {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) params.set(key, String(value));
  return params;
}

/** Goes on from the version that is asked for until the signal aborts. */
function watch(
  store: Store,
  path: string,
  query: Query,
  onEvent: (type: WatchEventType, object: unknown) => void,
  signal: AbortSignal,
): Promise<WatchEnd> {
  const target = targetOf(path);
  if (target === undefined) return Promise.resolve({ kind: "failed", error: errorFromAnswer(`WATCH ${path}`, 404, "") });
  const { resource, namespace } = target;
  const request = rest({ store } as never, target, "watch", { method: "GET", query: paramsOf(query), contentType: "", body: undefined });
  if (!("watch" in request)) throw new TypeError(`${path} cannot be watched`);
  const { matches, since = 0 } = request.watch;
  const tell = (type: WatchEventType, object: KubeObject): void => {
    if (!signal.aborted) onEvent(type, JSON.parse(objectJson(resource, object)));
  };
  const hear = ({ type, plural, object, previous, version }: Parameters<Parameters<Store["subscribe"]>[0]>[0]): void => {
    if (plural !== resource.plural || version <= since) return;
    if (namespace !== undefined && namespace !== object.metadata.namespace) return;
    const saw = previous !== undefined && matches(previous);
    if (type !== "DELETED" && matches(object)) tell(saw ? "MODIFIED" : "ADDED", object);
    else if (saw) tell("DELETED", object);
  };
  for (const event of store.since(resource.plural, since)) hear(event);
  store.subscribe(hear);
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve({ kind: "aborted" }), { once: true }));
}
