import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { pino } from "pino";
import { makeClock } from "../../../common/clock.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { applyManifests } from "../manifests.ts";
import { addressPlan, claimSlot, type SlotClaim } from "../network.ts";
import { until } from "../process.ts";
import { type Deployment, isReady, type Pod } from "../simulated/objects.ts";
import { type SimulatedCluster, startSimulatedCluster } from "../simulated/start.ts";
import { type ControlPlaneBinaries, findControlPlane } from "./binaries.ts";
import { ADMIN, kubeletUser } from "./certificates.ts";
import { networkFault, type RealCluster, startControlPlane } from "./control-plane.ts";
import { untilSchedulable } from "./schedulable.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
const found = await findControlPlane();
const skip = found.kind === "missing" ? found.reason : (networkFault(addressPlan(1)) ?? false);
const binaries = (found.kind === "found" ? found.binaries : {}) as ControlPlaneBinaries; // not used where all is skipped

const noKubectl = spawnSync("kubectl", ["version", "--client"]).status === 0 ? false : "kubectl is not installed";

/** Processes whose command line has `text`, e.g. a temporary directory. */
const processesWith = (text: string): readonly string[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        return line.includes(text) ? [`${pid} ${line}`] : [];
      } catch {
        return []; // it ended meanwhile
      }
    });

/** Rejects if the child ends without one. */
async function firstLine(child: { readonly stdout: Readable }): Promise<string> {
  for await (const line of createInterface(child.stdout)) return line;
  throw new Error("it ended without a line of output");
}

const refusal = async (request: Promise<unknown>): Promise<KubeApiError> => {
  try {
    await request;
  } catch (error) {
    if (error instanceof KubeApiError) return error;
    throw error;
  }
  throw new Error("the request was not refused");
};

const aPod = (name: string, spec: object = {}): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: { containers: [{ name: "web", image: "web:1" }], ...spec },
});

/** A skipped suite would not be counted; a skipped test is. */
const realSuite = (name: string, tests: () => void): void => {
  if (skip === false) suite(name, tests);
  else test(name, { skip });
};

