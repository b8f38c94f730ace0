import assert from "node:assert/strict";
import { test } from "node:test";
import { decodePod, withHold } from "../../../common/kubernetes/node-pods.ts";

const GATE = "example.com/gate";

function aRawPod(change: { metadata?: object; spec?: object; status?: object } = {}): unknown {
  return {
    metadata: {
      uid: "pod-1",
      resourceVersion: "17",
      namespace: "demo",
      name: "web-1",
      labels: { app: "web" },
      managedFields: [{ manager: "kubelet" }],
      ...change.metadata,
    },
    spec: {
      nodeName: "node-a",
      readinessGates: [{ conditionType: GATE }],
      containers: [
        {
          name: "web",
          image: "web:1",
          ports: [
            { name: "http", containerPort: 8080, protocol: "TCP" },
            { containerPort: 53, protocol: "UDP" },
          ],
        },
      ],
      ...change.spec,
    },
    status: {
      phase: "Running",
      podIP: "10.244.1.1",
      podIPs: [{ ip: "10.244.1.1" }, { ip: "fd00::1" }],
      startTime: "2026-01-02T03:04:05Z",
      conditions: [
        { type: "ContainersReady", status: "True", lastTransitionTime: "2026-01-02T03:04:07Z" },
        { type: GATE, status: "False", lastTransitionTime: "2026-01-02T03:04:06Z" },
      ],
      containerStatuses: [{ name: "web", restartCount: 2 }],
      initContainerStatuses: [{ name: "sidecar", restartCount: 1 }],
      ...change.status,
    },
  };
}

test("keeps of a Pod what the load balancer needs, and nothing else", () => {
  assert.deepEqual(decodePod(aRawPod({ metadata: { annotations: { "service.cloud.tencent.com/custom-weight": "50" } } }), GATE), {
    uid: "pod-1",
    resourceVersion: "17",
    namespace: "demo",
    name: "web-1",
    nodeName: "node-a",
    ips: ["10.244.1.1", "fd00::1"],
    hostNetwork: false,
    phase: "Running",
    containersReady: true,
    containersReadyAtMs: Date.UTC(2026, 0, 2, 3, 4, 7),
    hasGate: true,
    gate: "False",
    deletionAtMs: undefined,
    labels: { app: "web" },
    ports: [
      { name: "http", port: 8080, protocol: "TCP" },
      { name: "", port: 53, protocol: "UDP" },
    ],
    startedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    restarts: 3,
    hostInterface: undefined,
    networks: { asked: [], statusName: "", statusMac: "", fault: "" },
    networkNote: "",
    weights: { service: "50", ingress: "" },
  });
});

const NETWORKS = "tke.cloud.tencent.com/networks";
const STATUS = "tke.cloud.tencent.com/networks-status";
const networksOf = (annotations: object) => decodePod(aRawPod({ metadata: { annotations } }), GATE).networks;

test("reads which networks a Pod asks for and which one it got by default", () => {
  assert.deepEqual(networksOf({ [NETWORKS]: "tke-route-eni, kube-system/tke-bridge@eth1" }).asked, ["tke-route-eni", "tke-bridge"]);
  assert.deepEqual(networksOf({ [NETWORKS]: '["tke-direct-eni"]' }).asked, ["tke-direct-eni"]);
  assert.deepEqual(networksOf({ [NETWORKS]: '[{"name":"tke-sub-eni"}]' }).asked, ["tke-sub-eni"]);
  const status = [
    { name: "tke-bridge", interface: "eth1", ips: ["172.16.0.7"], mac: "AA:00:00:00:00:01" },
    { name: "kube-system/tke-direct-eni", interface: "eth0", ips: ["10.0.3.7"], mac: "20:90:6F:01:02:03", default: true },
  ];
  const { statusName, statusMac, fault } = networksOf({ [STATUS]: JSON.stringify(status) });
  assert.deepEqual({ statusName, statusMac, fault }, { statusName: "tke-direct-eni", statusMac: "20:90:6f:01:02:03", fault: "" });
});

test("an annotation that cannot be read counts as absent, by name", () => {
  for (const wrong of ['[{"nome":"x"}]', "[", "[1]"]) {
    const { asked, fault } = networksOf({ [NETWORKS]: wrong });
    assert.deepEqual([asked, fault], [[], `annotation ${NETWORKS} is not a comma list or a JSON list of names and counts as absent`]);
  }
  for (const wrong of ["", "{}", "[3]", "nonsense"])
    assert.match(networksOf({ [STATUS]: wrong }).fault, /networks-status is not the JSON list that multus writes and counts as absent/);
});

