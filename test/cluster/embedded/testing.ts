import type { TestContext } from "node:test";
import { type ApiException, type ApiType, KubeConfig, type V1Pod, Watch } from "@kubernetes/client-node";
import { type ApiServerOptions, type EmbeddedCluster, startApiServer } from "./server.ts";

type Event = {
  readonly type: string;
  readonly object: { readonly kind?: string; readonly code?: number; readonly metadata: Record<string, unknown> };
};
export type WatchLog = { readonly events: Event[]; readonly ended: Promise<unknown>; stop(): void };
export type RawAnswer = { readonly code: number; readonly body: Record<string, unknown>; readonly text: string };
export type Harness = {
  readonly cluster: EmbeddedCluster;
  readonly config: KubeConfig;
  readonly api: <T extends ApiType>(type: new (...args: never[]) => T) => T;
  readonly watch: (path: string, query?: Record<string, string | number | boolean>) => Promise<WatchLog>;
  /** A request without the client, as kubectl --raw would make it. */
  readonly raw: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<RawAnswer>;
};

/** A server for one test, gone with it, and the official client for it; `tls` chooses between its two URLs. */
export async function serverFor(
  t: TestContext,
  { tls = false, ...options }: ApiServerOptions & { readonly tls?: boolean } = {},
): Promise<Harness> {
  const cluster = await startApiServer(options);
  t.after(() => cluster.stop());
  const config = configFor(cluster, cluster.adminToken, tls);
  return {
    cluster,
    config,
    api: (type) => config.makeApiClient(type as never),
    async watch(path, query = {}) {
      const events: Event[] = [];
      const { promise, resolve } = Promise.withResolvers<unknown>();
      const controller = await new Watch(config).watch(path, query, (_type, _object, event: Event) => void events.push(event), resolve);
      const stop = (): void => controller.abort();
      t.after(stop);
      return { events, ended: promise, stop };
    },
    async raw(method, path, body, headers = {}) {
      const authorization = `Bearer ${cluster.adminToken}`;
      const init = { method, headers: { authorization, "content-type": "application/json", ...headers } };
      const response = await fetch(
        cluster.httpUrl + path,
        body === undefined ? init : { ...init, body: typeof body === "string" ? body : JSON.stringify(body) },
      );
      const text = await response.text();
      return { code: response.status, body: text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : {}, text };
    },
  };
}

export function configFor(cluster: EmbeddedCluster, token: string, tls = true): KubeConfig {
  const config = new KubeConfig();
  const server = tls ? cluster.url : cluster.httpUrl;
  config.loadFromOptions({
    clusters: [{ name: "c", server, caData: Buffer.from(cluster.caPem).toString("base64"), skipTLSVerify: !tls }], // the client refuses HTTP without it
    users: [{ name: "u", token }],
    contexts: [{ name: "x", cluster: "c", user: "u" }],
    currentContext: "x",
  });
  return config;
}

/** Resolves when the condition holds; fails after 3 s, naming what was awaited. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  for (const start = Date.now(); !holds(); await new Promise((resolve) => setTimeout(resolve, 2))) {
    if (Date.now() - start > 3_000) throw new Error(`waited 3 s for: ${what}`);
  }
}

export const aPod = (name: string, spec: object = {}, metadata: object = {}): V1Pod => ({
  metadata: { name, ...metadata },
  spec: { containers: [{ name: "app", image: "app:1" }], nodeName: "node-a", ...spec },
});

/** The code and Status of a request that must fail. */
export async function refused(request: Promise<unknown>): Promise<{ code: number; reason: string; message: string; fields: string[] }> {
  try {
    await request;
  } catch (error) {
    const { code, body } = error as ApiException<string>;
    if (code === 401) return { code, reason: "", message: "", fields: [] }; // the client drops the body of a 401
    if (typeof body !== "string") throw error;
    const status = JSON.parse(body) as { reason: string; message: string; details?: { causes?: { field: string }[] } };
    return { code, reason: status.reason, message: status.message, fields: (status.details?.causes ?? []).map(({ field }) => field) };
  }
  throw new Error("the request was not refused");
}
