/** A real control plane with simulated nodes. Its start costs seconds, so the tests of a file share it one after the other. */
import { rm } from "node:fs/promises";
import { after } from "node:test";
import { pino } from "pino";
import { makeClock } from "../../common/clock.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { DEFAULT_NAMESPACE } from "../../common/names.ts";
import { addressPlan, claimSlot } from "../cluster/network.ts";
import { until } from "../cluster/process.ts";
import { findControlPlane } from "../cluster/real/binaries.ts";
import { ADMIN, kubeletUser } from "../cluster/real/certificates.ts";
import { networkFault, type RealCluster, startControlPlane } from "../cluster/real/control-plane.ts";
import { etcdAt } from "../cluster/real/etcd.ts";
import { filesIn, makeDirectory } from "../cluster/real/files.ts";
import { DEFAULT_MINOR, kubernetesMinor } from "../cluster/real/modules.ts";
import { untilSchedulable } from "../cluster/real/schedulable.ts";
import { answered, type Cluster, listAll, watchAll } from "../cluster/simulated/cluster.ts";
import type { Metadata, Pod } from "../cluster/simulated/objects.ts";
import { startSimulatedCluster } from "../cluster/simulated/start.ts";
import { type AuditReader, readAudit } from "./audit-log.ts";
import { type CopiedCluster, type FlowCluster, KIND, type Troubles } from "./cluster.ts";

type Running = Omit<FlowCluster, "requests" | "end"> & {
  readonly audit: AuditReader;
  readonly nodes: string;
  readonly stop: () => Promise<void>;
};

/** Control planes that no test has at the moment; they end with the file. */
const idle: Running[] = [];
if (KIND === "real")
  after(async () => {
    for (const running of idle.splice(0)) await running.stop();
  });

/** One that is as good as new: an idle one, emptied by the test before, or one that is started. Throws with the reason where none can be. */
export async function startReal(nodes: readonly string[]): Promise<FlowCluster> {
  const key = nodes.join();
  const index = idle.findIndex((one) => one.nodes === key);
  const running = index >= 0 ? idle.splice(index, 1)[0] : undefined;
  const { audit, stop, nodes: _, ...shared } = running ?? (await begin(nodes));
  const from = audit.seen().length;
  return {
    ...shared,
    requests: () => audit.seen().slice(from),
    end: async () => {
      await empty(shared.client).catch(async (error: unknown) => {
        await stop();
        throw error;
      });
      idle.push({ ...shared, audit, stop, nodes: key });
    },
  };
}

