/** What befalls the Pods of a proof, as people and machines do it. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { LEADER_LEASE } from "../../common/names.ts";
import { until } from "../cluster/process.ts";
import { answered } from "../cluster/simulated/cluster.ts";
import { isReady, type Pod } from "../cluster/simulated/objects.ts";
import { processesOf } from "./memory.ts";
import { NAMESPACE } from "./names.ts";

const LIMIT_MS = 900_000;
const EVERY_MS = 250;

type Deployment = {
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly replicas: number };
  readonly status: {
    readonly observedGeneration?: number;
    readonly updatedReplicas?: number;
    readonly replicas?: number;
    readonly readyReplicas?: number;
  };
};

const deploymentAt = (namespace: string): string => `/apis/apps/v1/namespaces/${namespace}/deployments/web`;
export const podsAt = (namespace: string): string => `/api/v1/namespaces/${namespace}/pods`;

/** Until every Pod is of the newest template and ready, and every other one is gone. */
export async function settled(admin: KubeClient, namespace: string): Promise<void> {
  const isSettled = async (): Promise<boolean> => {
    const { metadata, spec, status } = await admin.get<Deployment>(deploymentAt(namespace));
    const { observedGeneration, updatedReplicas, replicas, readyReplicas } = status;
    if (observedGeneration !== metadata.generation) return false;
    if ([updatedReplicas, replicas, readyReplicas].some((count) => count !== spec.replicas)) return false;
    const { items } = await admin.list<Pod>(podsAt(namespace));
    return items.length === spec.replicas && items.every((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined);
  };
  await until(`the Pods of ${namespace} are settled`, isSettled, LIMIT_MS, EVERY_MS);
}

/** As `kubectl rollout restart` does; over when the old Pods are gone, too. */
export async function roll(admin: KubeClient, namespace: string): Promise<void> {
  const annotations = { "kubectl.kubernetes.io/restartedAt": new Date().toISOString() };
  await admin.patch(deploymentAt(namespace), { spec: { template: { metadata: { annotations } } } }, "merge");
  await settled(admin, namespace);
}

/** As `kubectl drain` does, and `kubectl uncordon` afterwards. */
export async function drain(admin: KubeClient, namespace: string, node: string): Promise<void> {
  const cordon = (unschedulable: boolean): Promise<unknown> => admin.patch(`/api/v1/nodes/${node}`, { spec: { unschedulable } }, "merge");
  await cordon(true);
  const { items } = await admin.list<Pod>(podsAt(namespace), { fieldSelector: `spec.nodeName=${node}` });
  await Promise.all(items.map(({ metadata }) => evict(admin, namespace, metadata.name)));
  await settled(admin, namespace);
  await cordon(false);
}

async function evict(admin: KubeClient, namespace: string, name: string): Promise<void> {
  const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace } };
  const isEvicted = (): Promise<boolean> =>
    admin.create(`${podsAt(namespace)}/${name}/eviction`, body).then(
      () => true,
      (error: unknown) => {
        if (answered(error, 404)) return true;
        if (answered(error, 429)) return false; // a disruption budget says later
        throw error;
      },
    );
  await until(`${name} is evicted`, isEvicted, LIMIT_MS, EVERY_MS);
}

/** One Pod that happens to be there. */
export async function deleteOne(admin: KubeClient, namespace: string, random: () => number): Promise<void> {
  const { items } = await admin.list<Pod>(podsAt(namespace));
  const pod = items[Math.floor(random() * items.length)];
  if (pod !== undefined) await admin.delete(`${podsAt(namespace)}/${pod.metadata.name}`);
  await settled(admin, namespace);
}

/** Deletes the coordinator that leads, without a grace period. */
export async function deleteLeader(admin: KubeClient): Promise<void> {
  type Lease = { readonly spec: { readonly holderIdentity?: string } };
  const { spec } = await admin.get<Lease>(`/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/${LEADER_LEASE}`);
  const name = spec.holderIdentity?.replace(/_.*/, "") ?? "";
  await admin.delete(`${podsAt(NAMESPACE)}/${name}`, { gracePeriodSeconds: 0 });
}

/** SIGKILL for the process of one coordinator, as the kernel does it when memory is out; over when its container is ready again. */
export async function killCoordinator(admin: KubeClient): Promise<void> {
  const [victim] = (await processesOf(admin, NAMESPACE)).filter(({ container }) => container === "coordinator");
  if (victim === undefined) throw new Error("no process of a coordinator is found");
  type Restarted = Pod & { readonly status?: { readonly containerStatuses?: readonly { readonly restartCount: number }[] } };
  const read = (): Promise<Restarted> => admin.get<Restarted>(`${podsAt(NAMESPACE)}/${victim.pod}`);
  const restartsOf = (pod: Restarted): number => pod.status?.containerStatuses?.[0]?.restartCount ?? 0;
  const before = restartsOf(await read());
  process.kill(victim.pid, "SIGKILL");
  const isBack = async (): Promise<boolean> => {
    const pod = await read();
    return restartsOf(pod) > before && isReady(pod);
  };
  await until(`${victim.pod} runs again`, isBack, LIMIT_MS, EVERY_MS);
}

/**
 * A signal for every process of these programs, e.g. ["agent.mjs", "hold.mjs"], on the networks of these nodes, e.g. ["/proc/4711/ns/net"]; how
 * many there were.
 */
export function signalAll(signal: NodeJS.Signals, programs: readonly string[], networks: readonly string[]): number {
  const wanted = new Set(networks.map((network) => statSync(network).ino));
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isOneOn(name, programs, wanted));
  for (const pid of pids) process.kill(Number(pid), signal);
  return pids.length;
}

function isOneOn(pid: string, programs: readonly string[], networks: ReadonlySet<number>): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return command.some((part) => programs.includes(part)) && networks.has(statSync(`/proc/${pid}/ns/net`).ino);
  } catch {
    return false; // it ended meanwhile
  }
}