test("reads Pods at the edges of their lives", () => {
  const fresh = decodePod({ ...Object(aRawPod()), status: undefined }, GATE);
  assert.deepEqual(
    [fresh.ips, fresh.phase, fresh.containersReady, fresh.gate, fresh.startedAtMs],
    [[], "Unknown", false, "absent", undefined],
  );
  const leaving = decodePod(aRawPod({ metadata: { deletionTimestamp: "2026-01-02T03:05:00Z" } }), GATE);
  assert.equal(leaving.deletionAtMs, Date.UTC(2026, 0, 2, 3, 5, 0));
  assert.equal(decodePod(aRawPod({ status: { phase: "Evaporated" } }), GATE).phase, "Unknown");
});

const cases: readonly [string, Parameters<typeof aRawPod>[0], (pod: ReturnType<typeof decodePod>) => unknown, unknown][] = [
  ["podIP where podIPs is missing", { status: { podIPs: undefined } }, ({ ips }) => ips, ["10.244.1.1"]],
  ["no IP yet", { status: { podIP: "", podIPs: [] } }, ({ ips }) => ips, []],
  ["another gate is not ours", { spec: { readinessGates: [{ conditionType: "other" }] } }, ({ hasGate }) => hasGate, false],
  ["a gate of any other status", { status: { conditions: [{ type: GATE, status: "Maybe" }] } }, ({ gate }) => gate, "Unknown"],
  ["hostNetwork", { spec: { hostNetwork: true } }, ({ hostNetwork }) => hostNetwork, true],
  [
    "null where nothing is",
    { metadata: { labels: null }, spec: { containers: [{ ports: null }] } },
    ({ ports, labels }) => [ports, labels],
    [[], {}],
  ],
  [
    "ports of sidecars, not of other init containers",
    {
      spec: {
        containers: [],
        initContainers: [{ restartPolicy: "Always", ports: [{ containerPort: 1 }] }, { ports: [{ containerPort: 2 }] }],
      },
    },
    ({ ports }) => ports,
    [{ name: "", port: 1, protocol: "TCP" }],
  ],
  [
    "a transition without a time",
    { status: { conditions: [{ type: "ContainersReady", status: "True", lastTransitionTime: null }] } },
    (pod) => [pod.containersReady, pod.containersReadyAtMs],
    [true, undefined],
  ],
];
for (const [name, change, look, expected] of cases)
  test(`reads ${name}`, () => assert.deepEqual(look(decodePod(aRawPod(change), GATE)), expected));

test("names the field of what is no Pod", () => {
  assert.throws(() => decodePod(aRawPod({ metadata: { uid: undefined } }), GATE), /uid/);
  assert.throws(() => decodePod("Pod", GATE), /object/);
});

test("a container may take as long to stop as the longest of its Pod's graces says", () => {
  const longest = (spec: object): number | undefined => {
    const raw = aRawPod({ metadata: { annotations: { "clb-direct.io/hold": "Jq3xw0Zk8sT1uV2wX3yZ4a" } }, spec });
    return withHold(decodePod(raw, GATE), raw).hold?.longestGraceSeconds;
  };
  const probe = (terminationGracePeriodSeconds: number | undefined) => ({ terminationGracePeriodSeconds });
  assert.equal(longest({}), 30);
  assert.equal(longest({ terminationGracePeriodSeconds: 120, containers: [{ livenessProbe: probe(5) }] }), 120);
  assert.equal(longest({ containers: [{ livenessProbe: probe(undefined) }, { livenessProbe: null, startupProbe: probe(300) }] }), 300);
  assert.equal(longest({ initContainers: [{ restartPolicy: "Always", livenessProbe: probe(77) }] }), 77);
});

test("a token of the hold that none is, of any size, is not kept", () => {
  const held = (token: string) => {
    const raw = aRawPod({ metadata: { annotations: { "clb-direct.io/hold": token } } });
    return withHold(decodePod(raw, GATE), raw).hold;
  };
  assert.equal(held("Jq3xw0Zk8sT1uV2wX3yZ4a")?.token, "Jq3xw0Zk8sT1uV2wX3yZ4a");
  assert.deepEqual([held("x"), held("y".repeat(200_000)), held("")], [undefined, undefined, undefined]);
});
