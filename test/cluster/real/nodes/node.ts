/** One real node: containerd and kubelet in namespaces of their own. */
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { lastLines, type RunningProcess, until } from "../../process.ts";
import { kubeletUser } from "../certificates.ts";
import { startChild } from "../child.ts";
import type { RealCluster } from "../control-plane.ts";
import { filesIn } from "../files.ts";
import type { NodeAddresses } from "./addresses.ts";
import { cgroupOf, makeCgroup, removeCgroup } from "./cgroups.ts";
import { CONTAINERD_SOCKET, cniConfig, containerdConfig, kubeletConfig, TKE_NETWORKS } from "./configuration.ts";
import { type NodeNamespace, startNamespace } from "./node-namespace.ts";
import { type NodeBinaries, nodePath } from "./requirements.ts";
import { run } from "./run.ts";

export type NodeOptions = {
  readonly cluster: Pick<RealCluster, "kubeconfigFile" | "directory">;
  readonly addresses: NodeAddresses;
  readonly binaries: NodeBinaries;
  /** Of this node alone: configuration and logs. */
  readonly directory: string;
  /** Tar with the images that its Pods may use. */
  readonly imageFile: string;
  /** The node is one of TKE's: its Pods get rules and tables by the chained plugin. */
  readonly isTke: boolean;
  /** What stands in for systemd-logind, so that its kubelet hears when the machine is about to shut down; undefined: nothing does. */
  readonly logind?: string | undefined;
  /** Lays the node's cable, before anything runs in it. */
  readonly connect: (pid: number) => Promise<void>;
};

export type StartedNode = {
  readonly namespace: NodeNamespace;
  /** Ends when the kubelet does; a signal to it does not reach the kubelet, which is in process namespaces of its own. */
  readonly kubelet: Pick<RunningProcess, "hasExited" | "logFile">;
  /** SIGKILL for the kubelet, and a new one after `downMs`. */
  readonly restartKubelet: (downMs: number) => Promise<void>;
  /** The machine is about to shut down; resolves when its kubelet has ended the Pods and lets it. */
  readonly shutDown: (limitMs: number) => Promise<void>;
  readonly stop: () => Promise<void>;
};

const CONTAINERD_MS = 20_000;
const LOGIND_MS = 10_000;

