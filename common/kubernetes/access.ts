import { readFileSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { HttpMethod, RequestContext } from "@kubernetes/client-node/dist/gen/http/http.js";
import { ConfigError } from "../errors.ts";

/** What one request needs: headers, e.g. { Authorization: "Bearer …" }, and how to connect. Read anew for every request, since tokens and certificates rotate. */
export type Credentials = { readonly headers: Readonly<Record<string, string>>; readonly tls: TlsOptions };

/** The parts of TLS that a kubeconfig decides. */
export type TlsOptions = Pick<ConnectionOptions, "ca" | "cert" | "key" | "pfx" | "passphrase" | "servername" | "rejectUnauthorized">;

/** Where the API server is and as whom to ask. `server` without a slash at its end. */
export interface KubeAccess {
  readonly server: string;
  /** Throws where a file is missing or a credential plugin fails. */
  credentials(): Promise<Credentials>;
}

/** Where the kubelet mounts the token and CA of a Pod's ServiceAccount. */
const SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * KUBECONFIG, then the Pod's ServiceAccount, then ~/.kube/config, as other controllers do. Throws ConfigError when there is none or it cannot work.
 * `given`, else KUBERNETES_SERVICE_ACCOUNT_DIR, holds `token` and `ca.crt`; another place than the kubelet's is for tests and demos.
 */
export async function findKubeAccess(env: NodeJS.ProcessEnv, given?: string): Promise<KubeAccess> {
  const serviceAccountDir = given ?? env["KUBERNETES_SERVICE_ACCOUNT_DIR"] ?? SERVICE_ACCOUNT_DIR;
  const { KUBECONFIG: files, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port, HOME: home } = env;
  if (files !== undefined && files !== "") return await accessFromKubeconfig(files.split(delimiter).filter((file) => file !== ""));
  if (host !== undefined && host !== "" && exists(join(serviceAccountDir, "token")))
    return accessFromPod(host, port ?? "443", serviceAccountDir);
  const own = home === undefined ? undefined : join(home, ".kube", "config");
  if (own !== undefined && exists(own)) return await accessFromKubeconfig([own]);
  throw new ConfigError(
    `no Kubernetes cluster configured: KUBECONFIG is not set, ${join(serviceAccountDir, "token")} with KUBERNETES_SERVICE_HOST is not there, ${own ?? "~/.kube/config"} does not exist. Set KUBECONFIG to a kubeconfig file`,
  );
}

/** Written by hand, because the library's KubeConfig loads every API model: 55 MiB in each agent (toolchain.md §5). */
function accessFromPod(host: string, port: string, directory: string): KubeAccess {
  const token = makeFileReader(join(directory, "token"));
  const ca = makeFileReader(join(directory, "ca.crt"));
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    credentials: async () => await Promise.resolve({ headers: { Authorization: `Bearer ${token().trim()}` }, tls: { ca: ca() } }),
  };
}

/** Through the library, which knows exec plugins, OIDC and the rest. */
async function accessFromKubeconfig(files: readonly string[]): Promise<KubeAccess> {
  const { KubeConfig } = await import("@kubernetes/client-node/dist/config.js");
  const config = new KubeConfig();
  try {
    for (const [index, file] of files.entries()) {
      const part = index === 0 ? config : new KubeConfig();
      part.loadFromFile(file);
      if (part !== config) config.mergeConfig(part, true);
    }
  } catch (error) {
    throw new ConfigError(`kubeconfig ${files.join(delimiter)} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null || !URL.canParse(cluster.server))
    throw new ConfigError(
      `kubeconfig ${files.join(delimiter)}: current-context "${config.currentContext}" names no cluster with a server; set current-context`,
    );
  if (cluster.proxyUrl !== undefined && cluster.proxyUrl !== null)
    throw new ConfigError(
      `kubeconfig ${files.join(delimiter)}: cluster "${cluster.name}" has proxy-url ${cluster.proxyUrl}, which is not supported; remove it`,
    );

  // The library would make an undici Agent per request (kubernetes.md §6): take the options it would have used, and make none.
  let tls: TlsOptions = {};
  config.createDispatcherOptions = (_cluster, { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized }) => {
    tls = defined({ ca, cert, key, pfx, passphrase, servername, rejectUnauthorized });
    return { type: "none" };
  };
  const tokenFile: unknown = config.getCurrentUser()?.authProvider?.config?.tokenFile;
  const token = typeof tokenFile === "string" ? makeFileReader(tokenFile) : undefined; // the library reads it once a minute
  return {
    server: cluster.server.replace(/\/+$/, ""),
    credentials: async () => {
      const context = new RequestContext(cluster.server, HttpMethod.GET);
      await config.applySecurityAuthentication(context);
      const headers = token === undefined ? context.getHeaders() : { ...context.getHeaders(), Authorization: `Bearer ${token().trim()}` };
      return { headers, tls };
    },
  };
}

/** Drops undefined values, which undici would take for settings. */
function defined(options: { [K in keyof TlsOptions]: TlsOptions[K] | undefined }): TlsOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/**
 * The text of a file, read again when the file changed; requests of one turn of the event loop look once. Projected files are swapped by a
 * link, so the inode tells as well.
 */
function makeFileReader(path: string): () => string {
  let seen = "";
  let text = "";
  let isSeenInTurn = false;
  return () => {
    if (isSeenInTurn) return text;
    const { mtimeMs, ino, size } = statSync(path);
    isSeenInTurn = true;
    setImmediate(() => {
      isSeenInTurn = false;
    });
    const stamp = `${mtimeMs} ${ino} ${size}`;
    if (stamp !== seen) text = readFileSync(path, "utf8");
    seen = stamp;
    return text;
  };
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