realSuite("a real control plane", () => {
  let slot: SlotClaim;
  let cluster: RealCluster;
  let admin: KubeClient;

  before(async () => {
    slot = await claimSlot();
    cluster = await startControlPlane({ plan: slot.plan, binaries });
    admin = await cluster.client(ADMIN);
  });
  after(async () => {
    await cluster?.stop();
    await slot?.release();
  });

  type Audited = {
    verb: string;
    user: { username: string };
    objectRef?: { resource: string; subresource?: string; name?: string };
    responseStatus?: { code: number };
  };
  const audited = (username: string): readonly Audited[] =>
    readFileSync(cluster.auditLog, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Audited)
      .filter(({ user }) => user.username === username);

  test("answers kubectl as the version that was chosen", { skip: noKubectl }, async () => {
    const config = await cluster.kubeconfigFile(ADMIN);
    const { stdout } = await promisify(execFile)("kubectl", ["--kubeconfig", config, "get", "nodes,pods", "-A"]);
    assert.equal(stdout, "");
    assert.match(cluster.version, /^v1\.36\.\d+$/);
  });

  test("creates Pods at once, serves TkeServiceConfigs, and enforces Pod Security", async () => {
    const labels = { "pod-security.kubernetes.io/enforce": "baseline" };
    const pods = "/api/v1/namespaces/default/pods";
    assert.equal((await admin.create<Pod>(pods, aPod("first"))).metadata.name, "first");
    await admin.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "fenced", labels } });
    await until("its ServiceAccount", () => admin.get("/api/v1/namespaces/fenced/serviceaccounts/default").catch(() => false));
    const { code } = await refusal(admin.create("/api/v1/namespaces/fenced/pods", aPod("host", { hostNetwork: true })));
    assert.equal(code, 403);
    const config = {
      apiVersion: "cloud.tencent.com/v1alpha1",
      kind: "TkeServiceConfig",
      metadata: { name: "web" },
      spec: { any: { thing: [1] } },
    };
    const path = "/apis/cloud.tencent.com/v1alpha1/namespaces/default/tkeserviceconfigs";
    assert.deepEqual((await admin.create<typeof config>(path, config)).spec, config.spec);
  });

  test("knows a kubelet by its certificate and confines it to its own Node, and writes who asked into the audit log", async () => {
    const kubelet = await cluster.client(kubeletUser("node-x"));
    const node = (name: string): object => ({ apiVersion: "v1", kind: "Node", metadata: { name } });
    await kubelet.create("/api/v1/nodes", node("node-x"));
    assert.equal((await refusal(kubelet.create("/api/v1/nodes", node("node-y")))).code, 403);
    assert.equal((await refusal(kubelet.list("/api/v1/pods"))).code, 403);
    assert.deepEqual((await kubelet.list("/api/v1/pods", { fieldSelector: "spec.nodeName=node-x" })).items, []);
    assert.equal((await refusal((await cluster.client({ name: "alice", groups: [] })).list("/api/v1/pods"))).code, 403);
    assert.deepEqual(
      audited("system:node:node-x")
        .filter(({ verb }) => verb === "create")
        .map(({ objectRef, responseStatus }) => [objectRef?.name, responseStatus?.code]),
      [
        ["node-x", 201],
        ["node-y", 403],
      ],
    );
    await admin.delete("/api/v1/nodes/node-x");
  });

  test("runs a Deployment on simulated nodes, each with its own certificate", async (t) => {
    let nodes: SimulatedCluster | undefined;
    t.after(() => nodes?.stop());
    const log = pino({ level: "error" }, process.stderr);
    nodes = await startSimulatedCluster({
      client: admin,
      clock: makeClock(),
      log,
      plan: slot.plan,
      nodes: ["node-a", "node-b"],
      controllers: [],
      kubeletClient: (name) => cluster.client(kubeletUser(name)),
    });
    await untilSchedulable(admin, ["node-a", "node-b"]);
    const [labels, path] = [{ app: "web" }, "/apis/apps/v1/namespaces/default/deployments/web"];
    const containers = [
      { name: "web", image: "web:1", ports: [{ containerPort: 8080 }], env: [{ name: "STARTUP_SECONDS", value: "0.1" }] },
    ];
    const deployment = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "default" },
      spec: { replicas: 3, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } },
    };
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: "default" },
      spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
    };
    await applyManifests(admin, [deployment, service]);
    await until("3 Pods are available", async () => (await admin.get<Deployment>(path)).status?.availableReplicas === 3, 30_000);
    const select = { labelSelector: "app=web" };
    const { items: pods } = await admin.list<Pod>("/api/v1/namespaces/default/pods", select);
    assert.equal(pods.filter(isReady).length, 3);
    assert.deepEqual(new Set(pods.map(({ spec }) => spec.nodeName)), new Set(["node-a", "node-b"]));
    for (const { status } of pods) assert.equal((await fetch(`http://${status?.podIP}:8080/`)).status, 200);
    for (const user of ["system:node:node-a", "system:node:node-b", "admin"]) {
      const writesStatus = audited(user).some(({ verb, objectRef }) => verb === "patch" && objectRef?.subresource === "status");
      assert.equal(writesStatus, user !== "admin", user);
      assert.deepEqual(user === "admin" ? [] : audited(user).filter(({ responseStatus }) => responseStatus?.code === 403), [], user);
    }
    const slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    type Slice = { endpoints: { addresses: string[]; conditions: { ready: boolean } }[] };
    await until("the EndpointSlice has them", async () => {
      const endpoints = (await admin.list<Slice>(slices, { labelSelector: "kubernetes.io/service-name=web" })).items.flatMap(
        (slice) => slice.endpoints,
      );
      return endpoints.filter(({ conditions }) => conditions.ready).length === 3;
    });
    await admin.delete(path, { propagationPolicy: "Background" });
    await until("all Pods are gone", async () => (await admin.list("/api/v1/namespaces/default/pods", select)).items.length === 0, 40_000);
  });

  test("an API server that was killed comes back with its data", async () => {
    const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "kept" } };
    await admin.create("/api/v1/namespaces/default/configmaps", map);
    await cluster.restart("kube-apiserver");
    assert.equal((await admin.get<Pod>("/api/v1/namespaces/default/configmaps/kept")).metadata.name, "kept");
  });

  test("says which port is taken", async () => {
    const message = new RegExp(`^${cluster.url.slice("https://".length)} \\(api\\) is in use: end what listens there`);
    await assert.rejects(startControlPlane({ plan: slot.plan, binaries }), { message });
  });
});

