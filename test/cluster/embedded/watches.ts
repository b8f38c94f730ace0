import type { ServerResponse } from "node:http";
import type { KubeObject } from "./objects.ts";
import { apiVersionOf, objectJson, type Resource } from "./resources.ts";
import type { Matches } from "./selectors.ts";
import { ApiError } from "./status.ts";
import type { Store, StoreEvent } from "./store.ts";

export type WatchRequest = {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly matches: Matches;
  /** Events after this version; undefined: the present objects first, as ADDED. */
  readonly since: number | undefined;
  readonly bookmarks: boolean;
  readonly initialEvents: boolean;
  readonly timeoutSeconds: number;
};

type Running = { readonly request: WatchRequest; readonly response: ServerResponse };

/** All running watches. `stop` ends them and leaves no timer. */
export class Watches {
  readonly #store: Store;
  readonly #running = new Set<Running>();
  readonly #bookmarks: NodeJS.Timeout;

  constructor(store: Store, bookmarkMs: number) {
    this.#store = store;
    this.#bookmarks = setInterval(() => {
      for (const { request, response } of this.#running) bookmark(response, request, store.version);
    }, bookmarkMs);
  }

  get count(): number {
    return this.#running.size;
  }

  serve(request: WatchRequest, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    if (response.destroyed) return; // the client left while the server was frozen
    try {
      this.#begin(request, response);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      response.end(`{"type":"ERROR","object":${JSON.stringify(error.status)}}\n`); // 200 is sent already, as on the real server
      return;
    }
    const running = { request, response };
    this.#running.add(running);
    const unsubscribe = this.#store.subscribe((event) => {
      if (event.plural === request.resource.plural) tell(response, request, event);
    });
    const deadline = setTimeout(() => {
      bookmark(response, request, this.#store.version);
      response.end();
    }, request.timeoutSeconds * 1_000);
    response.once("close", () => {
      clearTimeout(deadline);
      unsubscribe();
      this.#running.delete(running);
    });
  }

  #begin(request: WatchRequest, response: ServerResponse): void {
    const { resource, namespace, matches, since } = request;
    if (since !== undefined) {
      for (const event of this.#store.since(resource.plural, since)) tell(response, request, event);
      return;
    }
    for (const object of this.#store.list(resource.plural, namespace)) if (matches(object)) send(response, "ADDED", resource, object);
    const annotations = { "k8s.io/initial-events-end": "true" };
    if (request.initialEvents) bookmark(response, request, this.#store.version, { annotations });
  }

  /** Ends watches of a resource (all without one): by breaking the connection, or cleanly in the middle of an event. */
  cut(how: "reset-watches" | "half-line", plural?: string): void {
    for (const { request, response } of this.#running) {
      if ((plural ?? request.resource.plural) !== request.resource.plural) continue;
      if (how === "half-line") response.end(`{"type":"MODIFIED","object":{"kind":"${request.resource.kind}","apiVer`);
      else response.destroy();
    }
  }

  stop(): void {
    clearInterval(this.#bookmarks);
    this.cut("reset-watches");
  }
}

const send = (response: ServerResponse, type: string, resource: Resource, object: KubeObject): void => {
  if (!response.writableEnded) response.write(`{"type":"${type}","object":${objectJson(resource, object)}}\n`);
};

function bookmark(response: ServerResponse, { resource, bookmarks, since = 0 }: WatchRequest, version: number, more: object = {}): void {
  if (!bookmarks || version < since || response.writableEnded) return; // a watch from the future gets none either
  const metadata = { resourceVersion: String(version), creationTimestamp: null, ...more };
  const object = { kind: resource.kind, apiVersion: apiVersionOf(resource), metadata };
  response.write(`${JSON.stringify({ type: "BOOKMARK", object })}\n`);
}

/** An object that begins to match is ADDED, one that ceases to match is DELETED with its last matching content. */
function tell(response: ServerResponse, { resource, namespace, matches, since }: WatchRequest, event: StoreEvent): void {
  const { object, previous, version } = event;
  if (namespace !== undefined && object.metadata.namespace !== namespace) return;
  if (since !== undefined && version <= since) return; // a watch from the future stays silent until then
  const saw = previous !== undefined && matches(previous);
  const sees = event.type !== "DELETED" && matches(object);
  if (sees) send(response, saw ? "MODIFIED" : "ADDED", resource, object);
  else if (saw) {
    const last = event.type === "DELETED" ? object : { ...previous, metadata: { ...previous.metadata, resourceVersion: String(version) } };
    send(response, "DELETED", resource, last);
  }
}
