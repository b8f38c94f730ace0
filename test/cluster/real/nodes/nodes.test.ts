import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, suite, test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../../../common/names.ts";
import { claimSlot } from "../../network.ts";
import { until } from "../../process.ts";
import { conditionOf, type Deployment, isReady, isTrue, type Node, type Pod } from "../../simulated/objects.ts";
import { ADMIN } from "../certificates.ts";
import { nodeNetwork } from "./addresses.ts";
import { nodeCgroups, sweepCgroups } from "./cgroups.ts";
import type { ReadyLine } from "./main.ts";
import { removeBridge, setUpBridge } from "./outer-network.ts";
import { findNodes } from "./requirements.ts";
import { run } from "./run.ts";
import { startRealNodes } from "./start.ts";
import {
  makeNamespace,
  mountsOf,
  NODE_NAMES,
  namespacesOf,
  networkOf,
  processesIn,
  realNodesSkip,
  startTestNodes,
  type TestNodes,
} from "./testing.ts";

const skip = await realNodesSkip();
const noKubectl = spawnSync("kubectl", ["version", "--client"]).status === 0 ? false : "kubectl is not installed";
const PODS = "/api/v1/namespaces/demo/pods";
const probe = { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 };
const web = {
  name: "web",
  image: "registry.example.com/web:1",
  imagePullPolicy: "Never",
  ports: [{ containerPort: 8080 }],
  env: [{ name: "STARTUP_SECONDS", value: "0.5" }],
  readinessProbe: probe,
};
const aPod = (name: string, container: object = {}, spec: object = {}): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: { containers: [{ ...web, ...container }], ...spec },
});

/** Asked from the outer namespace, where the emulated cloud's data plane is. */
const answerOf = (ip: string): Promise<Response> => fetch(`http://${ip}:8080/`, { signal: AbortSignal.timeout(2_000) });
/** On a connection of its own. */
const isServing = (ip: string): Promise<boolean> =>
  fetch(`http://${ip}:8080/`, { headers: { connection: "close" }, signal: AbortSignal.timeout(1_000) }).then(
    ({ ok }) => ok,
    () => false,
  );

/** A skipped suite would not be counted; a skipped test is. */
const realSuite = (name: string, tests: () => void): void => {
  if (skip === false) suite(name, tests);
  else test(name, { skip });
};

/** Both suites have the same nodes; the last one ends them. */
let started: TestNodes;

