import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { ENVIRONMENT_KEYS as AGENT_KEYS } from "../../agent/config.ts";
import { ENVIRONMENT_KEYS as HOLD_KEYS } from "../../agent/hold/config.ts";
import { VIRTUAL_NODE_LABELS } from "../../common/names.ts";
import { ENVIRONMENT_KEYS as COORDINATOR_KEYS } from "../../coordinator/config.ts";
import { OWN_KEYS, readValues, valuesSchema } from "../../deploy/tools/chart-values.ts";
import { findHelm, runHelm } from "../../deploy/tools/helm.ts";
import { CHART, type Rendered, renderInstall, renderValues } from "../../deploy/tools/render.ts";
import { type Manifest, parseManifests } from "../cluster/manifests.ts";

const helm = findHelm(process.env);
const needsHelm = { skip: helm.kind === "missing" && helm.reason };
const run = (...args: readonly string[]): string => {
  assert.ok(helm.kind === "found");
  return runHelm(helm.file, args, process.env);
};

const REQUIRED = ["region=ap-guangzhou", "image.repository=registry.example.com/clb-direct"];
/** What the chart makes of values, e.g. rendered({ set: ["policy=observe"] }). */
function rendered(given: { set?: readonly string[]; json?: string; kubernetes?: string; namespace?: string } = {}): readonly Manifest[] {
  const { set = [], json, kubernetes = "1.36", namespace = "lb-system" } = given;
  const values = [...REQUIRED, ...set].flatMap((one) => ["--set", one]);
  if (json !== undefined) values.push("--set-json", json);
  return parseManifests(
    run("template", "clb-direct", CHART, "--namespace", namespace, "--kube-version", kubernetes, ...values),
    "the chart",
  );
}

function assertCurrent(files: readonly Rendered[]): void {
  for (const { file, content } of files)
    assert.equal(readFileSync(file, "utf8"), content, `${file} is not current: run npm run chart:render`);
}

test("values.schema.json and the chart's README are current", () => {
  assertCurrent(renderValues());
});

test("deploy/install.yaml and deploy/install-before-1.36.yaml are current", needsHelm, () => {
  assert.ok(helm.kind === "found");
  assertCurrent(renderInstall(helm.file, process.env));
});

test("the chart passes Helm's own lint", needsHelm, () => {
  run("lint", "--strict", CHART, ...REQUIRED.flatMap((one) => ["--set", one]));
});

test("every key of the environment has a value of its own, is a setting, or is set by the chart", () => {
  const values = readValues(readFileSync(`${CHART}/values.yaml`, "utf8"));
  const paths = values.map(({ path }) => path.join("."));
  const schema = JSON.stringify(valuesSchema(values));
  const templates = { coordinator: "coordinator.yaml", agent: "agent.yaml", hold: "agent.yaml" } as const;
  const all = [["coordinator", COORDINATOR_KEYS] as const, ["agent", AGENT_KEYS] as const, ["hold", HOLD_KEYS] as const];
  for (const [process, keys] of all) {
    const own: Readonly<Record<string, string | undefined>> = OWN_KEYS[process];
    const template = readFileSync(`${CHART}/templates/${templates[process]}`, "utf8");
    for (const key of keys)
      if (!(key in own)) assert.ok(schema.includes(`"${key}":`), `${process}.settings lacks ${key}`);
      else if (own[key] !== undefined) {
        assert.ok(paths.includes(own[key]), `values.yaml lacks ${own[key]}, by which ${key} is set`);
        assert.match(template, new RegExp(`name: ${key}\\n\\s+value`), `${templates[process]} does not set ${key}`);
      }
    const known: readonly string[] = keys;
    assert.deepEqual(
      Object.keys(own).filter((key) => !known.includes(key)),
      [],
    );
  }
});

const envOf = (manifests: readonly Manifest[], kind: string): Readonly<Record<string, string | undefined>> => {
  type Workload = { spec: { template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } } };
  const workload = manifests.find((manifest) => manifest.kind === kind) as unknown as Workload;
  return Object.fromEntries(workload.spec.template.spec.containers[0]?.env.map(({ name, value }) => [name, value]) ?? []);
};

