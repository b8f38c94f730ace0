import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import type { AddressPlan } from "../network.ts";
import type { Cluster } from "./cluster.ts";
import { startDeploymentController } from "./deployments.ts";
import { startPodCollector } from "./garbage.ts";
import { redirectFault } from "./hold-address.ts";
import { startKubelet } from "./kubelet.ts";
import { startScheduler } from "./scheduler.ts";

export type SimulatedOptions = Cluster & {
  /** Each Node gets an equal share of the plan's Pod addresses and `plan.nodeAddress(index)` as its own, e.g. ["node-a", "node-b"]. */
  readonly nodes: readonly string[];
  readonly plan: AddressPlan;
  readonly nodeLabels?: Readonly<Record<string, string>>;
  /** As whom a Node's kubelet asks the API, e.g. with a certificate of system:node:node-a; the caller closes it. Default: `client`. */
  readonly kubeletClient?: (nodeName: string) => KubeClient | Promise<KubeClient>;
  /** What a real control plane does itself is left to it. Default: all three. */
  readonly controllers?: readonly ("deployments" | "scheduler" | "garbage")[];
  /** How long a Node must be missing before its Pods end; default 50 s. */
  readonly quarantineMs?: number;
};

export type SimulatedCluster = {
  /** Ends one node's kubelet and all that runs on it, as a power cut does; the API is told nothing. */
  readonly stopNode: (name: string) => Promise<void>;
  /** Ends everything; nothing listens any more, the objects in the API stay. */
  readonly stop: () => Promise<void>;
};

/** Kubelets, scheduler and controllers in this process, over the API only. Rejects if the API cannot be reached for the first writes. */
export async function startSimulatedCluster(options: SimulatedOptions): Promise<SimulatedCluster> {
  const { nodes, plan, controllers = ["deployments", "scheduler", "garbage"] } = options;
  const kubelets = new Map<string, { stop: () => Promise<void> }>();
  const parts: { stop: () => Promise<void> }[] = [];
  const withRule = redirectFault(plan.kind) === undefined;
  const share = Math.floor(plan.podAddresses.length / Math.max(1, nodes.length));
  const stop = async (): Promise<void> => {
    await Promise.all(parts.splice(0).map((part) => part.stop()));
    await Promise.all([...kubelets.values()].map((kubelet) => kubelet.stop()));
    kubelets.clear();
  };
  try {
    for (const [index, nodeName] of nodes.entries()) {
      const podAddresses = plan.podAddresses.slice(index * share, (index + 1) * share);
      const labels = options.nodeLabels === undefined ? {} : { labels: options.nodeLabels };
      const client = (await options.kubeletClient?.(nodeName)) ?? options.client;
      const address = plan.nodeAddress(index);
      const own = { nodeName, podAddresses, address, holdAddress: withRule ? undefined : address };
      kubelets.set(nodeName, await startKubelet({ ...options, ...labels, ...own, client }));
    }
    if (controllers.includes("scheduler")) parts.push(await startScheduler(options));
    if (controllers.includes("deployments")) parts.push(await startDeploymentController(options));
    if (controllers.includes("garbage")) parts.push(await startPodCollector(options, options.quarantineMs));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    stop,
    stopNode: async (name) => {
      await kubelets.get(name)?.stop();
      kubelets.delete(name);
    },
  };
}
