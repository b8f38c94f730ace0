/** A simulated node: registers itself, says that it is alive, and runs the Pods that are bound to it. */
import { AddressPool } from "./address-pool.ts";
import { answered, type Cluster, watchAll } from "./cluster.ts";
import { makeLoop } from "./loop.ts";
import { kubernetesTime, type Pod } from "./objects.ts";
import { PodWorker } from "./pod-worker.ts";

export type KubeletOptions = Cluster & {
  readonly nodeName: string;
  /** The node's own address: hostIP of its Pods, e.g. "10.244.3.210". */
  readonly address: string;
  /** Addresses for its Pods; no other node may have them. */
  readonly podAddresses: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** How often it writes that it is alive. Default 10 s, well within the 50 s after which Kubernetes gives a node up. */
  readonly heartbeatMs?: number;
  /** Where its hold server listens, if no rule leads calls there (hold-address.ts). */
  readonly holdAddress?: string | undefined;
};

export type Kubelet = { readonly stop: () => Promise<void> };

const HEARTBEAT_MS = 10_000;

/** Settles when the Node is registered and its Pods were listed. A Node object that is deleted later stays deleted, as with a real kubelet. */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const { client, log, address } = options;
  await register(options);
  const addresses = new AddressPool(options.podAddresses);
  const workers = new Map<string, PodWorker>();
  const ends = new Set<Promise<void>>();
  const end = (uid: string, how: "gone" | "stop"): void => {
    const ending = workers.get(uid)?.[how]();
    workers.delete(uid);
    if (ending !== undefined) ends.add(ending.finally(() => ends.delete(ending)));
  };
  const watch = watchAll<Pod>(
    options,
    "/api/v1/pods",
    { fieldSelector: `spec.nodeName=${options.nodeName}` },
    {
      changed: (pod) => {
        const worker = workers.get(pod.metadata.uid);
        if (worker !== undefined) worker.see(pod);
        else if (!isOver(pod))
          workers.set(pod.metadata.uid, new PodWorker({ client, log, hostIp: address, addresses, holdAddress: options.holdAddress }, pod));
      },
      gone: (pod) => end(pod.metadata.uid, "gone"),
    },
  );
  const heartbeat = makeLoop(
    `heartbeat of ${options.nodeName}`,
    async () => {
      await beat(options);
      return Date.now() + (options.heartbeatMs ?? HEARTBEAT_MS);
    },
    log,
  );
  heartbeat.trigger();
  await watch.synced;
  return {
    stop: async () => {
      await Promise.all([watch.stop(), heartbeat.stop()]);
      for (const uid of workers.keys()) end(uid, "stop");
      await Promise.all(ends);
    },
  };
}

const isOver = ({ status }: Pod): boolean => status?.phase === "Succeeded" || status?.phase === "Failed";

async function register({ client, nodeName, labels }: KubeletOptions): Promise<void> {
  const metadata = { name: nodeName, labels: { "kubernetes.io/hostname": nodeName, "kubernetes.io/os": "linux", ...labels } };
  try {
    await client.create("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata });
  } catch (error) {
    if (!answered(error, 409)) throw error; // registered by an earlier run
  }
}

async function beat({ client, nodeName, address }: KubeletOptions): Promise<void> {
  const now = kubernetesTime(Date.now());
  const ready = { type: "Ready", status: "True", reason: "KubeletReady", message: "simulated kubelet is ready", lastHeartbeatTime: now };
  const capacity = { cpu: "64", memory: "256Gi", pods: "200" };
  const addresses = [
    { type: "InternalIP", address },
    { type: "Hostname", address: nodeName },
  ];
  const status = { conditions: [{ ...ready, lastTransitionTime: now }], addresses, capacity, allocatable: capacity };
  try {
    await client.patch(`/api/v1/nodes/${nodeName}/status`, { status }, "strategic");
  } catch (error) {
    if (!answered(error, 404)) throw error; // somebody deleted the Node
  }
}