test("only the hold server may write network rules, and nothing of the agent's Pod declares a port", needsHelm, () => {
  type Container = { name: string; args: string[]; ports?: unknown; securityContext: { runAsUser: number; capabilities: object } };
  type Agent = { spec: { template: { spec: { terminationGracePeriodSeconds: number; containers: Container[] } } } };
  const agentOf = (set: readonly string[]) => {
    const found = rendered({ set }).find(({ kind }) => kind === "DaemonSet");
    return (found as unknown as Agent).spec.template.spec;
  };
  const { containers, terminationGracePeriodSeconds } = agentOf([]);
  assert.deepEqual(
    containers.map(({ name, args, ports, securityContext: { runAsUser, capabilities } }) => [
      name,
      args.at(-1),
      ports,
      runAsUser,
      capabilities,
    ]),
    [
      ["agent", "agent.mjs", undefined, 65_532, { drop: ["ALL"] }],
      ["hold", "hold.mjs", undefined, 0, { drop: ["ALL"], add: ["NET_ADMIN"] }],
    ],
  );
  assert.equal(terminationGracePeriodSeconds, 60);
  const [agent, ...others] = agentOf(["agent.hold.enabled=false"]).containers;
  assert.deepEqual([agent?.name, others.length, JSON.stringify(agent).includes("HOLD_SOCKET")], ["agent", 0, false]);
});

test("settings become environment, whole numbers without an exponent", needsHelm, () => {
  const manifests = rendered({
    json: "coordinator.settings.TIME_SCALE=0.5",
    set: ["coordinator.settings.DRAIN_MS=3600000", "agent.settings.ACK_TIMEOUT_MS=6000", "vpcId=vpc-1"],
  });
  const coordinator = envOf(manifests, "Deployment");
  assert.deepEqual([coordinator["DRAIN_MS"], coordinator["TIME_SCALE"], coordinator["VPC_ID"]], ["3600000", "0.5", "vpc-1"]);
  assert.equal(envOf(manifests, "DaemonSet")["ACK_TIMEOUT_MS"], "6000");
});

test("in any Namespace: agents ask for the name that the coordinator's certificate carries there", needsHelm, () => {
  const agent = envOf(rendered({ namespace: "lb-system" }), "DaemonSet");
  assert.equal(agent["COORDINATOR_ADDRESS"], "dns:///clb-direct-coordinator.lb-system.svc:9443");
  assert.equal(agent["COORDINATOR_SERVER_NAME"], "clb-direct-coordinator.lb-system.svc");
  assert.doesNotMatch(
    JSON.stringify(rendered({ namespace: "lb-system" })),
    /clb-direct\.svc|"namespace":"clb-direct"|serviceaccount:clb-direct:/,
  );
});

test("a port that the settings change reaches the container, the webhook's Service, its fence and the network's policy", needsHelm, () => {
  const ports = { WEBHOOK_PORT: 18443, EXPLAIN_PORT: 19092 };
  const set = [...Object.entries(ports).map(([key, port]) => `coordinator.settings.${key}=${port}`), "networkPolicy.enabled=true"];
  const text = JSON.stringify(rendered({ set }).filter(({ kind }) => kind !== "DaemonSet"));
  for (const port of Object.values(ports)) assert.match(text, new RegExp(`"(containerPort|port)":${port}\\b`));
  for (const port of [8443, 9092]) assert.doesNotMatch(text, new RegExp(`[":]${port}\\b`));
  assert.match(text, /"targetPort":"webhook"/);
  assert.ok(text.includes(String.raw`[\"webhook\", \"18443\"]`));
});

type Rule = { readonly resources: readonly string[]; readonly resourceNames?: readonly string[]; readonly verbs: readonly string[] };
const hasRule = (manifests: readonly Manifest[], rule: Rule): boolean =>
  manifests
    .filter(({ kind }) => kind === "ClusterRole")
    .flatMap((one) => one["rules"] as readonly Rule[])
    .some((one) => Object.entries(rule).every(([key, value]) => isDeepStrictEqual(one[key as keyof Rule], value)));

