/** A real control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler as child processes of this one, without root. */
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { issueAuthority, type Material } from "../../../coordinator/tls/certificate.ts";
import { applyManifests, loadManifests } from "../manifests.ts";
import { type AddressPlan, claimTurn } from "../network.ts";
import { lastLines, type RunningProcess, until } from "../process.ts";
import { answered } from "../simulated/cluster.ts";
import { type Access, makeAccess } from "./access.ts";
import type { ControlPlaneBinaries } from "./binaries.ts";
import { ADMIN, issueClient } from "./certificates.ts";
import { startChild } from "./child.ts";
import { filesIn, makeDirectory, writeFiles } from "./files.ts";
import { apiServerFlags, controllerManagerFlags, etcdFlags, schedulerFlags } from "./flags.ts";
import type { CONTROL_PLANE } from "./modules.ts";
import { checkPorts, PORTS } from "./ports.ts";
import { isHealthy } from "./readiness.ts";

type PartName = (typeof CONTROL_PLANE)[number];

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

export type RealCluster = Access & {
  /** E.g. "https://10.244.3.203:6443". */
  readonly url: string;
  readonly caPem: string;
  /** E.g. "v1.36.3". */
  readonly version: string;
  /** Logs (kube-apiserver.log), certificates and kubeconfig files are here. */
  readonly directory: string;
  /** One JSON object per line and request, level Metadata. */
  readonly auditLog: string;
  /** The part's running process, e.g. to freeze it. */
  readonly part: (name: PartName) => RunningProcess;
  /** Ends a part (SIGKILL) and starts it again with the same data when `meanwhile` is over; settles when it is healthy. */
  readonly restart: (name: PartName, meanwhile?: () => Promise<unknown>) => Promise<void>;
  /** Saves etcd's data as it is at this moment; the result stops everything, puts the data back and starts everything again. */
  readonly backup: () => Promise<() => Promise<void>>;
  /** Copies etcd's data as it is at this moment into another folder. */
  readonly copyData: (to: string) => Promise<void>;
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
  const directory = options.directory ?? (await makeDirectory());
  const url = `https://${address}:${PORTS.api}`;
  const authority = await issueAuthority(Date.now());
  const { close, ...access } = makeAccess(url, authority, directory);
  const parts = new Map<PartName, RunningProcess>();
  const stop = async (): Promise<void> => {
    await close();
    await endParts(parts);
    if (options.directory === undefined) await rm(directory, { recursive: true, force: true });
  };
  const part = (name: PartName): RunningProcess => {
    const found = parts.get(name);
    if (found === undefined) throw new Error(`${name} has been stopped`);
    return found;
  };
  try {
    await writeFiles({ directory, address, authority, kubeconfig: access.kubeconfig });
    const start = makeStart({ binaries, address, directory, flags: options.flags ?? {}, parts, probe: await prober(authority) });
    await inTurn(async () => {
      await start("etcd");
      await start("kube-apiserver");
      await Promise.all([start("kube-controller-manager"), start("kube-scheduler")]);
    });
    const version = await prepareCluster(await access.client(ADMIN));
    const restart: RealCluster["restart"] = (name, meanwhile) =>
      inTurn(async () => {
        part(name).signal("SIGKILL");
        await part(name).exited;
        await meanwhile?.();
        await start(name);
      });
    const { etcdData, auditLog } = filesIn(directory);
    const copyData = (to: string): Promise<void> => copied(etcdData, part("etcd"), to);
    const backup: RealCluster["backup"] = () => saved(etcdData, part, start);
    return {
      ...access,
      backup,
      copyData,
      url,
      caPem: authority.certPem,
      version,
      directory,
      auditLog,
      part,
      restart,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What is copied while etcd is stopped is as after a crash, which it bears. */
async function copied(data: string, etcd: RunningProcess, to: string): Promise<void> {
  etcd.signal("SIGSTOP");
  try {
    await cp(data, to, { recursive: true });
  } finally {
    etcd.signal("SIGCONT");
  }
}

/** As an operator restores a cluster: no part keeps what it has read of the data that was lost. */
async function saved(
  data: string,
  part: (name: PartName) => RunningProcess,
  start: (name: PartName) => Promise<void>,
): Promise<() => Promise<void>> {
  const copy = `${data}-backup-${Date.now()}`;
  await copied(data, part("etcd"), copy);
  return () =>
    inTurn(async () => {
      for (const name of ["kube-controller-manager", "kube-scheduler", "kube-apiserver", "etcd"] as const) {
        part(name).signal("SIGKILL");
        await part(name).exited;
      }
      await rm(data, { recursive: true });
      await cp(copy, data, { recursive: true });
      await start("etcd");
      await start("kube-apiserver");
      await Promise.all([start("kube-controller-manager"), start("kube-scheduler")]);
    });
}

/** A start takes all of two cores for 2 s; an outage that several starts at once made longer would not be the one that a test asked for. */
async function inTurn(run: () => Promise<void>): Promise<void> {
  const release = await claimTurn();
  try {
    await run();
  } finally {
    await release();
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
