/** Two (or one to three) real nodes in the harness's network namespace: real kubelets, real containers. Needs root. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { KubeClient } from "../../../../common/kubernetes/requests.ts";
import type { AddressPlan } from "../../network.ts";
import { lastLines, type RunningProcess, until } from "../../process.ts";
import { answered } from "../../simulated/cluster.ts";
import { ADMIN } from "../certificates.ts";
import { startChild } from "../child.ts";
import { networkFault, type RealCluster } from "../control-plane.ts";
import { untilSchedulable } from "../schedulable.ts";
import { type NodeNetwork, nodeNetwork, planWithRealNodes } from "./addresses.ts";
import { sweepCgroups } from "./cgroups.ts";
import { importImages, type StartedNode, startNode } from "./node.ts";
import { attachEni, connectNode, removeBridge, setUpBridge } from "./outer-network.ts";
import { type NodeBinaries, nodePath } from "./requirements.ts";
import { writeImages } from "./write-images.ts";

export type RealNodesOptions = {
  readonly cluster: RealCluster;
  readonly plan: AddressPlan;
  /** Pods have their addresses from a second ENI of the node, or are bridged, as on nodes of TKE; default: a plain cable. */
  readonly isTke?: boolean;
  /** What stands in for systemd-logind on each; default: kubelets hear of no shutdown. */
  readonly logind?: string | undefined;
  /** Names, 1 to 3. */
  readonly nodes: readonly string[];
  /** From findNodes. */
  readonly binaries: NodeBinaries;
  /** Configuration, logs and the image go to a folder per node in it; not removed. */
  readonly directory: string;
};

export type RealNode = {
  readonly name: string;
  /** E.g. "10.245.3.2". */
  readonly address: string;
  /** E.g. "10.245.3.64/26". */
  readonly podRange: string;
  /** MAC of its second ENI, where it has one. */
  readonly eniMac: string;
  /** E.g. "/proc/4711/ns/net". */
  readonly netns: string;
};

export type ExecOptions = {
  /** For messages, e.g. "agent node-a". */
  readonly name: string;
  /** E.g. [process.execPath, "agent/main.ts"]. */
  readonly command: readonly string[];
  /** The whole environment, PATH apart. */
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
};

export type RealNodes = {
  readonly nodes: readonly RealNode[];
  /** The given plan with the nodes' real addresses as `nodeAddress`. */
  readonly plan: AddressPlan;
  /** All addresses of nodes and Pods, e.g. "10.245.3.0/24", for the emulated cloud's `backendCidrs`. */
  readonly range: string;
  /** What to put before a command line that is to run on the node's network as a hostNetwork Pod does, e.g. ["nsenter", …]. */
  readonly enter: (node: string) => readonly string[];
  /** Runs a command so; ended with this process, and by stop. */
  readonly exec: (node: string, options: ExecOptions) => RunningProcess;
  /** Kills a node's kubelet, and starts it anew after `downMs`; containers go on meanwhile. */
  readonly restartKubelet: (node: string, downMs: number) => Promise<void>;
  /** A node's machine is about to shut down; resolves when its kubelet has ended the Pods. Only with `logind`. */
  readonly shutDown: (node: string, limitMs: number) => Promise<void>;
  /** Brings the images of a tar (docker-archive or OCI layout) to every node. */
  readonly load: (file: string) => Promise<void>;
  /** Ends everything on the nodes at once, containers included, and leaves nothing but files in `directory`. */
  readonly stop: () => Promise<void>;
};

/** For startControlPlane: the names of the Nodes are in no DNS, so that `kubectl logs` and `exec` have to go by address. */
export const FLAGS_FOR_REAL_NODES = { "kube-apiserver": ["--kubelet-preferred-address-types=InternalIP"] } as const;

const READY_MS = 60_000;
/** An agent's own limit is 20 s. */
const EXEC_GRACE_MS = 25_000;

