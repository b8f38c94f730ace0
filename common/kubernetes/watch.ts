import type { KubeConfig } from "@kubernetes/client-node/dist/config.js";
import type { RequestContext } from "@kubernetes/client-node/dist/gen/http/http.js";
import { Watch } from "@kubernetes/client-node/dist/watch.js";
import type { Agent } from "undici";
import type { Clock } from "../clock.ts";
import { OVER } from "../signals.ts";
import type { KubeAccess, TlsOptions } from "./access.ts";
import { errorFromAnswer, errorFromTransport, KubeApiError } from "./api-error.ts";
import { urlOf } from "./path.ts";
import type { Query, WatchEnd, WatchEventType } from "./requests.ts";

type WatchDeps = {
  readonly access: KubeAccess;
  readonly clock: Clock;
  readonly silenceMs: number;
  readonly makeAgent: (tls: TlsOptions) => Agent;
};
type WatchWhat = { readonly path: string; readonly query: Query; readonly onEvent: (type: WatchEventType, object: unknown) => void };

/** The library's own timer ends every quiet watch after 30 s, below the 60 s between bookmarks (kubernetes.md §6): ours, on the Clock, takes its place. */
const NEVER_MS = 2_147_483_647; // the longest delay that a timer takes

/** One watch over the library's `Watch`, from connecting to whatever ends it. Never rejects. */
export async function watchOnce(deps: WatchDeps, { path, query, onEvent }: WatchWhat, signal: AbortSignal): Promise<WatchEnd> {
  const request = `WATCH ${path}`;
  try {
    urlOf(deps.access.server, path, request);
  } catch (error) {
    return { kind: "failed", error: error instanceof KubeApiError ? error : errorFromTransport(request, error) };
  }
  const { promise: ended, resolve: end } = Promise.withResolvers<WatchEnd>();
  const over = new AbortController();
  let heardAtMs = deps.clock.now();
  let agent: Agent | undefined;
  if (signal.aborted) return { kind: "aborted" };
  const aborted = (): void => end({ kind: "aborted" });
  signal.addEventListener("abort", aborted, { once: true });

  const receive = (type: string, object: unknown): void => {
    if (over.signal.aborted) return; // lines that were already buffered when the watch ended
    heardAtMs = deps.clock.now();
    if (type === "ERROR") return stop({ kind: "failed", error: errorFromEvent(request, object) });
    if (!isEventType(type)) return;
    try {
      onEvent(type, object);
    } catch (error) {
      stop({ kind: "failed", error: errorFromTransport(request, error) }); // the library would swallow it
    }
  };
  const stop = (how: WatchEnd): void => {
    end(how);
    over.abort(OVER);
  };
  const config = {
    getCurrentCluster: () => ({ server: deps.access.server }),
    applySecurityAuthentication: async (context: RequestContext) => {
      const { headers, tls } = await deps.access.credentials();
      over.signal.throwIfAborted(); // called off meanwhile: no connection that nobody would end
      for (const [key, value] of Object.entries(headers)) context.setHeaderParam(key, value);
      agent = deps.makeAgent(tls);
      context.setDispatcher(agent);
    },
  };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- all that Watch calls of it; the class itself would load every API model
  const watch = new Watch(config as unknown as KubeConfig);
  Object.assign(watch, { requestTimeoutMs: NEVER_MS });
  watch
    .watch(path, { ...query, allowWatchBookmarks: true }, receive, (error: unknown) => stop(endOf(request, error)))
    .catch((error: unknown) => stop({ kind: "failed", error: errorFromTransport(request, error) })); // before the request: credentials
  void silent(deps, () => heardAtMs, over.signal).then((isSilent) => isSilent && end({ kind: "silent" }));

  const how = await ended;
  over.abort(OVER);
  signal.removeEventListener("abort", aborted);
  await agent?.destroy(); // the library hands out its AbortController only after the answer: this ends a hanging connect, too
  return how;
}

/** Resolves true after `silenceMs` without a sign of life, false when the watch is over. One timer per silence limit, not one per event. */
async function silent({ clock, silenceMs }: WatchDeps, heardAtMs: () => number, over: AbortSignal): Promise<boolean> {
  try {
    for (let waitMs = silenceMs; waitMs > 0; waitMs = heardAtMs() + silenceMs - clock.now()) await clock.sleep(waitMs, over);
    return true;
  } catch {
    return false; // called off: the watch has ended otherwise
  }
}

/** What the library's `done` was called with: null, an Error with statusCode, or what fetch threw. */
function endOf(request: string, error: unknown): WatchEnd {
  if (error === null || error === undefined) return { kind: "closed" };
  const code = error instanceof Error && "statusCode" in error ? Number(error.statusCode) : undefined;
  if (code === undefined || !(error instanceof Error)) return { kind: "failed", error: errorFromTransport(request, error) };
  return { kind: "failed", error: errorFromAnswer(request, code, error.message) };
}

/** An ERROR event carries a Status, e.g. { code: 410, reason: "Expired", message: "too old resource version: 1 (1338)" }. */
function errorFromEvent(request: string, status: unknown): KubeApiError {
  const code = typeof status === "object" && status !== null && "code" in status ? Number(status.code) : Number.NaN;
  if (Number.isInteger(code)) return errorFromAnswer(request, code, JSON.stringify(status));
  return new KubeApiError(request, "server", `ERROR event without a code: ${JSON.stringify(status).slice(0, 300)}`);
}

function isEventType(type: string): type is WatchEventType {
  return type === "ADDED" || type === "MODIFIED" || type === "DELETED" || type === "BOOKMARK";
}
