/** The Deployment and ReplicaSet controllers: look at everything, do the first step, look again. */
import { isDeepStrictEqual } from "node:util";
import { answered, type Cluster, listAll, pathOf, watchAll } from "./cluster.ts";
import { makeLoop } from "./loop.ts";
import { controllerOf, type Deployment, isActive, type Metadata, type Pod, type ReplicaSet } from "./objects.ts";
import { planReplicaSet } from "./plan-replica-set.ts";
import { HASH_LABEL, planRollout, REVISION, type RolloutAction } from "./plan-rollout.ts";

const DEPLOYMENTS = "/apis/apps/v1/deployments";
const REPLICA_SETS = "/apis/apps/v1/replicasets";
const PODS = "/api/v1/pods";

/** Settles when the first look is due. Lists before every look: a look at a cache that lags behind our own writes would create twice. */
export async function startDeploymentController(cluster: Cluster): Promise<{ stop: () => Promise<void> }> {
  const loop = makeLoop("deployments", () => pass(cluster), cluster.log);
  const on = { changed: loop.trigger, gone: loop.trigger };
  const watches = [
    watchAll<Deployment>(cluster, DEPLOYMENTS, {}, on),
    watchAll<ReplicaSet>(cluster, REPLICA_SETS, {}, on),
    watchAll<Pod>(cluster, PODS, {}, on),
  ];
  await Promise.all(watches.map(({ synced }) => synced));
  return { stop: async () => void (await Promise.all([...watches.map((watch) => watch.stop()), loop.stop()])) };
}

/** Returns when time alone makes another look necessary; changes trigger one anyway. */
async function pass(cluster: Cluster): Promise<number | undefined> {
  const { client } = cluster;
  const [deployments, replicaSets, pods] = await Promise.all([
    listAll<Deployment>(client, DEPLOYMENTS),
    listAll<ReplicaSet>(client, REPLICA_SETS),
    listAll<Pod>(client, PODS),
  ]);
  const nowMs = Date.now();
  const looks = await Promise.all([
    ...deployments.map((deployment) => reconcileDeployment(cluster, deployment, replicaSets, pods, nowMs)),
    ...replicaSets.map((replicaSet) => reconcileReplicaSet(cluster, replicaSet, pods, nowMs)),
  ]);
  const times = looks.filter((time) => time !== undefined);
  return times.length === 0 ? undefined : Math.min(...times);
}

async function reconcileDeployment(
  cluster: Cluster,
  deployment: Deployment,
  replicaSets: readonly ReplicaSet[],
  pods: readonly Pod[],
  nowMs: number,
): Promise<number | undefined> {
  const { actions, status, lookAgainAtMs } = planRollout(deployment, replicaSets, pods, nowMs);
  for (const action of actions) await carryOut(cluster, deployment, action);
  await writeStatus(cluster, "deployments", deployment, status);
  return lookAgainAtMs;
}

async function carryOut({ client }: Cluster, deployment: Deployment, action: RolloutAction): Promise<void> {
  const path = pathOf("replicasets", { ...deployment.metadata, name: action.name });
  const annotations = "revision" in action ? { [REVISION]: action.revision } : {};
  switch (action.kind) {
    case "create":
      await client.create(pathOf("replicasets", { ...deployment.metadata, name: "" }).slice(0, -1), newReplicaSet(deployment, action));
      break;
    case "scale":
      await client.patch(path, { spec: { replicas: action.replicas } }, "merge");
      return;
    case "revise":
      await client.patch(path, { metadata: { annotations } }, "merge");
      break;
    case "delete":
      await client.delete(path, { propagationPolicy: "Background" });
      return;
    default:
      return action satisfies never;
  }
  await client.patch(pathOf("deployments", deployment.metadata), { metadata: { annotations } }, "merge");
}

function newReplicaSet(deployment: Deployment, action: RolloutAction & { readonly kind: "create" }): object {
  const { template, selector, minReadySeconds = 0 } = deployment.spec;
  const labels = { ...template.metadata?.labels, [HASH_LABEL]: action.hash };
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: action.name,
      namespace: deployment.metadata.namespace,
      labels,
      annotations: { [REVISION]: action.revision },
      ownerReferences: [ownerReference("Deployment", deployment.metadata)],
    },
    spec: {
      replicas: action.replicas,
      minReadySeconds,
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: action.hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

const ownerReference = (kind: string, { name, uid }: Metadata): object => ({
  apiVersion: "apps/v1",
  kind,
  name,
  uid,
  controller: true,
  blockOwnerDeletion: true,
});

async function reconcileReplicaSet(
  cluster: Cluster,
  replicaSet: ReplicaSet,
  pods: readonly Pod[],
  nowMs: number,
): Promise<number | undefined> {
  const { create, remove, status, lookAgainAtMs } = planReplicaSet(replicaSet, pods, nowMs);
  const path = pathOf("pods", { ...replicaSet.metadata, name: "" }).slice(0, -1);
  await Promise.all([
    ...Array.from({ length: create }, () => cluster.client.create(path, newPod(replicaSet))),
    ...remove.map((pod) => removePod(cluster, pod)),
    ...pods
      .filter((pod) => controllerOf(pod.metadata) === replicaSet.metadata.uid && isLeftOver(pod))
      .map((pod) => removePod(cluster, pod)),
  ]);
  await writeStatus(cluster, "replicasets", replicaSet, status);
  return lookAgainAtMs;
}

/** Failed or done although nobody deleted it, e.g. after an eviction by hand: replaced, and nothing else collects it here. */
const isLeftOver = (pod: Pod): boolean => !isActive(pod) && pod.metadata.deletionTimestamp === undefined;

function newPod({ metadata, spec }: ReplicaSet): object {
  const owner = ownerReference("ReplicaSet", metadata);
  return {
    apiVersion: "v1",
    kind: "Pod",
    ...spec.template,
    metadata: { ...spec.template.metadata, namespace: metadata.namespace, generateName: `${metadata.name}-`, ownerReferences: [owner] },
  };
}

async function removePod({ client }: Cluster, { metadata }: Pod): Promise<void> {
  try {
    await client.delete(pathOf("pods", metadata), { preconditions: { uid: metadata.uid } });
  } catch (error) {
    if (!answered(error, 404, 409)) throw error; // somebody else was faster
  }
}

async function writeStatus(
  { client }: Cluster,
  kind: "deployments" | "replicasets",
  object: Deployment | ReplicaSet,
  status: object,
): Promise<void> {
  const before: Readonly<Record<string, unknown>> = { ...object.status };
  const changed = Object.entries(status).some(([key, value]) => !isDeepStrictEqual(before[key] ?? 0, value));
  if (!changed) return;
  try {
    await client.patch(pathOf(kind, object.metadata, "status"), { status }, "merge");
  } catch (error) {
    if (!answered(error, 404)) throw error;
  }
}