realSuite("the end of a real control plane", () => {
  test("stop leaves neither process nor directory, and the slot can be used again", async () => {
    const slot = await claimSlot();
    const cluster = await startControlPlane({ plan: slot.plan, binaries });
    assert.equal(processesWith(cluster.directory).length, 4);
    await cluster.stop();
    assert.deepEqual(processesWith(cluster.directory), []);
    assert.equal(existsSync(cluster.directory), false);
    await new Promise<void>((resolve, reject) => {
      const again = createServer().once("error", reject);
      again.listen(6443, slot.plan.apiServer, () => again.close(() => resolve()));
    });
    await slot.release();
  });

  test("a part that cannot start is named with what it said, and nothing is left", async (t) => {
    const slot = await claimSlot();
    const home = await mkdtemp(join(tmpdir(), "clb-direct-real-test-"));
    t.after(() => rm(home, { recursive: true, force: true }));
    const broken = { ...binaries, "kube-apiserver": join(home, "kube-apiserver") };
    await writeFile(broken["kube-apiserver"], "#!/bin/sh\necho no such flag\nexit 3\n", { mode: 0o755 });
    const temporary = process.env["TMPDIR"];
    process.env["TMPDIR"] = home;
    t.after(() => (temporary === undefined ? delete process.env["TMPDIR"] : (process.env["TMPDIR"] = temporary)));
    await assert.rejects(startControlPlane({ plan: slot.plan, binaries: broken }), {
      message: "kube-apiserver ended with 3 while starting:\nno such flag",
    });
    assert.deepEqual(processesWith(`${home}/`), []);
    assert.deepEqual(readdirSync(home), ["kube-apiserver"]);
    await slot.release();
  });

  for (const [how, signal] of [
    ["is killed", "SIGKILL"],
    ["has lost its parent", undefined],
  ] as const) {
    test(`nothing runs any more after main.ts ${how}`, async (t) => {
      const slot = await claimSlot();
      const home = await mkdtemp(join(tmpdir(), "clb-direct-real-test-"));
      t.after(() => rm(home, { recursive: true, force: true }));
      const args = [
        "--slot",
        String(slot.plan.slot),
        "--directory",
        home,
        "--kubeconfig",
        join(home, "config"),
        "--json",
        "--exit-with-parent",
      ];
      const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["pipe", "pipe", "inherit"] });
      t.after(() => child.kill("SIGKILL"));
      const { ready, url } = JSON.parse(await firstLine(child)) as { ready: boolean; url: string };
      assert.ok(ready);
      assert.ok(readFileSync(join(home, "config"), "utf8").includes(url));
      assert.equal(processesWith(`${home}/`).length, 5); // main.ts and its four
      const exited = once(child, "exit");
      if (signal === undefined) child.stdin.end();
      else child.kill(signal);
      const [code, by] = (await exited) as [number | null, string | null];
      assert.deepEqual([code, by], signal === "SIGKILL" ? [null, "SIGKILL"] : [0, null]);
      await until("all processes are gone", () => processesWith(`${home}/`).length === 0, 5_000);
      await slot.release();
    });
  }

  test("main.ts says which binary is truncated, and ends with 1", async (t) => {
    const home = await mkdtemp(join(tmpdir(), "clb-direct-real-test-"));
    t.after(() => rm(home, { recursive: true, force: true }));
    await cp(binaries.etcd, join(home, "etcd"));
    await promisify(execFile)("truncate", ["-s", "1000000", join(home, "etcd")]);
    const { status, stderr } = spawnSync(process.execPath, [MAIN, "--slot", "3"], {
      encoding: "utf8",
      env: { ...process.env, KUBEBUILDER_ASSETS: home },
    });
    assert.equal(status, 1);
    assert.match(stderr, /^\S+\/etcd is truncated: 1000000 of \d+ bytes; correct or unset KUBEBUILDER_ASSETS\n$/);
  });
});
