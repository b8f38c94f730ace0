import { Agent } from "undici";
import { after, type Clock } from "../clock.ts";
import { FIELD_MANAGER } from "../names.ts";
import { withEither } from "../signals.ts";
import { findKubeAccess, type KubeAccess, type TlsOptions } from "./access.ts";
import { errorFromAnswer, errorFromTransport, KubeApiError } from "./api-error.ts";
import { Exchange } from "./exchange.ts";
import { urlOf } from "./path.ts";
import type { KubeClient, ListPage, PatchType, Query, RequestOptions } from "./requests.ts";
import { watchOnce } from "./watch.ts";

/**
 * `env` tells the cluster: KUBECONFIG, the Pod's ServiceAccount, ~/.kube/config (access.ts). `impersonateUser` e.g. "system:node:node-a" (kubernetes.md §5).
 * `silenceMs`: a watch without event or bookmark for so long is ended; default 90 000, because bookmarks come every 60 s (kubernetes.md §6).
 * `serviceAccountDir`: where `token` and `ca.crt` are, if not where the kubelet mounts them.
 */
export type KubeClientOptions = {
  readonly clock: Clock;
  readonly env: NodeJS.ProcessEnv;
  readonly impersonateUser?: string;
  readonly userAgent?: string;
  readonly silenceMs?: number;
  readonly serviceAccountDir?: string;
};

/** A request has to be answered within that time; a list of thousands takes seconds. Source: kubernetes.md §13. */
const TIMEOUT_MS = { request: 10_000, list: 30_000 };
/** 32 connections served 2 000 requests/s; 8 would do as well. Source: kubernetes.md §6, §12. */
const CONNECTIONS = 32;
const SILENCE_MS = 90_000;
/** Shorter than the 90 s after which an API server closes an idle connection, so that we never write into a closing one. */
const KEEP_ALIVE_MS = 30_000;
const PATCH_CONTENT_TYPE: Readonly<Record<PatchType, string>> = {
  strategic: "application/strategic-merge-patch+json",
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  apply: "application/apply-patch+yaml", // JSON is YAML
};

type Call = {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
};

/** Throws ConfigError when no cluster is configured; never falls back to localhost. Makes no connection yet. */
export async function makeKubeClient({
  clock,
  env,
  impersonateUser,
  userAgent,
  silenceMs,
  serviceAccountDir,
}: KubeClientOptions): Promise<KubeClient> {
  const access = withHeaders(await findKubeAccess(env, serviceAccountDir), {
    "User-Agent": userAgent ?? "clb-direct",
    Accept: "application/json",
    ...(impersonateUser !== undefined && { "Impersonate-User": impersonateUser }),
  });
  const pool = makePool();
  const closing = new AbortController();

  async function call<T>(what: Call, options: RequestOptions, timeoutMs = TIMEOUT_MS.request): Promise<T> {
    const request = `${what.method} ${what.path}`;
    if (closing.signal.aborted) throw new KubeApiError(request, "transport", "this client is closed");
    const { query, signal } = options;
    signal?.throwIfAborted();
    const limitMs = options.timeoutMs ?? timeoutMs;
    const exchange = new Exchange(request);
    const late = (): void => exchange.end(new KubeApiError(request, "timeout", `no complete answer within ${limitMs} ms`));
    const calledOff = (): void => exchange.end(signal?.reason);
    const inTime = after(clock, limitMs, late);
    signal?.addEventListener("abort", calledOff, { once: true });
    send(what, query, exchange).catch((error: unknown) => exchange.end(toApiError(request, error))); // not waited for: a credential plugin may hang
    try {
      const { status, retryAfter, text } = await exchange.answer;
      if (status < 200 || status > 299) throw errorFromAnswer(request, status, text, retryAfter);
      return parsed(request, text) as T; // oxlint-disable-line typescript/no-unsafe-type-assertion -- the caller names what the API answers
    } finally {
      inTime();
      signal?.removeEventListener("abort", calledOff);
    }
  }

  async function send({ method, path, body, contentType = "application/json" }: Call, query: Query | undefined, exchange: Exchange) {
    const { headers, tls } = await access.credentials();
    const url = urlOf(access.server, path, `${method} ${path}`);
    const content = body !== undefined && { body: JSON.stringify(body), headers: { ...headers, "Content-Type": contentType } };
    exchange.send(pool.with(tls), { origin: url.origin, path: `${url.pathname}${searchOf(query)}`, method, headers, ...content });
  }

  return {
    server: access.server,
    get: (path, options = {}) => call({ method: "GET", path }, options),
    list: async <T>(path: string, query?: Query, options: RequestOptions = {}) =>
      pageOf<T>(`GET ${path}`, await call({ method: "GET", path }, { ...options, query: { ...options.query, ...query } }, TIMEOUT_MS.list)),
    create: (path, body, options = {}) => call({ method: "POST", path, body }, written(options)),
    replace: (path, body, options = {}) => call({ method: "PUT", path, body }, written(options)),
    patch: (path, body, type, options = {}) =>
      call({ method: "PATCH", path, body, contentType: PATCH_CONTENT_TYPE[type] }, written(options)),
    delete: async (path, body, options = {}) => {
      await call({ method: "DELETE", path, body }, options);
    },
    watch: (path, query, onEvent, signal) =>
      withEither([signal, closing.signal], (either) =>
        watchOnce({ access, clock, silenceMs: silenceMs ?? SILENCE_MS, makeAgent: watchAgent }, { path, query, onEvent }, either),
      ),
    close: async () => {
      closing.abort();
      await pool.close();
    },
  };
}

