import type { ServerResponse } from "node:http";
import type { KubeObject } from "./objects.ts";
import { apiVersionOf, objectJson, type Resource } from "./resources.ts";
import { ApiError } from "./status.ts";
import type { Store, StoreEvent } from "./store.ts";

export type WatchRequest = {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly matches: (object: KubeObject) => boolean;
  /** Events after this version; undefined: the present objects first, as ADDED. */
  readonly since: number | undefined;
  readonly bookmarks: boolean;
  readonly initialEvents: boolean;
  readonly timeoutSeconds: number;
};

type Running = WatchRequest & { readonly response: ServerResponse };

/** A watch gets a bookmark so long before its timeout. Source: nextBookmarkTime of k8s.io/apiserver; seen by the contract suite. */
const LAST_BOOKMARK_MS = 2_000;

/** All running watches. `stop` ends them and leaves no timer. */
export class Watches {
  readonly #store: Store;
  readonly #running = new Set<Running>();
  readonly #bookmarks: NodeJS.Timeout;

  constructor(store: Store, bookmarkMs: number) {
    this.#store = store;
    this.#bookmarks = setInterval(() => {
      for (const watch of this.#running) bookmark(watch, store.version);
    }, bookmarkMs);
    store.subscribe((event) => {
      for (const watch of this.#running) tell(watch, event);
    });
  }

  get count(): number {
    return this.#running.size;
  }

  serve(request: WatchRequest, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    if (response.destroyed) return; // the client left while the server was frozen
    const watch = { ...request, response };
    try {
      this.#begin(watch);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      response.end(`{"type":"ERROR","object":${JSON.stringify(error.status)}}\n`); // 200 is sent already, as on the real server
      return;
    }
    this.#running.add(watch);
    const leftMs = request.timeoutSeconds * 1_000;
    const last = leftMs > LAST_BOOKMARK_MS && setTimeout(() => bookmark(watch, this.#store.version), leftMs - LAST_BOOKMARK_MS);
    const deadline = setTimeout(() => response.end(), leftMs);
    response.once("close", () => {
      clearTimeout(last || undefined);
      clearTimeout(deadline);
      this.#running.delete(watch);
    });
  }

  #begin(watch: Running): void {
    const { resource, namespace, matches, since } = watch;
    if (since !== undefined) {
      for (const event of this.#store.since(resource.plural, since)) tell(watch, event);
      return;
    }
    for (const object of this.#store.list(resource.plural, namespace)) if (matches(object)) send(watch, "ADDED", object);
    if (watch.initialEvents) bookmark(watch, this.#store.version, { annotations: { "k8s.io/initial-events-end": "true" } });
  }

  /** Ends watches of a resource (all without one): by breaking the connection, or cleanly in the middle of an event. */
  cut(how: "reset-watches" | "half-line", plural?: string): void {
    for (const { resource, response } of this.#running) {
      if ((plural ?? resource.plural) !== resource.plural) continue;
      if (how === "half-line") response.end(`{"type":"MODIFIED","object":{"kind":"${resource.kind}","apiVer`);
      else response.destroy();
    }
  }

  stop(): void {
    clearInterval(this.#bookmarks);
    this.cut("reset-watches");
  }
}

function send({ response, resource }: Running, type: string, object: KubeObject): void {
  if (!response.writableEnded) response.write(`{"type":"${type}","object":${objectJson(resource, object)}}\n`);
}

function bookmark({ response, resource, bookmarks, since = 0 }: Running, version: number, more: object = {}): void {
  if (!bookmarks || version < since || response.writableEnded) return; // a watch from the future gets none either
  const metadata = { resourceVersion: String(version), creationTimestamp: null, ...more };
  const object = { kind: resource.kind, apiVersion: apiVersionOf(resource), metadata };
  response.write(`${JSON.stringify({ type: "BOOKMARK", object })}\n`);
}

/** An object that begins to match is ADDED, one that ceases to match is DELETED with its last matching content. */
function tell(watch: Running, { type, plural, object, previous, version }: StoreEvent): void {
  const { resource, namespace, matches, since = 0 } = watch;
  if (plural !== resource.plural || (namespace ?? object.metadata.namespace) !== object.metadata.namespace) return;
  if (version <= since) return; // a watch from the future stays silent until then
  const saw = previous !== undefined && matches(previous);
  const { resourceVersion } = object.metadata;
  if (type !== "DELETED" && matches(object)) send(watch, saw ? "MODIFIED" : "ADDED", object);
  else if (saw) send(watch, "DELETED", { ...previous, metadata: { ...previous.metadata, resourceVersion } });
}
