/** Workloads other than Deployments under the real controllers: a StatefulSet that is rolled one by one, a disruption budget, a Job. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { applyManifests, type Manifest } from "../cluster/manifests.ts";
import { answered } from "../cluster/simulated/cluster.ts";
import { onlyOn } from "./cluster.ts";
import { changedExample } from "./examples.ts";
import { annotationsOf, heldByDefault } from "./held.ts";
import { assertDrainedFirst, assertNoFailure, isReady, loadBalancer, podsOf, servingTargets, startClient } from "./look.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

const REPLICAS = 3;
const LIMIT_MS = 180_000;
const PODS = "/api/v1/namespaces/demo/pods";
const SET = "/apis/apps/v1/namespaces/demo/statefulsets/web";
const LABELS = { app: "web" };

const statefulSet: Manifest = {
  apiVersion: "apps/v1",
  kind: "StatefulSet",
  metadata: { name: "web", namespace: "demo" },
  spec: {
    replicas: REPLICAS,
    serviceName: "web",
    podManagementPolicy: "OrderedReady",
    selector: { matchLabels: LABELS },
    template: {
      metadata: { labels: LABELS },
      spec: {
        terminationGracePeriodSeconds: 30,
        containers: [
          {
            name: "web",
            image: "registry.example.com/web:1",
            env: [{ name: "STARTUP_SECONDS", value: "0.5" }],
            ports: [{ name: "http", containerPort: 8080 }],
          },
        ],
      },
    },
  },
};
const budget: Manifest = {
  apiVersion: "policy/v1",
  kind: "PodDisruptionBudget",
  metadata: { name: "web", namespace: "demo" },
  spec: { minAvailable: REPLICAS - 1, selector: { matchLabels: LABELS } },
};
/** It serves while it works, and is done after a while: behind the Service like the others until then. */
const job: Manifest = {
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { name: "work", namespace: "demo" },
  spec: {
    activeDeadlineSeconds: 20,
    backoffLimit: 0,
    template: {
      metadata: { labels: LABELS },
      spec: {
        restartPolicy: "Never",
        containers: [{ name: "web", image: "registry.example.com/web:1", ports: [{ name: "http", containerPort: 8080 }] }],
      },
    },
  },
};

type StatefulSet = {
  readonly metadata: { readonly generation: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly readyReplicas?: number;
    readonly updatedReplicas?: number;
    readonly currentRevision?: string;
    readonly updateRevision?: string;
  };
};

const serves = (world: World, count: number): boolean => {
  const [listener] = loadBalancer(world).listeners;
  return listener !== undefined && listener.targets.length === count && servingTargets(listener).length === count;
};
/** All Pods are of the newest template, ready, and alone behind the load balancer. */
async function settled(world: World, count = REPLICAS): Promise<void> {
  const isSo = async (): Promise<boolean> => {
    const { metadata, status } = await world.client.get<StatefulSet>(SET);
    const isNew = status?.observedGeneration === metadata.generation && status.currentRevision === status.updateRevision;
    const pods = await podsOf(world, "app=web");
    return isNew && status.readyReplicas === REPLICAS && pods.length === count && pods.every(isReady) && serves(world, count);
  };
  await until("the StatefulSet is as it should be", () => isSo().catch(() => false), LIMIT_MS, 250);
}

/** False: the budget says later. */
const evict = (world: World, name: string): Promise<boolean> =>
  world.client
    .create(`${PODS}/${name}/eviction`, { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace: "demo" } })
    .then(
      () => true,
      (error: unknown) => {
        if (answered(error, 429)) return false;
        throw error;
      },
    );

test("a StatefulSet is rolled and evicted Pod by Pod, and a Job comes and goes: no request is lost", {
  skip: onlyOn("real", "the embedded API server runs no StatefulSets, budgets or Jobs"),
  timeout: 600_000,
}, async (t) => {
  const world = await startWorld(t, { holds: true, coordinatorEnv: { DRAIN_MS: "4000", RESYNC_MS: "1000" } });
  await heldByDefault(world);
  await applyExample(world, changedExample({ replicas: REPLICAS, sleepSeconds: "none" }), ({ kind }) => kind !== "Deployment");
  await applyManifests(world.client, [statefulSet, budget]);
  await settled(world);
  for (const pod of await podsOf(world, "app=web")) assert.equal(annotationsOf(pod)["clb-direct.io/drain"], "hold");
  const client = startClient(world);
  t.after(() => client.stop());
  const sinceSeq = world.cloud.cloud.journal.lastSeq;

  await world.client.patch(SET, { spec: { template: { metadata: { annotations: { version: "2" } } } } }, "merge");
  await settled(world);

  assert.equal(await evict(world, "web-0"), true);
  // The successor is running within a second, but not available before its gate is open: until then the budget lets nobody else go.
  await until("the budget knows", async () => !(await evict(world, "web-1")), 10_000, 20);
  await settled(world);
  await until("the budget lets the next one go", () => evict(world, "web-1"), LIMIT_MS, 250);
  await settled(world);

  await applyManifests(world.client, [job]);
  await until("the Job's Pod serves", () => serves(world, REPLICAS + 1), LIMIT_MS, 100);
  await until("the Job's Pod is unbound", () => serves(world, REPLICAS), LIMIT_MS, 100);
  assertNoFailure(await client.stop());
  assertDrainedFirst(world, sinceSeq, 0);
});