test("whatever gives Pods their gate, what the webhook has left can be emptied, and is fenced", needsHelm, () => {
  for (const admission of ["webhook", "policy", "off"]) {
    const manifests = rendered({ set: [`admission=${admission}`] });
    const named = (kind: string, name: string): string =>
      JSON.stringify(manifests.find((one) => one.kind === kind && one.metadata.name === name) ?? "");
    const rule = { resources: ["mutatingwebhookconfigurations"], resourceNames: ["clb-direct"], verbs: ["list", "watch", "patch"] };
    assert.ok(hasRule(manifests, rule), admission);
    for (const kind of ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"])
      assert.notEqual(named(kind, "clb-direct-webhook-configuration"), '""', admission);
  }
});

test("what would fail later is refused at once, with the fix", needsHelm, () => {
  const refusals: readonly (readonly [string, Parameters<typeof rendered>[0], RegExp])[] = [
    ["no region", { set: ["region="] }, /region is missing.*--set region=/],
    ["no image", { set: ["image.repository="] }, /image\.repository is missing/],
    [
      "coordinators on the ports of their node's agent",
      { set: ["coordinator.hostNetwork=true"] },
      /agent\.ports\.health is 9091.*--set agent\.ports\.health=9191/,
    ],
    ["a typo", { set: ["coordinater.replicas=3"] }, /coordinater/],
    ["a setting that does not exist", { set: ["coordinator.settings.DRAIN=3"] }, /DRAIN/],
    ["a setting out of its range", { set: ["agent.settings.ACK_TIMEOUT_MS=1"] }, /ACK_TIMEOUT_MS/],
    ["a policy that does not exist", { set: ["policy=dry"] }, /policy/],
    ["kube-system", { namespace: "kube-system" }, /kube-system.*ConfigMap/s],
    ["an old Kubernetes", { kubernetes: "1.29.9" }, /1\.30/],
  ];
  for (const [what, given, message] of refusals) assert.throws(() => rendered(given), { message }, what);
});

test("agents may list Pods cluster-wide only below Kubernetes 1.36, or where somebody says so", needsHelm, () => {
  const hasLegacy = (given: Parameters<typeof rendered>[0]): boolean =>
    rendered(given).some(({ metadata }) => metadata.name === "clb-direct-agent-before-1.36");
  assert.equal(hasLegacy({ kubernetes: "1.35.9" }), true);
  assert.equal(hasLegacy({ kubernetes: "1.36.0-rc.1" }), false);
  assert.equal(hasLegacy({ kubernetes: "v1.36.3-tke.2" }), false);
  assert.equal(hasLegacy({ kubernetes: "1.35.9", set: ["legacyPodAccess=false"] }), false);
  assert.equal(hasLegacy({ kubernetes: "1.36.0", set: ["legacyPodAccess=true"] }), true);
});

type PodSpec = {
  readonly containers: readonly { readonly ports?: unknown; readonly startupProbe: object; readonly readinessProbe: object }[];
  readonly priorityClassName?: string;
  readonly affinity?: object;
};
function podOf(manifests: readonly Manifest[], kind: string): PodSpec {
  const workload = manifests.find((one) => one.kind === kind);
  assert.ok(workload, kind);
  return (workload["spec"] as { template: { spec: PodSpec } }).template.spec;
}

test(
  "an update of the agents leaves no gap: one more first, no declared ports, startup and readiness by the Pod's own state",
  needsHelm,
  () => {
    const manifests = rendered();
    const daemonSet = manifests.find(({ kind }) => kind === "DaemonSet")?.["spec"] as { updateStrategy: object };
    assert.deepEqual(daemonSet.updateStrategy, { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } });
    const [agent] = podOf(manifests, "DaemonSet").containers;
    assert.equal(agent?.ports, undefined);
    for (const probe of [agent?.startupProbe, agent?.readinessProbe]) assert.ok(probe !== undefined && "exec" in probe);
  },
);

test("agents run on machines only; both workloads have a priority; two coordinators have a budget, one has none", needsHelm, () => {
  const manifests = rendered();
  for (const [label, value] of VIRTUAL_NODE_LABELS)
    assert.ok(
      JSON.stringify(podOf(manifests, "DaemonSet").affinity).includes(`{"key":"${label}","operator":"NotIn","values":["${value}"]}`),
    );
  assert.equal(podOf(manifests, "DaemonSet").priorityClassName, "system-node-critical");
  assert.equal(podOf(manifests, "Deployment").priorityClassName, "system-cluster-critical");
  const hasBudget = (set: readonly string[]): boolean => rendered({ set }).some(({ kind }) => kind === "PodDisruptionBudget");
  assert.deepEqual([hasBudget([]), hasBudget(["coordinator.replicas=1"])], [true, false]);
});

