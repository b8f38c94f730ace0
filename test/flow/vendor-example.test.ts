/** Manifests of the form that the vendor's documents show: they work as they are. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { applyManifests, parseManifests } from "../cluster/manifests.ts";
import { KIND } from "./cluster.ts";
import { gateOf, loadBalancer, podsOf, servingTargets } from "./look.ts";
import { startWorld, until } from "./world.ts";

const EXAMPLE = `
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: cloud.tencent.com/v1alpha1
kind: TkeServiceConfig
metadata: {name: shop-clb, namespace: demo}
spec: {loadBalancer: {l4Listeners: [{protocol: TCP, port: PORT, session: {enable: true, sessionExpireTime: 600}, healthCheck: {enable: true, intervalTime: 5, timeout: 2}}]}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: demo, annotations: {service.cloud.tencent.com/direct-access: "true", service.cloud.tencent.com/tke-service-config: shop-clb}}
spec: {type: LoadBalancer, selector: {app: shop}, ports: [{name: http, port: PORT, protocol: TCP, targetPort: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}, annotations: {tke.cloud.tencent.com/networks: tke-route-eni}}
    spec:
      containers:
        - {name: web, image: "registry.example.com/shop:1.4", ports: [{name: http, containerPort: 8080}],
           resources: {requests: {tke.cloud.tencent.com/eni-ip: "1"}, limits: {tke.cloud.tencent.com/eni-ip: "1"}}}
`;
const ADDRESSES = { "tke.cloud.tencent.com/eni-ip": "10" };
const noKubectl =
  KIND === "embedded"
    ? spawnSync("kubectl", ["version", "--client"]).status !== 0 && "kubectl is not installed"
    : "the kubeconfig of a real control plane is elsewhere";

test("a Deployment with tke-route-eni and eni-ip behind a direct-access Service works unchanged", { timeout: 180_000 }, async (t) => {
  const world = await startWorld(t);
  // On TKE a device plugin of the network tells the scheduler how many addresses a node has.
  for (const node of ["node-a", "node-b"])
    await world.client.patch(`/api/v1/nodes/${node}/status`, { status: { capacity: ADDRESSES, allocatable: ADDRESSES } }, "merge");
  await applyManifests(world.client, parseManifests(EXAMPLE.replaceAll("PORT", String(world.plan.servicePort)), "the vendor's example"));
  const pods = await until("both Pods serve", async () => {
    const found = await podsOf(world, "app=shop");
    const listeners = world.cloud.cloud.state().loadBalancers.flatMap((one) => one.listeners);
    return found.length === 2 && listeners.flatMap(servingTargets).length === 2 && found;
  });
  const targets = loadBalancer(world).listeners.flatMap(servingTargets).toSorted();
  assert.deepEqual(targets, pods.map((pod) => `${pod.status?.podIP}:8080`).toSorted());
  await until("the gates that were injected are open", async () =>
    (await podsOf(world, "app=shop")).every((pod) => gateOf(pod)?.status !== "False"),
  );
  await t.test("kubectl wait --for=condition=Ready service/shop", { skip: noKubectl }, async () => {
    const config = join(world.directory, "kubeconfig");
    const { stdout } = await promisify(execFile)("kubectl", [
      "--kubeconfig",
      config,
      "--namespace=demo",
      "wait",
      "--for=condition=Ready",
      "service/shop",
      "--timeout=60s",
    ]);
    assert.match(stdout, /service\/shop condition met/);
  });
});