realSuite("two real nodes", () => {
  before(async () => {
    started = await startTestNodes();
    await makeNamespace(started.admin, "demo");
  });

  const podsOf = async (labelSelector: string): Promise<readonly Pod[]> =>
    (await started.admin.list<Pod>(PODS, { labelSelector })).items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const readyPod = (name: string): Promise<Pod> =>
    until(`Pod ${name} is ready`, async () => {
      const pod = await started.admin.get<Pod>(`${PODS}/${name}`);
      return isReady(pod) && pod;
    });

  test("are Ready, with a real kubelet and containerd", async () => {
    type Informed = Node & { status: { nodeInfo: { containerRuntimeVersion: string; kubeletVersion: string } } };
    for (const { name, address } of started.nodes.nodes) {
      const { status } = await started.admin.get<Informed & { status: { addresses: { address: string }[] } }>(`/api/v1/nodes/${name}`);
      assert.ok(isTrue(status?.conditions, "Ready"));
      assert.match(status.nodeInfo.containerRuntimeVersion, /^containerd:\/\/2\./);
      assert.equal(status.nodeInfo.kubeletVersion, started.cluster.version);
      assert.ok(status.addresses.some((one) => one.address === address));
    }
  });

  test("a Deployment of four becomes ready, on both nodes, and each Pod answers from outside with its name", async () => {
    const { admin } = started;
    const labels = { app: "four" };
    await admin.create("/apis/apps/v1/namespaces/demo/deployments", {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "four" },
      spec: { replicas: 4, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [web] } } },
    });
    await until("four replicas are ready", async () => {
      const { status } = await admin.get<Deployment>("/apis/apps/v1/namespaces/demo/deployments/four");
      return status?.readyReplicas === 4;
    });
    const pods = await podsOf("app=four");
    assert.deepEqual(
      NODE_NAMES.filter((name) => pods.some(({ spec }) => spec.nodeName === name)),
      NODE_NAMES,
    );
    for (const { metadata, status } of pods) {
      const response = await answerOf(status?.podIP ?? "");
      assert.deepEqual([response.status, response.headers.get("x-pod")], [200, metadata.name]);
    }
    await admin.delete("/apis/apps/v1/namespaces/demo/deployments/four");
  });

  test("a node reaches the Pods of the other one", async () => {
    await started.admin.create(PODS, aPod("here", {}, { nodeName: "node-a" }));
    const ip = (await readyPod("here")).status?.podIP ?? "";
    const script = `fetch("http://${ip}:8080/").then((r) => r.text()).then((text) => process.stdout.write(text))`;
    assert.equal(await run([...started.nodes.enter("node-b"), process.execPath, "-e", script]), "here\n");
  });

  test("the log of a container can be read", { skip: noKubectl }, async () => {
    await started.admin.create(PODS, aPod("wrong", { env: [{ name: "STARTUP_SECONDS", value: "soon" }] }, { restartPolicy: "Never" }));
    const kubectl = ["kubectl", "--kubeconfig", await started.cluster.kubeconfigFile(ADMIN)];
    const log = await until("the log of Pod wrong", () => run([...kubectl, "--namespace", "demo", "logs", "wrong"]).catch(() => ""));
    assert.equal(log, "STARTUP_SECONDS=soon: use a number of seconds, e.g. 2\n");
  });

  test("the kubelet waits for a preStop sleep: the Pod serves meanwhile, and ends after it", async () => {
    const lifecycle = { preStop: { sleep: { seconds: 4 } } };
    await started.admin.create(PODS, aPod("sleeper", { lifecycle }));
    const ip = (await readyPod("sleeper")).status?.podIP ?? "";
    const deletedAtMs = Date.now();
    let servedMs = 0;
    await started.admin.delete(`${PODS}/sleeper`);
    const isOver = async (): Promise<boolean> => {
      if (!(await isServing(ip))) return true; // at once while the Pod's network is there, else after the limit of a request
      servedMs = Date.now() - deletedAtMs;
      return false;
    };
    await until("the Pod stops serving", isOver, 15_000, 50);
    assert.ok(servedMs > 3_500, `it served for ${servedMs} ms after its deletion`);
  });

  test("a Pod with our gate becomes Ready only when its condition is True", async () => {
    const { admin } = started;
    await admin.create(PODS, aPod("gated", {}, { readinessGates: [{ conditionType: DEFAULT_GATE_TYPE }] }));
    const pod = await until("its containers are ready", async () => {
      const found = await admin.get<Pod>(`${PODS}/gated`);
      return isTrue(found.status?.conditions, "ContainersReady") && found;
    });
    assert.equal(conditionOf(pod.status?.conditions, "Ready")?.status, "False");
    const conditions = [{ type: DEFAULT_GATE_TYPE, status: "True" }];
    await admin.patch(`${PODS}/gated/status`, { metadata: { uid: pod.metadata.uid }, status: { conditions } }, "strategic");
    await readyPod("gated");
  });

  test("a process on a node's network sees that node's devices, and rules that it makes are the node's own", async () => {
    const devices = await run([...started.nodes.enter("node-a"), "ls", "/sys/class/net"]);
    assert.ok(devices.split("\n").includes("eth0"), devices);
    await run([...started.nodes.enter("node-a"), "nft", "add", "table", "ip", "own"]);
    assert.match(await run([...started.nodes.enter("node-a"), "nft", "list", "tables"]), /table ip own/);
    assert.doesNotMatch(await run([...started.nodes.enter("node-b"), "nft", "list", "tables"]), /own/);
    assert.doesNotMatch(await run(["nft", "list", "tables"]), /table ip own/);
  });
});