/** Options of a call that writes: the fields get our name. */
function written(options: RequestOptions): RequestOptions {
  return { ...options, query: { fieldManager: FIELD_MANAGER, ...options.query } };
}

function withHeaders(access: KubeAccess, more: Readonly<Record<string, string>>): KubeAccess {
  return {
    server: access.server,
    credentials: async () => {
      const { headers, tls } = await access.credentials();
      return { headers: { ...headers, ...more }, tls };
    },
  };
}

/** HTTP/1.1 only: over pooled HTTP/2 every retry goes down the same dead connection (kubernetes.md §6). */
const agentOptions = (tls: TlsOptions): Agent.Options => ({
  allowH2: false,
  headersTimeout: 0,
  bodyTimeout: 0,
  connect: { ...tls, keepAlive: true, timeout: TIMEOUT_MS.request },
});

/** A running watch occupies its connection, so each has its own, never one of the pool. */
const watchAgent = (tls: TlsOptions): Agent => new Agent(agentOptions(tls));

/** The pool for requests; changed certificates make a new one, while requests under way end on the old. */
function makePool(): { with(tls: TlsOptions): Agent; close(): Promise<void> } {
  let agent: Agent | undefined;
  let made: TlsOptions = {};
  return {
    with: (tls) => {
      if (agent !== undefined && sameTls(made, tls)) return agent;
      agent?.close().catch(() => undefined); // its requests tell their own callers
      made = tls;
      agent = new Agent({ ...agentOptions(tls), connections: CONNECTIONS, keepAliveTimeout: KEEP_ALIVE_MS });
      return agent;
    },
    close: async () => {
      await agent?.destroy();
    },
  };
}

const TLS_KEYS = ["ca", "cert", "key", "pfx", "passphrase", "servername", "rejectUnauthorized"] as const satisfies (keyof TlsOptions)[];

function sameTls(one: TlsOptions, other: TlsOptions): boolean {
  return TLS_KEYS.every((key) => one[key] === other[key] || comparable(one[key]) === comparable(other[key]));
}

function comparable(value: unknown): unknown {
  return Buffer.isBuffer(value) ? value.toString("latin1") : value;
}

const toApiError = (request: string, error: unknown): KubeApiError =>
  error instanceof KubeApiError ? error : errorFromTransport(request, error);

/** E.g. "?limit=500"; "" without any. */
function searchOf(query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  return search.size === 0 ? "" : `?${search.toString()}`;
}

/** JSON becomes the type that the caller named in `call`; callers decode what they do not trust. */
function parsed(request: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new KubeApiError(request, "server", `the answer is no JSON: ${text.slice(0, 100)}`, {}, { cause: error });
  }
}

function pageOf<T>(
  request: string,
  list: { items?: T[] | null; metadata?: { resourceVersion?: string; continue?: string } } | null,
): ListPage<T> {
  const resourceVersion = list?.metadata?.resourceVersion;
  if (list === null || resourceVersion === undefined || list.items === undefined)
    // a list without items is no empty list: nobody may take it for one
    throw new KubeApiError(request, "server", "the answer is no list: items or metadata.resourceVersion is missing");
  const next = list.metadata?.continue;
  return { items: list.items ?? [], resourceVersion, ...(next !== undefined && next !== "" && { continue: next }) };
}