async function begin(nodes: readonly string[]): Promise<Running> {
  const found = await findControlPlane({ kubernetes: kubernetesMinor(process.env["KUBERNETES"] ?? DEFAULT_MINOR) });
  const fault = found.kind === "missing" ? found.reason : networkFault(addressPlan(1));
  if (found.kind === "missing" || fault !== undefined) throw new Error(fault);
  const steps: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of steps.toReversed()) await step();
  };
  const { plan, release } = await claimSlot();
  steps.push(release);
  try {
    const api = await startControlPlane({ plan, binaries: found.binaries });
    steps.push(() => api.stop());
    const client = await api.client(ADMIN);
    const cluster: Cluster = { client, clock: makeClock(), log: pino({ level: "silent" }) };
    const kubeletClient = (node: string): Promise<KubeClient> => api.client(kubeletUser(node));
    const simulated = await startSimulatedCluster({ ...cluster, nodes, plan, controllers: [], kubeletClient });
    steps.push(() => simulated.stop());
    await client.create("/api/v1/namespaces", { metadata: { name: "demo" } });
    const pods = new Map<string, Pod>();
    const watch = watchAll<Pod>(
      cluster,
      "/api/v1/namespaces/demo/pods",
      {},
      {
        changed: (pod) => void pods.set(pod.metadata.uid, pod),
        gone: ({ metadata }) => void pods.delete(metadata.uid),
      },
    );
    steps.push(() => watch.stop());
    await untilSchedulable(client, nodes);
    await until("Pods can be created in demo", () => client.get("/api/v1/namespaces/demo/serviceaccounts/default").catch(() => false));
    const audit = readAudit(api.auditLog);
    const troubles = troublesOf(api, plan.apiServer);
    return {
      plan,
      cluster,
      client,
      anotherClient: () => api.client(ADMIN),
      apiServer: api,
      install: "everything",
      pods: () => [...pods.values()],
      troubles,
      audit,
      nodes: nodes.join(),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** From its start until a kube-apiserver serves; away is away, whatever for. */
const START_MS = 2_500;

/** A server without a memory of the past answers 410 to every watch that wants to go on: a new process, whose etcd was compacted. */
function troublesOf(api: RealCluster, address: string): Troubles {
  const etcd = etcdAt(address);
  const compact = async (): Promise<void> => await etcd.compact(await etcd.revision());
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  return {
    freeze: async (ms) => {
      api.part("kube-apiserver").signal("SIGSTOP");
      await pause(ms);
      api.part("kube-apiserver").signal("SIGCONT");
    },
    leave: async (ms) => await api.restart("kube-apiserver", () => pause(Math.max(0, ms - START_MS))),
    forget: async () => await api.restart("kube-apiserver", compact),
    backup: () => api.backup(),
    copy: () => copyOf(api),
    vanish: async (plural, namespace, name, silently) => {
      const remove = (): Promise<void> => etcd.remove(`/registry/${plural}/specs/${namespace}/${name}`);
      if (!silently) return await remove();
      await api.restart("kube-apiserver", async () => {
        await remove();
        await compact();
      });
    },
  };
}

/** Another control plane whose etcd begins with a copy of this one's data; as whoever restores a backup elsewhere has it. */
async function copyOf(original: RealCluster): Promise<CopiedCluster> {
  const found = await findControlPlane({ kubernetes: kubernetesMinor(process.env["KUBERNETES"] ?? DEFAULT_MINOR) });
  if (found.kind === "missing") throw new Error(found.reason);
  const { plan, release } = await claimSlot();
  const directory = await makeDirectory();
  const end = async (): Promise<void> => {
    await release();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await original.copyData(filesIn(directory).etcdData);
    const api = await startControlPlane({ plan, binaries: found.binaries, directory });
    const client = await api.client(ADMIN);
    const stop = async (): Promise<void> => {
      await api.stop();
      await end();
    };
    return { plan, cluster: { client, clock: makeClock(), log: pino({ level: "silent" }) }, client, apiServer: api, stop };
  } catch (error) {
    await end();
    throw error;
  }
}

const DEMO = "/api/v1/namespaces/demo";
const OURS = `/api/v1/namespaces/${DEFAULT_NAMESPACE}`;
/** What a test makes, without what the cluster makes for itself; owners first. */
const LEFT = [
  "/apis/apps/v1/namespaces/demo/statefulsets",
  "/apis/batch/v1/namespaces/demo/jobs",
  "/apis/policy/v1/namespaces/demo/poddisruptionbudgets",
  "/apis/apps/v1/namespaces/demo/deployments",
  "/apis/apps/v1/namespaces/demo/replicasets",
  `${DEMO}/pods`,
  "/apis/cloud.tencent.com/v1alpha1/namespaces/demo/tkeserviceconfigs",
  `${OURS}/pods`,
  `${OURS}/secrets`,
  `/apis/coordination.k8s.io/v1/namespaces/${DEFAULT_NAMESPACE}/leases`,
] as const;

/** Nothing of the test is left, only what the cluster had before; who holds a finalizer is not asked. */
async function empty(client: KubeClient): Promise<void> {
  const services = await listAll<{ readonly metadata: Metadata }>(client, `${DEMO}/services`);
  for (const { metadata } of services) {
    await client.patch(`${DEMO}/services/${metadata.name}`, { metadata: { finalizers: null } }, "merge");
    await client.delete(`${DEMO}/services/${metadata.name}`).catch(unlessGone);
  }
  const maps = await listAll<{ readonly metadata: Metadata }>(client, `${OURS}/configmaps`);
  for (const { metadata } of maps.filter((one) => one.metadata.name !== "kube-root-ca.crt"))
    await client.delete(`${OURS}/configmaps/${metadata.name}`).catch(unlessGone);
  await until(
    "the test's objects are gone",
    async () => {
      for (const path of LEFT) await client.delete(path, { gracePeriodSeconds: 0, propagationPolicy: "Background" });
      const counts = await Promise.all(LEFT.map(async (path) => (await listAll(client, path)).length));
      return counts.every((count) => count === 0);
    },
    20_000,
    200,
  );
  for (const namespace of [DEMO, OURS]) await client.delete(`${namespace}/events`);
}

function unlessGone(error: unknown): void {
  if (!answered(error, 404)) throw error;
}