realSuite("the end of real nodes", () => {
  after(() => started?.stop());

  const leftovers = async (): Promise<object> => {
    return {
      network: await networkOf(started.slot.plan),
      cgroups: nodeCgroups().filter((name) => name.includes(`-${process.pid}-`)).length,
      mounts: mountsOf(started.cluster.directory),
    };
  };
  const nothing = { network: [], cgroups: 0, mounts: [] };

  test("stop leaves no process, mount, namespace, link, route or control group", async () => {
    await started.admin.create(PODS, aPod("left"));
    await until("a Pod runs", async () => (await started.admin.get<Pod>(`${PODS}/left`)).status?.phase === "Running");
    const own = namespacesOf(process.pid);
    const theirs = started.nodes.nodes.flatMap(({ netns }) => namespacesOf(netns.split("/")[2] ?? "")).filter((one) => !own.includes(one));
    assert.equal(theirs.length, 2 * 4);
    assert.ok(processesIn(theirs).some((line) => line.includes("containerd-shim")));
    assert.notDeepEqual(await leftovers(), nothing);
    await started.nodes.stop();
    assert.deepEqual(processesIn(theirs), []);
    assert.deepEqual(await leftovers(), nothing);
  });

  test("a kubelet that ends is named with its last words, and nothing is left", async () => {
    const found = await findNodes();
    assert.ok(found.kind === "found");
    const directory = join(started.cluster.directory, "broken");
    await mkdir(directory);
    const kubelet = join(directory, "kubelet");
    await writeFile(kubelet, "#!/bin/sh\necho no such flag\nexit 3\n", { mode: 0o755 });
    await started.nodes.stop();
    for (const name of NODE_NAMES) await started.admin.delete(`/api/v1/nodes/${name}`);
    const { cluster, slot } = started;
    await assert.rejects(
      startRealNodes({ cluster, plan: slot.plan, nodes: NODE_NAMES, binaries: { ...found.binaries, kubelet }, directory }),
      {
        message: "the kubelet of node-a ended while starting:\nno such flag",
      },
    );
    assert.deepEqual(await leftovers(), nothing);
  });

  test("after a kill the kernel ends everything; link and control groups are removed by the next start", async (t) => {
    const slot = await claimSlot();
    const home = await mkdtemp(join(tmpdir(), "clb-direct-nodes-test-"));
    t.after(() => rm(home, { recursive: true, force: true }).then(slot.release));
    const args = ["--slot", String(slot.plan.slot), "--directory", home, "--nodes", "node-a", "--json"];
    const main = new URL("main.ts", import.meta.url).pathname;
    const child = spawn(process.execPath, [main, ...args], { stdio: ["pipe", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    let line: ReadyLine | undefined;
    for await (const text of createInterface(child.stdout)) {
      line = JSON.parse(text) as ReadyLine;
      break;
    }
    const pid = await readFile(join(home, "nodes", "node-a", "pid"), "utf8");
    assert.equal(line?.nodes[0]?.netns, `/proc/${pid.trim()}/ns/net`);
    const own = namespacesOf(process.pid);
    const theirs = namespacesOf(pid.trim()).filter((one) => !own.includes(one));
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    await until("all processes of the node are gone", () => processesIn(theirs).length === 0, 5_000);
    assert.deepEqual(mountsOf(home), []);
    sweepCgroups();
    assert.ok(!nodeCgroups().some((name) => name.includes(`-${child.pid}-`)));
    const network = nodeNetwork(slot.plan, ["node-a"]);
    await setUpBridge(network);
    await removeBridge(network);
  });
});
