import type { KubeApiError } from "./api-error.ts";

/** Query parameters, e.g. { labelSelector: "app=web", limit: 500 }; undefined ones are left out. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** `timeoutMs` covers the whole request, body included; default 10 000, lists 30 000. */
export type RequestOptions = { readonly query?: Query; readonly timeoutMs?: number; readonly signal?: AbortSignal };

/** How the body of a patch is meant. "apply" is server-side apply; add `force: true` to the query to take fields over. */
export type PatchType = "strategic" | "merge" | "json" | "apply";

/** One page of a list. Items are JSON as it came: times are strings, `kind` and `apiVersion` are missing on items. */
export type ListPage<T> = { readonly items: readonly T[]; readonly resourceVersion: string; readonly continue?: string };

/** Why a watch ended. `failed` carries HTTP errors, transport errors and in-stream ERROR events alike; 410 is `error.failure === "gone"`. */
export type WatchEnd =
  | { readonly kind: "closed" } // by the server, in order
  | { readonly kind: "silent" } // neither event nor bookmark for the silence limit
  | { readonly kind: "aborted" } // by our own signal
  | { readonly kind: "failed"; readonly error: KubeApiError };

/** What a watch delivers; ERROR never gets here, it ends the watch. */
export type WatchEventType = "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";

/**
 * The Kubernetes API, as paths and plain JSON: the typed APIs of the client library cost 55 MiB of memory (toolchain.md §5).
 * Everything throws KubeApiError, except after the caller's own abort: then the signal's reason. Nothing is retried here.
 * `path` e.g. "/api/v1/namespaces/shop/pods/web-1"; one with names in it is made with `kubePath`, any other than a plain one is refused.
 */
export interface KubeClient {
  /** e.g. "https://10.0.0.1:443" */
  readonly server: string;
  get<T>(path: string, options?: RequestOptions): Promise<T>;
  /** One page; ask on with `continue`. */
  list<T>(path: string, query?: Query, options?: RequestOptions): Promise<ListPage<T>>;
  create<T>(path: string, body: unknown, options?: RequestOptions): Promise<T>;
  replace<T>(path: string, body: unknown, options?: RequestOptions): Promise<T>;
  patch<T>(path: string, body: unknown, type: PatchType, options?: RequestOptions): Promise<T>;
  /** `body` is DeleteOptions, e.g. { preconditions: { uid } }. */
  delete(path: string, body?: unknown, options?: RequestOptions): Promise<void>;
  /** Never rejects. `onEvent` is called in order and never after the promise has settled; if it throws, the watch ends as failed. */
  watch(path: string, query: Query, onEvent: (type: WatchEventType, object: unknown) => void, signal: AbortSignal): Promise<WatchEnd>;
  /** Ends watches and connections; requests under way fail. */
  close(): Promise<void>;
}
