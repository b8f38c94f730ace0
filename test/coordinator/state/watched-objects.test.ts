import assert from "node:assert/strict";
import { test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import { decodeNode, decodeService, makeWatchedObjects } from "../../../coordinator/state/watched-objects.ts";
import { aKube, eventually } from "../kube.ts";
import { silentLog } from "../pods.ts";

const raw = (change: { metadata?: object; spec?: object; status?: object } = {}) => ({
  metadata: {
    uid: "uid-1",
    resourceVersion: "7",
    namespace: "demo",
    name: "web",
    creationTimestamp: "2026-01-02T03:04:05Z",
    ...change.metadata,
  },
  spec: {
    type: "LoadBalancer",
    selector: { app: "web" },
    ports: [{ name: "http", protocol: "TCP", port: 80, targetPort: "http" }],
    ...change.spec,
  },
  ...(change.status && { status: change.status }),
});

test("a Node that is no machine can have no agent: TKE's super nodes and those of virtual-kubelet", () => {
  const virtual = (labels?: object) => decodeNode({ metadata: { uid: "u", resourceVersion: "1", name: "n", labels } }).virtual;
  assert.deepEqual(
    [undefined, { type: "app" }, { type: "virtual-kubelet" }, { "node.kubernetes.io/instance-type": "eklet" }].map(virtual),
    [false, false, true, true],
  );
});

test("keeps of a Service what we read, and of its annotations ours and TKE's", () => {
  const annotations = {
    "service.cloud.tencent.com/direct-access": "true",
    "clb-direct.io/managed": "true",
    "kubectl.kubernetes.io/last-applied-configuration": "{}",
  };
  assert.deepEqual(
    decodeService(
      raw({ metadata: { annotations, managedFields: [] }, status: { loadBalancer: { ingress: [{ ip: "198.18.0.1", ipMode: "VIP" }] } } }),
    ),
    {
      uid: "uid-1",
      resourceVersion: "7",
      namespace: "demo",
      name: "web",
      createdAt: "2026-01-02T03:04:05Z",
      type: "LoadBalancer",
      loadBalancerClass: undefined,
      annotations: { "service.cloud.tencent.com/direct-access": "true", "clb-direct.io/managed": "true" },
      typeLabel: undefined,
      finalizers: [],
      selector: { app: "web" },
      ports: [{ name: "http", protocol: "TCP", port: 80, targetPort: "http" }],
      deleting: false,
      ingress: ["198.18.0.1"],
      ipModes: ["VIP"],
      isHeadless: false,
      publishNotReady: false,
      generation: undefined,
      ready: undefined,
      sourceRanges: [],
      loadBalancerIp: "",
      sessionAffinity: "None",
    },
  );
});

test("fills in what a Service leaves out", () => {
  const bare = decodeService(
    raw({ spec: { type: undefined, selector: null, ports: [{ port: 53 }] }, status: { loadBalancer: { ingress: null } } }),
  );
  assert.deepEqual([bare.type, bare.selector, bare.ingress], ["ClusterIP", {}, []]);
  assert.deepEqual(bare.ports, [{ name: "", protocol: "TCP", port: 53, targetPort: 53 }]);
  assert.deepEqual(decodeService(raw({ spec: { type: "ExternalName", ports: null } })).ports, []);
  assert.equal(decodeService(raw({ metadata: { deletionTimestamp: "2026-01-02T03:05:00Z" } })).deleting, true);
  assert.deepEqual(decodeService(raw({ status: { loadBalancer: { ingress: [{ hostname: "lb.example.com" }] } } })).ingress, [
    "lb.example.com",
  ]);
});

test("watches Services, Ingresses, TkeServiceConfigs and Nodes, and is synced when each was listed", async (t) => {
  const { client } = await aKube(t);
  const seen: string[] = [];
  let nodesListed = 0;
  let ownersListed = 0;
  const objects = makeWatchedObjects({
    client,
    clock: makeClock(),
    log: silentLog,
    onService: ({ kind, record }) => void seen.push(`Service ${record.name} ${kind}`),
    onConfig: ({ kind, record }) => void seen.push(`Config ${record.name} ${kind} ${record.faults.length}`),
    onIngress: ({ kind, record }) => void seen.push(`Ingress ${record.name} ${kind}`),
    onIngressClass: () => undefined,
    onNode: ({ kind, record }) => void seen.push(`Node ${record.name} ${kind}`),
    onNodesListed: () => void (nodesListed += 1),
    onServicesListed: () => void (ownersListed += 1),
  });
  assert.equal(objects.synced, false);
  const stop = new AbortController();
  const ended = objects.run(stop.signal);
  t.after(async () => {
    stop.abort(new Error("stop"));
    await ended;
  });
  await eventually("all have synced", () => objects.synced);
  assert.equal(nodesListed, 1);
  assert.equal(ownersListed, 1, "whichever of Services, Ingresses and IngressClasses was listed last");
  const spec = { loadBalancer: { l4Listeners: [{ protocol: "TCP", port: 80, healthCheck: { intervalTime: 7 } }, { protocol: "SCTP" }] } };
  const config = {
    apiVersion: "cloud.tencent.com/v1alpha1",
    kind: "TkeServiceConfig",
    metadata: { name: "checks", namespace: "demo" },
    spec,
  };
  await client.create("/apis/cloud.tencent.com/v1alpha1/namespaces/demo/tkeserviceconfigs", config);
  await client.create("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: "node-a" } });
  const { spec: serviceSpec } = raw();
  await client.create("/api/v1/namespaces/demo/services", {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web" },
    spec: serviceSpec,
  });
  await eventually("all were seen", () => seen.length === 3);
  assert.deepEqual(seen.toSorted(), ["Config checks added 1", "Node node-a added", "Service web added"]);
  assert.deepEqual(objects.config("demo", "checks")?.wishes.get("TCP/80"), { intervalSeconds: 7 });
  assert.match(objects.config("demo", "checks")?.faults[0] ?? "", /^TkeServiceConfig demo\/checks: spec\.loadBalancer\.l4Listeners\[1\]/);
  assert.equal(objects.config("shop", "checks"), undefined);
});
