import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { isIP } from "node:net";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import { Webhooks } from "./admission.ts";
import { startCollector } from "./collector.ts";
import { type Fault, Faults } from "./faults.ts";
import { Listener } from "./listener.ts";
import { type AuditEntry, type Parts, serve } from "./requests.ts";
import { resourceNamed } from "./resources.ts";
import { Store } from "./store.ts";
import { Tokens } from "./tokens.ts";
import { Watches } from "./watches.ts";
import { ObjectsWriter } from "./writer.ts";

export type { AuditEntry, Fault };

export type ApiServerOptions = {
  /** Address to listen on. Default 127.0.0.1. */
  readonly host?: string;
  /** Ports for HTTPS and HTTP; 0, the default, takes free ones. */
  readonly port?: number;
  readonly httpPort?: number;
  /** Between two bookmarks of a watch. Default 60 000, as on the real server. */
  readonly bookmarkMs?: number;
  readonly adminToken?: string;
  readonly nowMs?: () => number;
  /** Told of every answered request about a resource; of a watch when it begins. */
  readonly onRequest?: (entry: AuditEntry) => void;
};

export type EmbeddedCluster = {
  /** "https://127.0.0.1:45001"; the same API without TLS is at `httpUrl`. */
  readonly url: string;
  readonly httpUrl: string;
  readonly caPem: string;
  readonly adminToken: string;
  /** For kubectl, as YAML, with the admin's token. */
  kubeconfig(): string;
  /** What is stored, past the API: to look at it, and to fill it with many objects at once. Objects lack kind and apiVersion and must not be changed in place. */
  readonly store: Store;
  /** ServiceAccount tokens without a request. */
  readonly tokens: Pick<Tokens, "issue">;
  readonly faults: { inject(fault: Fault): void };
  /** Running watches, e.g. to wait until a client has begun. */
  watchCount(): number;
  stop(): Promise<void>;
};

/** Starts an API server on loopback; nothing of it is left after `stop()`. Rejects when a port is taken. */
export async function startApiServer(options: ApiServerOptions = {}): Promise<EmbeddedCluster> {
  const { host = "127.0.0.1", adminToken = randomUUID(), nowMs = Date.now, onRequest = () => undefined } = options;
  const store = new Store();
  const writer = new ObjectsWriter(store, nowMs);
  const watches = new Watches(store, options.bookmarkMs ?? 60_000);
  const tokens = new Tokens(store, { adminToken, nowMs });
  const authority = await issueAuthority(Date.now());
  const [names, ips] = [["localhost", "kubernetes.default.svc"], ["127.0.0.1"]];
  (isIP(host) ? ips : names).push(host);
  const { certPem: cert, keyPem: key } = await issueServing(authority, names, [...new Set(ips)], Date.now());
  const answer = (request: IncomingMessage, response: ServerResponse): void => void serve(parts, request, response);
  const tls = new Listener(createTlsServer({ cert, key }, answer), host, "secureConnection");
  const plain = new Listener(createServer(answer), host, "connection");
  const both = [tls, plain];
  const faults = new Faults({ store, watches, listeners: both });
  const webhooks = new Webhooks(store);
  const parts: Parts = { store, writer, tokens, nowMs, faults, watches, webhooks, onRequest };
  const stopCollector = startCollector(store, writer);
  const stop = async (): Promise<void> => {
    stopCollector();
    faults.stop();
    watches.stop();
    webhooks.stop();
    await Promise.all(both.map((one) => one.stop()));
  };
  for (const name of ["default", "kube-system"]) writer.create(resourceNamed("namespaces"), undefined, { metadata: { name } });
  try {
    await tls.start(options.port ?? 0);
    await plain.start(options.httpPort ?? 0);
  } catch (error) {
    await stop();
    throw error;
  }
  const name = host.includes(":") ? `[${host}]` : host;
  const [url, httpUrl, caPem] = [`https://${name}:${tls.port}`, `http://${name}:${plain.port}`, authority.certPem];
  const kubeconfig = (): string => kubeconfigYaml(url, caPem, adminToken);
  return { url, httpUrl, caPem, adminToken, kubeconfig, store, tokens, faults, watchCount: () => watches.count, stop };
}

const kubeconfigYaml = (url: string, caPem: string, token: string): string => `apiVersion: v1
kind: Config
clusters: [{ name: embedded, cluster: { server: "${url}", certificate-authority-data: ${Buffer.from(caPem).toString("base64")} } }]
users: [{ name: admin, user: { token: "${token}" } }]
contexts: [{ name: embedded, context: { cluster: embedded, user: admin, namespace: default } }]
current-context: embedded
`;
