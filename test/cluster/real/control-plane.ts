/** A real control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler as child processes of this one, without root. */
import { generateKeyPairSync } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeClock } from "../../../common/clock.ts";
import { type KubeClient, makeKubeClient } from "../../../common/kube-client.ts";
import { issueAuthority, issueServing, type Material } from "../../../coordinator/tls/certificate.ts";
import { applyManifests, loadManifests } from "../manifests.ts";
import type { AddressPlan } from "../network.ts";
import { lastLines, type RunningProcess, until } from "../process.ts";
import { answered } from "../simulated/cluster.ts";
import type { ControlPlaneBinaries } from "./binaries.ts";
import { ADMIN, CONTROLLER_MANAGER, issueClient, type KubeUser, kubeconfigOf, SCHEDULER } from "./certificates.ts";
import { startChild } from "./child.ts";
import { AUDIT_POLICY, apiServerFlags, controllerManagerFlags, etcdFlags, filesIn, PORTS, SERVICE_IP, schedulerFlags } from "./flags.ts";
import type { CONTROL_PLANE } from "./modules.ts";
import { isHealthy } from "./readiness.ts";

export type PartName = (typeof CONTROL_PLANE)[number];

export type ControlPlaneOptions = {
  /** Everything listens on `plan.apiServer`, e.g. 10.244.3.203, unless `address` says otherwise. */
  readonly plan: AddressPlan;
  readonly binaries: ControlPlaneBinaries;
  /** An address that the nodes can reach, e.g. that of a bridge. */
  readonly address?: string;
  /** Kept after the end. Default: a temporary folder, which is removed. */
  readonly directory?: string;
  /** Added to a part's command line, e.g. { "kube-apiserver": ["--v=4"] }. */
  readonly flags?: Partial<Readonly<Record<PartName, readonly string[]>>>;
};

export type RealCluster = {
  /** E.g. "https://10.244.3.203:6443". */
  readonly url: string;
  readonly caPem: string;
  /** E.g. "v1.36.3". */
  readonly version: string;
  /** Logs (kube-apiserver.log), certificates and kubeconfig files are here. */
  readonly directory: string;
  /** One JSON object per line and request, level Metadata. */
  readonly auditLog: string;
  /** Content of a kubeconfig file for that user; ADMIN, kubeletUser("node-a") or anybody. */
  readonly kubeconfig: (user: KubeUser) => Promise<string>;
  /** The same as a file in `directory`, written once per user. */
  readonly kubeconfigFile: (user: KubeUser) => Promise<string>;
  /** A client for that user, closed with the cluster. */
  readonly client: (user: KubeUser) => Promise<KubeClient>;
  /** The part's running process, e.g. to freeze it. */
  readonly part: (name: PartName) => RunningProcess;
  /** Ends a part (SIGKILL) and starts it again with the same data; settles when it is healthy. */
  readonly restart: (name: PartName) => Promise<void>;
  readonly stop: () => Promise<void>;
};

const READY_MS = 90_000;
const LOOK_MS = 200;
/** SIGTERM lets an API server wait for open watches for a minute; nothing here is worth that. */
const GRACE_MS = 2_000;
const CRDS = fileURLToPath(new URL("../../../deploy/chart/crds/tkeserviceconfigs.yaml", import.meta.url));

/** Why no real cluster can run with these addresses; undefined: it can. */
export const networkFault = ({ kind }: AddressPlan): string | undefined =>
  kind === "namespace"
    ? undefined
    : "a real API server refuses loopback addresses: run it with node test/cluster/network.ts -- <command …>";