/** Settles when every Node is Ready and takes Pods. Rejects with one message; nothing is left running then. */
export async function startRealNodes(options: RealNodesOptions): Promise<RealNodes> {
  const { cluster, plan, directory } = options;
  const fault = networkFault(plan);
  if (fault !== undefined) throw new Error(fault);
  const network = nodeNetwork(plan, options.nodes);
  sweepCgroups();
  await mkdir(directory, { recursive: true });
  const imageFile = join(directory, "images.tar");
  await writeImages(options.binaries.application, imageFile);
  const started = new Map<string, StartedNode>();
  const commands: RunningProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(commands.splice(0).map((command) => command.stop()));
    const ends = [...started.values()].map((node) => node.stop);
    started.clear();
    try {
      await endAll(ends);
    } finally {
      await removeBridge(network);
    }
  };
  try {
    await setUpBridge(network);
    const begun = network.nodes.map(async (addresses, index) => {
      const { isTke = false, logind } = options;
      const connect = async (pid: number): Promise<void> => {
        await connectNode(network, index, pid);
        if (isTke) await attachEni(network, index, pid);
      };
      const own = join(directory, addresses.name);
      started.set(
        addresses.name,
        await startNode({ cluster, addresses, binaries: options.binaries, directory: own, imageFile, isTke, logind, connect }),
      );
    });
    await endAll(begun.map((one) => () => one)); // all, so that stop knows each of them
    const admin = await cluster.client(ADMIN);
    for (const name of options.nodes) await untilRegistered(admin, name, started.get(name));
    await untilSchedulable(admin, options.nodes, READY_MS);
    const load = async (file: string): Promise<void> => {
      for (const { namespace } of started.values()) await importImages(namespace, options.binaries.ctr, file);
    };
    return { ...access(network, started, commands), plan: planWithRealNodes(plan, network), range: network.range, load, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Rejects at once with the kubelet's last words if it ends. */
async function untilRegistered(admin: KubeClient, name: string, node: StartedNode | undefined): Promise<void> {
  if (node === undefined) throw new Error(`${name} was stopped while starting`);
  const { kubelet } = node;
  await until(
    () => `the kubelet of ${name} does not register its Node:\n${lastLines(kubelet.logFile)}`,
    async () => {
      if (kubelet.hasExited()) throw new Error(`the kubelet of ${name} ended while starting:\n${lastLines(kubelet.logFile)}`);
      return await admin.get(`/api/v1/nodes/${name}`).then(
        () => true,
        (error: unknown) => {
          if (answered(error, 404)) return false;
          throw error;
        },
      );
    },
    READY_MS,
  );
}

/** Waits for all; rejects with what failed. */
async function endAll(steps: readonly (() => Promise<void>)[]): Promise<void> {
  const results = await Promise.allSettled(steps.map((step) => step()));
  const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, failures.map(String).join("\n"));
}

function access(
  network: NodeNetwork,
  started: ReadonlyMap<string, StartedNode>,
  commands: RunningProcess[],
): Pick<RealNodes, "nodes" | "enter" | "exec" | "restartKubelet" | "shutDown"> {
  const nodeOf = (name: string): StartedNode => {
    const node = started.get(name);
    if (node === undefined) throw new Error(`no real node ${name} runs; there are ${[...started.keys()].join(", ") || "none"}`);
    return node;
  };
  const enter = (name: string): readonly string[] => nodeOf(name).namespace.onNetwork;
  return {
    nodes: network.nodes.map(({ name, address, podRange, eni }) => ({
      name,
      address,
      podRange,
      eniMac: eni.mac,
      netns: nodeOf(name).namespace.netns,
    })),
    enter,
    restartKubelet: (name, downMs) => nodeOf(name).restartKubelet(downMs),
    shutDown: (name, limitMs) => nodeOf(name).shutDown(limitMs),
    exec: (node, { name, command, env, logFile }) => {
      const [file = "", ...args] = [...enter(node), ...command];
      const running = startChild({ name, file, args, env: { PATH: nodePath(), ...env }, logFile, graceMs: EXEC_GRACE_MS });
      commands.push(running);
      return running;
    },
  };
}
