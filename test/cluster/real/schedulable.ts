import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { until } from "../process.ts";
import { isTrue, type Node } from "../simulated/objects.ts";

type TaintedNode = Node & { readonly spec?: { readonly taints?: readonly { readonly key: string }[] } };

/**
 * Settles when every Node is Ready and free of taints. A real control plane taints a new Node `node.kubernetes.io/not-ready` until its
 * own controller has seen the first heartbeat; Pods that come earlier all go to the Node that was first.
 */
export async function untilSchedulable(client: KubeClient, names: readonly string[], limitMs = 20_000): Promise<void> {
  const isOpen = async (name: string): Promise<boolean> => {
    const { spec, status } = await client.get<TaintedNode>(`/api/v1/nodes/${name}`);
    return isTrue(status?.conditions, "Ready") && (spec?.taints ?? []).length === 0;
  };
  for (const name of names) await until(`Node ${name} takes Pods`, () => isOpen(name), limitMs);
}