/** Settles when the kubelet has started; it registers its Node a moment later. Nothing is left running if it rejects. */
export async function startNode(options: NodeOptions): Promise<StartedNode> {
  const { addresses, directory } = options;
  await mkdir(join(directory, "cni"), { recursive: true });
  const cgroup = cgroupOf(addresses.name);
  let namespace: NodeNamespace | undefined;
  const stop = async (): Promise<void> => {
    await namespace?.stop();
    await removeCgroup(cgroup);
  };
  try {
    makeCgroup(cgroup);
    namespace = await startNamespace(addresses.name, directory, cgroup);
    await options.connect(namespace.pid);
    await startContainerd(options, namespace);
    const { inside } = namespace;
    const own = namespace;
    const restartKubelet = async (downMs: number): Promise<void> => {
      await run([...inside, "pkill", "-KILL", "-x", "kubelet"]); // in the node's own process namespace
      await sleep(downMs);
      await startKubelet(options, own);
    };
    const shutDown = await startLogind(options, namespace);
    return { namespace, kubelet: await startKubelet(options, namespace), restartKubelet, shutDown, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function startPart({ directory }: NodeOptions, namespace: NodeNamespace, command: readonly string[], path: string): RunningProcess {
  const name = command[0]?.split("/").at(-1) ?? "";
  const [file = "", ...args] = [...namespace.inside, ...command];
  return startChild({ name, file, args, logFile: join(directory, `${name}.log`), env: { PATH: path }, graceMs: 0 });
}

async function startContainerd(options: NodeOptions, namespace: NodeNamespace): Promise<void> {
  const { binaries, directory } = options;
  const file = join(directory, "containerd.toml");
  const plugins = options.isTke ? [await writePlugin(directory)] : [];
  await writeFile(file, containerdConfig(join(directory, "cni"), plugins));
  await writeFile(join(directory, "cni", "10-pods.conflist"), cniConfig(options.addresses, options.isTke ? [TKE_NETWORKS] : []));
  const path = `${dirname(binaries["containerd-shim-runc-v2"])}:${nodePath()}`; // it looks for its shim there
  const containerd = startPart(options, namespace, [binaries.containerd, "--config", file], path);
  const ctr = ctrOf(namespace, binaries.ctr);
  await until(
    () => `containerd does not answer:\n${lastLines(containerd.logFile)}`,
    () => {
      if (containerd.hasExited()) throw new Error(`containerd ended while starting:\n${lastLines(containerd.logFile)}`);
      return run([...ctr, "version"]).catch(() => "");
    },
    CONTAINERD_MS,
    100,
  );
  await importImages(namespace, binaries.ctr, options.imageFile);
}

/** A folder with the chained plugin: CNI calls programs, not scripts of Node. */
async function writePlugin(directory: string): Promise<string> {
  const folder = join(directory, "cni-plugins");
  await mkdir(folder, { recursive: true });
  const file = join(folder, TKE_NETWORKS);
  await writeFile(file, `#!/bin/sh\nexec "${process.execPath}" "${fileURLToPath(new URL("tke-networks.ts", import.meta.url))}"\n`);
  await chmod(file, 0o755);
  return folder;
}

const ctrOf = (namespace: NodeNamespace, ctr: string): readonly string[] => [...namespace.inside, ctr, "--address", CONTAINERD_SOCKET];

/** From a tar that any file of this machine may be. */
export async function importImages(namespace: NodeNamespace, ctr: string, file: string): Promise<void> {
  await run([...ctrOf(namespace, ctr), "--namespace", "k8s.io", "images", "import", file]);
}

/** Where a kubelet looks for the system bus, which it does once, when it starts. */
const SYSTEM_BUS = "/run/dbus/system_bus_socket";

async function startLogind(options: NodeOptions, namespace: NodeNamespace): Promise<StartedNode["shutDown"]> {
  const { logind, directory } = options;
  if (logind === undefined) return () => Promise.reject(new Error("nothing tells this node's kubelet of a shutdown"));
  const order = join(directory, "shut-down");
  const { logFile } = startPart(options, namespace, [logind, SYSTEM_BUS, order], nodePath());
  const says = (what: string, limitMs: number): Promise<unknown> =>
    until(`logind says "${what}"`, async () => (await readFile(logFile, "utf8")).split("\n").includes(what), limitMs);
  await says("listening", LOGIND_MS);
  return async (limitMs) => {
    await says("inhibited", LOGIND_MS);
    await writeFile(order, "");
    await says("released", limitMs);
  };
}

async function startKubelet(options: NodeOptions, namespace: NodeNamespace): Promise<RunningProcess> {
  const { addresses, binaries, cluster, directory } = options;
  const file = join(directory, "kubelet.json");
  const resolvConf = join(directory, "resolv.conf");
  await writeFile(resolvConf, "");
  const clientCa = filesIn(cluster.directory).ca;
  await writeFile(file, kubeletConfig(addresses, { clientCa, resolvConf, shutsDown: options.logind !== undefined }));
  const flags = {
    config: file,
    kubeconfig: await cluster.kubeconfigFile(kubeletUser(addresses.name)),
    "hostname-override": addresses.name,
    "node-ip": addresses.address,
    "root-dir": "/var/lib/kubelet",
    "cert-dir": "/var/lib/kubelet/pki",
  };
  return startPart(options, namespace, [binaries.kubelet, ...Object.entries(flags).map(([key, value]) => `--${key}=${value}`)], nodePath());
}
