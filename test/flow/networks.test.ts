/** Pods of every network mode behind one Service: VPC-CNI, a mixed cluster, GlobalRouter, hostNetwork, an overlay; and a group that denies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodExplanation } from "../../coordinator/explain/explain.ts";
import { addGroup, editPolicies } from "../cloud/model/network.ts";
import { applyManifests, type Manifest } from "../cluster/manifests.ts";
import { gateOf } from "./look.ts";
import { aPod, aService } from "./misfits.ts";
import { startWorld, until, type World } from "./world.ts";

const EVERYTHING = { action: "ACCEPT", protocol: "ALL", port: "ALL", cidr: "0.0.0.0/0" } as const;
const DROPPED = { action: "DROP", protocol: "TCP", port: "8080", cidr: "0.0.0.0/0" } as const;

/** A Pod that asks for that network, as TKE's users write it. */
function inNetwork(name: string, network: string): Manifest {
  const pod = aPod(name, "mixed");
  return { ...pod, metadata: { ...pod.metadata, annotations: { "tke.cloud.tencent.com/networks": network } } };
}

/** Both nodes' primary ENIs, and one that has every Pod's address. */
function describeNetwork({ cloud: { cloud }, plan }: World): void {
  const { network } = cloud;
  const base = {
    name: "",
    vpcId: "vpc-default",
    subnetId: "subnet-1",
    zone: "ap-guangzhou-3",
    tags: new Map(),
    createdMs: 0,
    type: 0 as const,
  };
  const add = (id: string, index: number, ips: readonly string[], group: string): void => {
    const [primaryIp = "", ...others] = ips;
    const eni = { ...base, id, mac: `20:90:6f:00:00:0${index}`, primary: group === "sg-node", primaryIp, secondaryIps: new Set(others) };
    network.enis.set(id, { ...eni, securityGroupIds: [group], attachment: { instanceId: "ins-1", deviceIndex: index } });
  };
  add("eni-node0001", 0, [plan.nodeAddress(0)], "sg-node");
  add("eni-pods0001", 1, plan.podAddresses, "sg-pods");
  for (const id of ["sg-node", "sg-pods"]) addGroup(network, id, [EVERYTHING]);
}

test("each Pod in its own way: bound, refused by name, or told what stops the load balancer", { timeout: 180_000 }, async (t) => {
  const world = await startWorld(t);
  const { client, cloud, product } = world;
  describeNetwork(world);
  const { loadBalancerId } = cloud.cloud.addLoadBalancer({ name: "mixed" });
  const addressOf = (name: string): string | undefined => world.pods().find(({ metadata }) => metadata.name === name)?.status?.podIP;
  const isBound = (name: string): boolean =>
    cloud.cloud
      .state()
      .loadBalancers.some(({ listeners }) => listeners.some(({ targets }) => targets.some(({ ip }) => ip === addressOf(name))));
  const reasons = async (name: string): Promise<string[]> => {
    const { items } = await client.get<{ items: { reason: string; involvedObject: { name: string } }[] }>("/api/v1/namespaces/demo/events");
    return items.flatMap(({ reason, involvedObject }) => (involvedObject.name === name ? [reason] : []));
  };
  const gate = (name: string) => {
    const pod = world.pods().find(({ metadata }) => metadata.name === name);
    return pod && gateOf(pod);
  };
  const pods = [
    inNetwork("vpc", "tke-route-eni"),
    inNetwork("router", "tke-bridge"),
    inNetwork("overlay", "cilium-overlay"),
    aPod("host", "mixed", { hostNetwork: true }),
  ];
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "demo" } };
  await applyManifests(client, [namespace, aService("mixed", loadBalancerId), ...pods]);

  await t.test("VPC-CNI: bound, with mode, ENI, subnet and both verdicts in explain", async () => {
    await until("the gate of the Pod with an ENI", () => gate("vpc")?.status === "True", 60_000);
    const told = await product.explain<PodExplanation>("?pod=demo/vpc");
    assert.match(told.networkMode ?? "", /^tke-route-eni \(annotation/);
    assert.match(told.eni ?? "", /^eni-pods0001 in subnet-1 \(ap-guangzhou-3\), sg-pods$/);
    assert.ok(told.verdicts.includes(`${loadBalancerId} TCP:80: probe open`), told.verdicts.join("; "));
    assert.ok(told.verdicts.includes(`${loadBalancerId} TCP:80: security-group allowed for clients`), told.verdicts.join("; "));
  });
  await t.test("GlobalRouter without permission, an overlay and hostNetwork: refused by name, not bound", async () => {
    await until(
      "all of it is told",
      async () =>
        (await reasons("router")).includes("NetworkModeUnsupported") &&
        (await reasons("overlay")).includes("NetworkModeUnsupported") &&
        (await reasons("host")).includes("PodHostNetwork"),
      30_000,
    );
    assert.deepEqual(["router", "overlay"].map(isBound), [false, false]);
    assert.equal(gate("overlay")?.reason, "NetworkModeUnsupported");
    assert.ok((await reasons("mixed")).includes("NetworkModeUnsupported"), "on the Service as well");
  });
  await t.test("GlobalRouter with TKE's permission: bound by its address; the Service is told that it mixes modes", async () => {
    const metadata = { name: "tke-service-controller-config", namespace: "kube-system" };
    await client.create("/api/v1/namespaces/kube-system/configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata,
      data: { GlobalRouteDirectAccess: "true" },
    });
    await until("the gate of the GlobalRouter Pod", () => gate("router")?.status === "True", 60_000);
    assert.ok((await reasons("mixed")).includes("NetworkModesMixed"));
    assert.equal(isBound("overlay"), false);
  });
  await t.test("a security group that denies: told with its rule, bound after the delay at the latest", async () => {
    editPolicies(cloud.cloud.network, "sg-pods", { ingress: [DROPPED, EVERYTHING] }, 0);
    await applyManifests(client, [inNetwork("late", "tke-route-eni")]);
    await until("the condition names the rule", () => gate("late")?.reason === "SecurityGroupDenies", 30_000);
    assert.match(gate("late")?.message ?? "", /sg-pods rule 0 \(DROP TCP 8080 from 0\.0\.0\.0\/0\) blocks clients of/);
    await until("its gate all the same: a verdict is no veto", () => gate("late")?.status === "True", 60_000);
  });
});
