/** The webhook over real TLS, and a client as an API server is one: HTTP/1.1, connections that are kept. */
import "reflect-metadata";
import { Agent, request } from "node:https";
import type { TestContext } from "node:test";
import { type Clock, makeClock } from "../../../common/clock.ts";
import { DEFAULT_GATE_TYPE } from "../../../common/names.ts";
import { makeReview, type SelectsPods } from "../../../coordinator/admission/review.ts";
import { type AdmissionServerDeps, makeAdmissionServer } from "../../../coordinator/admission/server.ts";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import type { Serving } from "../../../coordinator/tls/serving.ts";
import { silentLog } from "../pods.ts";

export const HOST = "127.0.0.1";

export async function certificates(): Promise<{ caPem: string; issue: () => Promise<Serving> }> {
  const authority = await issueAuthority(Date.now());
  const issue = async (): Promise<Serving> => ({
    ...(await issueServing(authority, [], [HOST], Date.now())),
    caBundlePem: authority.certPem,
  });
  return { caPem: authority.certPem, issue };
}

export const SERVICE = { uid: "web", name: "Service shop/web", targetPorts: [8080], wish: undefined };

type Options = Partial<Pick<AdmissionServerDeps, "review" | "leaveMs" | "bytesAtOnce" | "connectionsAtOnce">> & {
  readonly selects?: SelectsPods;
  readonly clock?: Clock;
};

export async function aWebhook(t: TestContext, { leaveMs = 50, selects, clock = makeClock(), ...options }: Options = {}) {
  const { caPem, issue } = await certificates();
  let current = await issue();
  const listeners = new Set<(serving: Serving) => void>();
  const results: string[] = [];
  const warnings: unknown[] = [];
  let connections = 0;
  const server = makeAdmissionServer({
    host: HOST,
    port: 0,
    shared: false,
    review: makeReview(
      selects ?? ((namespace, labels) => (namespace === "shop" && labels["app"] === "web" ? [SERVICE] : [])),
      DEFAULT_GATE_TYPE,
    ),
    ...options,
    serving: {
      get current() {
        return current;
      },
      subscribe: (listener) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    },
    clock,
    log: { ...silentLog, debug: () => undefined, warn: (...args: unknown[]) => void warnings.push(args) },
    onReview: (result) => void results.push(result),
    onConnection: () => void (connections += 1),
    leaveMs,
  });
  const port = await server.start();
  t.after(() => server.stop());
  const agent = new Agent({ keepAlive: true, ca: caPem, maxSockets: 1 });
  t.after(() => agent.destroy());
  const rotate = async (): Promise<void> => {
    current = await issue();
    for (const listener of listeners) listener(current);
  };
  const ask = (path: string, body: string) => post(agent, `https://${HOST}:${port}${path}`, body);
  return {
    server,
    ask,
    rotate,
    results,
    warnings,
    caPem,
    listeners,
    agent,
    connections: () => connections,
    url: `https://${HOST}:${port}`,
  };
}

export type Answer = { readonly status: number; readonly connection: string; readonly body: Record<string, unknown> };

export function post(agent: Agent, url: string, body: string, method = "POST"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method, headers: { "content-length": Buffer.byteLength(body) } }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          connection: response.headers.connection ?? "",
          body: JSON.parse(Buffer.concat(chunks).toString() || "{}"),
        }),
      );
    });
    sent.once("error", reject);
    sent.end(body);
  });
}

export const review = (pod: object, namespace = "shop"): string =>
  JSON.stringify({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: { uid: "r-1", namespace, object: pod, dryRun: true },
  });
export const WEB = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web" }] } };