/** Settles when all parts are healthy and Pods can be created. Rejects with one message; nothing is left running or lying about then. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<RealCluster> {
  const { plan, binaries, address = plan.apiServer } = options;
  const fault = networkFault(plan);
  if (fault !== undefined) throw new Error(fault);
  await checkPorts(address);
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), "clb-direct-real-")));
  const parts = new Map<PartName, RunningProcess>();
  const clients: KubeClient[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await endParts(parts);
    if (options.directory === undefined) await rm(directory, { recursive: true, force: true });
  };
  try {
    await mkdir(directory, { recursive: true });
    const authority = await issueAuthority(Date.now());
    const url = `https://${address}:${PORTS.api}`;
    const kubeconfig = async (user: KubeUser): Promise<string> =>
      kubeconfigOf(url, authority.certPem, user, await issueClient(authority, user));
    await writeFiles(directory, address, authority, kubeconfig);
    const start = makeStart({ binaries, address, directory, flags: options.flags ?? {}, parts, probe: await prober(authority) });
    await start("etcd");
    await start("kube-apiserver");
    await Promise.all([start("kube-controller-manager"), start("kube-scheduler")]);
    const written = new Map<string, Promise<string>>();
    const kubeconfigFile = (user: KubeUser): Promise<string> => {
      const name = `${[user.name, ...user.groups].join("+").replaceAll(/[^\w.+-]/g, "_")}.kubeconfig`;
      const file = written.get(name) ?? kubeconfig(user).then((text) => save(join(directory, name), text));
      written.set(name, file);
      return file;
    };
    const client = async (user: KubeUser): Promise<KubeClient> => {
      const made = await makeKubeClient({ clock: makeClock(), env: { KUBECONFIG: await kubeconfigFile(user) }, userAgent: "real-cluster" });
      clients.push(made);
      return made;
    };
    const version = await prepareCluster(await client(ADMIN));
    const part = (name: PartName): RunningProcess => {
      const found = parts.get(name);
      if (found === undefined) throw new Error(`${name} has been stopped`);
      return found;
    };
    const restart = async (name: PartName): Promise<void> => {
      part(name).signal("SIGKILL");
      await part(name).exited;
      await start(name);
    };
    const { auditLog } = filesIn(directory);
    return { url, caPem: authority.certPem, version, directory, auditLog, kubeconfig, kubeconfigFile, client, part, restart, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Probe = (url: string) => Promise<boolean>;

const prober = async (authority: Material): Promise<Probe> => {
  const { certPem, keyPem } = await issueClient(authority, ADMIN);
  return (url) => isHealthy(url, { ca: authority.certPem, cert: certPem, key: keyPem });
};

/** Starts a part and waits until it is healthy. */
function makeStart(from: {
  readonly binaries: ControlPlaneBinaries;
  readonly address: string;
  readonly directory: string;
  readonly flags: Partial<Readonly<Record<PartName, readonly string[]>>>;
  readonly parts: Map<PartName, RunningProcess>;
  readonly probe: Probe;
}): (name: PartName) => Promise<void> {
  const { address, directory, parts } = from;
  const files = filesIn(directory);
  const lines: Readonly<Record<PartName, { readonly args: readonly string[]; readonly health: string }>> = {
    etcd: { args: etcdFlags(address, files), health: `http://${address}:${PORTS.etcd}/readyz` },
    "kube-apiserver": { args: apiServerFlags(address, files), health: `https://${address}:${PORTS.api}/readyz` },
    "kube-controller-manager": {
      args: controllerManagerFlags(address, files),
      health: `https://${address}:${PORTS.controllerManager}/healthz`,
    },
    "kube-scheduler": { args: schedulerFlags(address, files), health: `https://${address}:${PORTS.scheduler}/healthz` },
  };
  return async (name) => {
    const { args, health } = lines[name];
    const logFile = join(directory, `${name}.log`);
    const file = from.binaries[name];
    const running = startChild({ name, file, args: [...args, ...(from.flags[name] ?? [])], logFile, graceMs: GRACE_MS });
    parts.set(name, running);
    await until(
      () => `${name} is not healthy:\n${lastLines(logFile)}`,
      async () => {
        if (running.hasExited()) throw new Error(`${name} ended with ${await running.exited} while starting:\n${lastLines(logFile)}`);
        return await from.probe(health);
      },
      READY_MS,
    );
  };
}

/** etcd last: an API server without it does not obey SIGTERM for a minute (toolchain.md §12). */
async function endParts(parts: Map<PartName, RunningProcess>): Promise<void> {
  await Promise.all((["kube-controller-manager", "kube-scheduler"] as const).map(async (name) => await parts.get(name)?.stop()));
  await parts.get("kube-apiserver")?.stop();
  await parts.get("etcd")?.stop();
  parts.clear();
}

async function checkPorts(address: string): Promise<void> {
  for (const [part, port] of Object.entries(PORTS)) {
    const code = await listenFault(address, port);
    if (code === "EADDRINUSE")
      throw new Error(`${address}:${port} (${part}) is in use: end what listens there (ss -ltnp), or choose another slot`);
    if (code === "EADDRNOTAVAIL") throw new Error(`${address} is not local here: run it with node test/cluster/network.ts -- <command …>`);
    if (code !== undefined) throw new Error(`${address}:${port} (${part}) cannot be listened on: ${code}`);
  }
}

const listenFault = (host: string, port: number): Promise<string | undefined> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });

async function save(file: string, text: string): Promise<string> {
  await writeFile(file, text, { mode: 0o600 });
  return file;
}

async function writeFiles(
  directory: string,
  address: string,
  authority: Material,
  kubeconfig: (user: KubeUser) => Promise<string>,
): Promise<void> {
  const files = filesIn(directory);
  const names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
  const serving = await issueServing(authority, names, [address, SERVICE_IP], Date.now());
  const toKubelets = await issueClient(authority, { name: "kube-apiserver-kubelet-client", groups: ["system:masters"] });
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await Promise.all([
    save(files.ca, authority.certPem),
    save(files.servingCertificate, serving.certPem),
    save(files.servingKey, serving.keyPem),
    save(files.kubeletClientCertificate, toKubelets.certPem),
    save(files.kubeletClientKey, toKubelets.keyPem),
    save(files.serviceAccountKey, privateKey.export({ type: "sec1", format: "pem" }).toString()),
    save(files.auditPolicy, AUDIT_POLICY),
    kubeconfig(CONTROLLER_MANAGER).then((text) => save(files.controllerManagerConfig, text)),
    kubeconfig(SCHEDULER).then((text) => save(files.schedulerConfig, text)),
  ]);
}

/** Installs what the product expects of a TKE cluster, and waits until Pods can be created; gives the server's version. */
async function prepareCluster(client: KubeClient): Promise<string> {
  await applyManifests(client, await loadManifests(CRDS));
  const isThere = (path: string) => (): Promise<boolean> =>
    client.get(path).then(
      () => true,
      (error: unknown) => {
        if (answered(error, 404, 429, 503)) return false; // 429: "storage is (re)initializing", the answer for a new CRD
        throw error;
      },
    );
  await until("TkeServiceConfig is served", isThere("/apis/cloud.tencent.com/v1alpha1/tkeserviceconfigs"), READY_MS, LOOK_MS);
  // Comes after some 4 s: a stock controller manager makes a ServiceAccount per controller first, at 20 requests/s.
  await until("ServiceAccount default is made", isThere("/api/v1/namespaces/default/serviceaccounts/default"), READY_MS, LOOK_MS);
  return (await client.get<{ readonly gitVersion: string }>("/version")).gitVersion;
}
