import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { CLUSTER_TAG, clusterIdOf, FINALIZER, listenerName, OWNER_TAG } from "../../common/names.ts";
import type { PodExplanation } from "../../coordinator/explain/explain.ts";
import type { Pod } from "../cluster/simulated/objects.ts";
import { assertAtRest, clusterWrites, converged, gateOf, isReady, loadBalancer, podsOf, servingTargets } from "./look.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

type ServiceObject = {
  readonly metadata: { readonly uid: string; readonly finalizers?: readonly string[] };
  readonly status: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] } };
};
const GATE = "cloud.tencent.com/load-balancer-backendgroup-ready";

test("Pods of a Service become backends of a load balancer by their own addresses", { timeout: 120_000 }, async (t) => {
  const world = await startWorld(t, { coordinatorEnv: { RESYNC_MS: "1000", HEALTH_IDLE_MS: "1000" } });
  await applyExample(world);
  const pods = await converged(world, { count: 6 });
  await t.test("marks in the cloud", () => checkCloud(world, pods));
  await t.test("gate, status and finalizer in the cluster", () => checkCluster(world, pods));
  await t.test("what the agents told is explained", () => checkExplanation(world, pods));
  await t.test("Pods that no Service selects", (inner) => checkOthers(inner, world));
  await t.test("then nothing is written any more", () => assertAtRest(world));
});

async function serviceOf(world: World): Promise<ServiceObject> {
  return await world.client.get<ServiceObject>("/api/v1/namespaces/demo/services/web");
}

async function clusterOf(world: World): Promise<string> {
  const { metadata } = await world.client.get<{ metadata: { uid: string } }>("/api/v1/namespaces/kube-system");
  return clusterIdOf(metadata.uid);
}

async function checkCloud(world: World, pods: readonly Pod[]): Promise<void> {
  const { metadata } = await serviceOf(world);
  const cluster = await clusterOf(world);
  const { id, tags, listeners } = loadBalancer(world);
  assert.deepEqual(tags, { [CLUSTER_TAG]: cluster, [OWNER_TAG]: metadata.uid });
  const [listener, ...others] = listeners;
  assert.ok(listener);
  assert.deepEqual(others, []);
  assert.equal(listener.name, listenerName(cluster, metadata.uid, "TCP", world.plan.servicePort));
  assert.match(listener.name, /^cd-[0-9a-f]{8}-[0-9a-f]{12}-tcp\d+$/);
  assert.deepEqual(servingTargets(listener).toSorted(), pods.map((pod) => `${pod.status?.podIP}:8080`).toSorted());
  const answer = await world.cloud.cloud.call("clb", "DescribeListeners", { LoadBalancerId: id });
  const [{ HealthCheck }] = answer["Listeners"] as [{ HealthCheck: Record<string, unknown> }]; // as the API documents it
  const { HealthSwitch, IntervalTime, HealthNum, UnHealthNum } = HealthCheck;
  assert.deepEqual(
    { HealthSwitch, IntervalTime, HealthNum, UnHealthNum },
    { HealthSwitch: 1, IntervalTime: 2, HealthNum: 2, UnHealthNum: 2 },
  );
}

async function checkCluster(world: World, pods: readonly Pod[]): Promise<void> {
  for (const pod of pods) {
    const gate = gateOf(pod);
    assert.deepEqual({ status: gate?.status, reason: gate?.reason }, { status: "True", reason: "LoadBalancerNetworkGroupReady" });
    const [sentence = "", stages = ""] = gate?.message?.split(/(?<=to True\.) /) ?? [];
    assert.equal(sentence, `Marking condition "${GATE}" to True.`);
    assert.match(stages, /^\d+\.\d s after its containers were ready: wait \d+\.\d, bind \d+\.\d, check \d+\.\d\.$/);
  }
  const { metadata, status } = await serviceOf(world);
  assert.deepEqual(metadata.finalizers, [FINALIZER]);
  assert.deepEqual(
    status.loadBalancer?.ingress?.map(({ ip }) => ip),
    [loadBalancer(world).vip],
  );
}

async function checkExplanation(world: World, pods: readonly Pod[]): Promise<void> {
  for (const { metadata, spec, status } of pods) {
    const told = await world.product.explain<PodExplanation>(`?pod=demo/${metadata.name}`);
    assert.equal(told.factsFrom, "agent");
    assert.equal(told.node, spec.nodeName);
    assert.equal(told.ip, status?.podIP);
    assert.equal(told.hostInterface, "lo", "in the harness's network every Pod address is carried by lo");
    assert.deepEqual(
      told.bindings.map(({ step, from, listener }) => ({ step, from, listener })),
      [{ step: "healthy", from: "nobody", listener: told.bindings[0]?.listener }],
    );
  }
  const sources = new Set(pods.map(({ spec }) => spec.nodeName));
  assert.equal(sources.size, 2, "the Pods are on both nodes");
}

/** A gate that waits for no load balancer opens by itself; a Pod without a gate and one in the host's network are left alone. */
async function checkOthers(t: TestContext, world: World): Promise<void> {
  const create = (name: string, spec: object): Promise<unknown> =>
    world.client.create("/api/v1/namespaces/demo/pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "demo", labels: { app: "lonely" } },
      spec: { containers: [{ name: "main", image: "registry.example.com/web:1", ports: [{ containerPort: 8080 }] }], ...spec },
    });
  const readinessGates = [{ conditionType: GATE }];
  await create("gated", { readinessGates });
  await create("gated-host", { readinessGates, hostNetwork: true });
  await create("plain", {});
  await until("three lonely Pods are ready", async () => {
    const pods = await podsOf(world, "app=lonely");
    return pods.length === 3 && pods.every(isReady);
  });
  const gates = new Map((await podsOf(world, "app=lonely")).map((pod) => [pod.metadata.name, gateOf(pod)]));
  await t.test("a gate that no Service stands behind", () => {
    for (const name of ["gated", "gated-host"]) {
      assert.equal(gates.get(name)?.status, "True");
      assert.equal(gates.get(name)?.reason, "NoDirectAccess");
    }
    assert.equal(gates.get("plain"), undefined);
  });
  const agents = await podsOf(world, "process=clb-direct-agent", "clb-direct");
  await t.test("the agents' own Pods", () => {
    assert.equal(agents.length, 2);
    assert.deepEqual(
      agents.filter((pod) => pod.spec.hostNetwork !== true || gateOf(pod) !== undefined),
      [],
    );
    assert.deepEqual(
      clusterWrites(world).filter((text) => text.includes("clb-direct-agent")),
      [],
    );
  });
  assert.equal(loadBalancer(world).listeners.flatMap(({ targets }) => targets).length, 6, "none of them is bound");
}