test("no probe warns where a node is slow: each answers within 5 s, and liveness waits for the start", needsHelm, () => {
  type Probes = Record<
    "startupProbe" | "readinessProbe" | "livenessProbe",
    { timeoutSeconds: number; failureThreshold?: number } | undefined
  >;
  const manifests = rendered();
  const containers = ["DaemonSet", "Deployment"].flatMap((kind) => podOf(manifests, kind).containers) as unknown as readonly (Probes & {
    name: string;
  })[];
  assert.deepEqual(
    containers.map(({ name }) => name),
    ["agent", "hold", "coordinator"],
  );
  for (const { name, startupProbe, readinessProbe, livenessProbe } of containers) {
    assert.ok(startupProbe !== undefined && readinessProbe !== undefined, name);
    for (const probe of [startupProbe, readinessProbe, livenessProbe])
      assert.ok((probe?.timeoutSeconds ?? 5) >= 5, `${name}: ${JSON.stringify(probe)}`);
    assert.ok((startupProbe.failureThreshold ?? 3) >= 60, name);
  }
});

test(
  "coordinators spread over nodes and zones; both workloads ask for Linux; memory that is asked for is above what an agent takes",
  needsHelm,
  () => {
    type Spread = { topologyKey: string; labelSelector: object };
    type Spec = {
      nodeSelector: object;
      topologySpreadConstraints?: Spread[];
      containers: { resources: { requests: { memory: string } } }[];
    };
    const manifests = rendered();
    const [agent, coordinator] = ["DaemonSet", "Deployment"].map((kind) => podOf(manifests, kind) as unknown as Spec);
    for (const pod of [agent, coordinator]) assert.deepEqual(pod?.nodeSelector, { "kubernetes.io/os": "linux" });
    assert.deepEqual(
      coordinator?.topologySpreadConstraints?.map(({ topologyKey, labelSelector }) => [topologyKey, labelSelector]),
      ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].map((key) => [key, { matchLabels: { app: "clb-direct-coordinator" } }]),
    );
    // Goals of docs and proofs, as working sets: 56 and 80 MiB.
    assert.ok(Number.parseInt(agent?.containers[0]?.resources.requests.memory ?? "", 10) >= 56);
    assert.ok(Number.parseInt(coordinator.containers[0]?.resources.requests.memory ?? "", 10) >= 80);
  },
);

test("a Namespace that the chart makes lets agents use the node's network", needsHelm, () => {
  const made = rendered({ set: ["namespace.create=true"] }).find(
    ({ kind, metadata }) => kind === "Namespace" && metadata.name === "lb-system",
  );
  assert.deepEqual(made?.metadata["labels"], { "pod-security.kubernetes.io/enforce": "privileged" });
});

test("Prometheus scrapes each agent once: of a container without ports it makes a target, and the agent's Pod has two", needsHelm, () => {
  const monitors = rendered({ set: ["podMonitor.enabled=true"] }).filter(({ kind }) => kind === "PodMonitor");
  const agents = JSON.stringify(monitors.find(({ metadata }) => metadata.name === "clb-direct-agent"));
  assert.match(agents, /\{"sourceLabels":\["__meta_kubernetes_pod_container_name"\],"regex":"agent","action":"keep"\}/);
});

test("a policy for the network lets in each port from where it is asked", needsHelm, () => {
  const set = ["networkPolicy.enabled=true", "networkPolicy.nodeCidrs={10.0.0.0/16}"];
  const policy = rendered({ set }).find(({ kind }) => kind === "NetworkPolicy")?.["spec"] as { ingress: readonly object[] };
  assert.deepEqual(policy.ingress, [
    { ports: [{ port: 9443 }, { port: 9091 }], from: [{ ipBlock: { cidr: "10.0.0.0/16" } }] },
    { ports: [{ port: 8443 }, { port: 9092 }] },
    { ports: [{ port: 9090 }], from: [{ namespaceSelector: {} }] },
  ]);
  assert.ok(!rendered().some(({ kind }) => kind === "NetworkPolicy"));
});
