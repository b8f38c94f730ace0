import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, get as getFrom } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { makeClock } from "../../../common/clock.ts";
import { makeKubeClient } from "../../../common/kubernetes/client.ts";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { type EmbeddedCluster, startApiServer } from "../embedded/server.ts";
import { applyManifests, type Manifest } from "../manifests.ts";
import { claimSlot, type SlotClaim } from "../network.ts";
import { type Deployment, isActive, isReady, isTrue, kubernetesTime, type Pod } from "./objects.ts";
import { EXTERNAL } from "./pod-worker.ts";
import { type SimulatedCluster, startSimulatedCluster } from "./start.ts";

const GATE = "cloud.tencent.com/load-balancer-backendgroup-ready";
const PODS = "/api/v1/namespaces/demo/pods";

type Shape = { name: string; replicas: number; gate?: boolean; preStop?: object; grace?: number; image?: string; env?: object[] };

function aDeployment({ name, replicas, gate = false, preStop, grace = 5, image = "web:1", env = [] }: Shape): Manifest {
  const labels = { app: name };
  const quick = [{ name: "STARTUP_SECONDS", value: "0.1" }, ...env];
  const lifecycle = preStop === undefined ? {} : { lifecycle: { preStop } };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "demo" },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels },
        spec: {
          ...(gate ? { readinessGates: [{ conditionType: GATE }] } : {}),
          terminationGracePeriodSeconds: grace,
          containers: [{ name: "web", image, env: quick, ports: [{ name: "http", containerPort: 8080 }], ...lifecycle }],
        },
      },
    },
  };
}

type Answer = { readonly pod: string | undefined; readonly body: string };

const ask = (host: string, path = "/"): Promise<Answer> =>
  new Promise((resolve, reject) => {
    getFrom({ host, port: 8080, path, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (part: string) => (body += part));
      response.once("error", reject).once("end", () => resolve({ pod: String(response.headers["x-pod"]), body }));
    }).once("error", reject);
  });

async function until<T>(what: string, look: () => Promise<T | undefined | false>, limitMs = 15_000): Promise<T> {
  const endMs = Date.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(20);
  }
}

suite("a simulated cluster over the embedded API server", () => {
  let writes = 0;
  let folder: string;
  let slot: SlotClaim;
  let api: EmbeddedCluster;
  let client: KubeClient;
  let simulated: SimulatedCluster;

  const counted = <T>(path: string, call: Promise<T>): Promise<T> => {
    if (!path.startsWith("/api/v1/nodes/")) writes++; // heartbeats go on for ever
    return call;
  };

  before(async () => {
    slot = await claimSlot();
    api = await startApiServer();
    const clock = makeClock();
    const log = pino({ level: process.env["LOG_LEVEL"] ?? "silent" });
    folder = await mkdtemp(join(tmpdir(), "simulated-"));
    const kubeconfig = join(folder, "kubeconfig");
    await writeFile(kubeconfig, api.kubeconfig());
    client = await makeKubeClient({ clock, env: { KUBECONFIG: kubeconfig } });
    await applyManifests(client, [{ apiVersion: "v1", kind: "Namespace", metadata: { name: "demo" } }]);
    // Fewer than all Pods of this file together: addresses have to be given back.
    const plan = { ...slot.plan, podAddresses: slot.plan.podAddresses.slice(0, 30) };
    const counting: KubeClient = {
      ...client,
      create: (path, ...rest) => counted(path, client.create(path, ...rest)),
      patch: (path, ...rest) => counted(path, client.patch(path, ...rest)),
      delete: (path, ...rest) => counted(path, client.delete(path, ...rest)),
    };
    simulated = await startSimulatedCluster({
      client: counting,
      clock,
      log,
      nodes: ["node-a", "node-b"],
      plan,
      quarantineMs: 300,
    });
  });
  after(async () => {
    await simulated.stop();
    await client.close();
    await api.stop();
    await slot.release();
    await rm(folder, { recursive: true });
  });

  const podsOf = async (app: string): Promise<readonly Pod[]> => (await client.list<Pod>(PODS, { labelSelector: `app=${app}` })).items;
  const allReady = (app: string, count: number, image = "web:1"): Promise<readonly Pod[]> =>
    until(`${count} ready Pods of ${app}`, async () => {
      const pods = await podsOf(app);
      const good = pods.filter((pod) => isReady(pod) && isActive(pod) && pod.spec.containers[0]?.image === image);
      return pods.length === count && good.length === count && good;
    });
  const setImage = (name: string, image: string): Promise<unknown> =>
    client.patch(
      `/apis/apps/v1/namespaces/demo/deployments/${name}`,
      aDeployment({ name, replicas: 3, image, gate: name === "gated" }),
      "merge",
    );

  test("runs each Pod as a server of its own address, on both nodes, and rolls without us", async () => {
    await applyManifests(client, [aDeployment({ name: "plain", replicas: 3 })]);
    const first = await allReady("plain", 3);
    assert.deepEqual(new Set(first.map((pod) => pod.spec.nodeName)), new Set(["node-a", "node-b"]));
    for (const { metadata, status } of first) {
      assert.ok(slot.plan.podAddresses.includes(status?.podIP ?? ""));
      assert.deepEqual(await ask(status?.podIP ?? ""), { pod: metadata.name, body: `${metadata.name}\n` });
    }
    await setImage("plain", "web:2");
    let least = 3;
    await until("the rollout", async () => {
      const pods = await podsOf("plain");
      least = Math.min(least, pods.filter((pod) => isReady(pod) && isActive(pod)).length);
      return pods.length === 3 && pods.every((pod) => pod.spec.containers[0]?.image === "web:2" && isReady(pod));
    });
    assert.equal(least, 3, "never fewer ready than wanted");
    const { status } = await until("its status", async () => {
      const deployment = await client.get<Deployment>("/apis/apps/v1/namespaces/demo/deployments/plain");
      return deployment.status?.availableReplicas === 3 && deployment;
    });
    assert.equal(status?.updatedReplicas, 3);
    assert.ok(isTrue(status?.conditions, "Progressing") && isTrue(status?.conditions, "Available"));
    await assert.rejects(ask(first[0]?.status?.podIP ?? ""), "nothing listens on the address of a Pod that is gone");
  });

  test("waits at each Pod for its gate, and is ready within milliseconds of the patch, foreign conditions kept", async () => {
    const openGate = async ({ metadata }: Pod): Promise<void> => {
      const condition = { type: GATE, status: "True", lastTransitionTime: kubernetesTime(Date.now()) };
      const patch = { metadata: { uid: metadata.uid }, status: { conditions: [condition] } };
      await client.patch(`${PODS}/${metadata.name}/status`, patch, "strategic");
    };
    const gated = (): Promise<Pod> =>
      until("a Pod that lacks only its gate", async () =>
        (await podsOf("gated")).find(
          (pod) => isTrue(pod.status?.conditions, "ContainersReady") && !isTrue(pod.status?.conditions, GATE) && isActive(pod),
        ),
      );
    await applyManifests(client, [aDeployment({ name: "gated", replicas: 3, gate: true })]);
    for (let index = 0; index < 3; index++) {
      const pod = await gated();
      await openGate(pod);
      const openedMs = Date.now();
      const readyPod = await until("Ready", async () =>
        (await podsOf("gated")).find((other) => other.metadata.uid === pod.metadata.uid && isReady(other)),
      );
      assert.ok(Date.now() - openedMs < 500, "Ready follows the gate");
      assert.ok(isTrue(readyPod.status?.conditions, GATE) && isTrue(readyPod.status?.conditions, "ContainersReady"));
    }
    await setImage("gated", "web:2");
    const next = await gated();
    await sleep(500);
    const waiting = await podsOf("gated");
    assert.equal(waiting.filter((pod) => isReady(pod) && isActive(pod)).length, 3, "no old Pod is touched while the gate is missing");
    assert.equal(waiting.length, 4);
    await openGate(next);
    for (let index = 0; index < 2; index++) await openGate(await gated());
    await allReady("gated", 3, "web:2");
  });

  test("serves through its preStop sleep, and refuses connections after SIGTERM", async (t) => {
    await applyManifests(client, [aDeployment({ name: "sleepy", replicas: 2, preStop: { sleep: { seconds: 1 } } })]);
    const pods = await allReady("sleepy", 2);
    const open = await Promise.all(pods.map((pod) => idleConnection(pod.status?.podIP ?? "")));
    t.after(() => open.forEach((socket) => socket.destroy()));
    await client.patch("/apis/apps/v1/namespaces/demo/deployments/sleepy", { spec: { replicas: 1 } }, "merge");
    const leaving = await until("a terminating Pod", async () => (await podsOf("sleepy")).find((pod) => !isActive(pod)));
    const startMs = Date.now();
    const ip = leaving.status?.podIP ?? "";
    await sleep(600);
    assert.equal((await ask(ip)).pod, leaving.metadata.name, "it serves while its hook sleeps");
    await until("refused connections", () =>
      ask(ip).then(
        () => false,
        (error: NodeJS.ErrnoException) => error.code === "ECONNREFUSED",
      ),
    );
    const tookMs = Date.now() - startMs;
    assert.ok(tookMs > 700 && tookMs < 2500, `SIGTERM came ${tookMs} ms after the deletion, 1 s was asked for`);
    const index = pods.findIndex((pod) => pod.metadata.uid === leaving.metadata.uid);
    await until("the end of the open connection", async () => open[index]?.destroyed === true);
    assert.equal(open[1 - index]?.destroyed, false, "the other Pod's connections live on");
    await allReady("sleepy", 1);
  });

  test("calls a preStop httpGet at the Pod's own address, and a hook that hangs ends with the grace period", async (t) => {
    const heard: string[] = [];
    const hook = createServer((request) => heard.push(request.url ?? "")).listen(0, slot.plan.client);
    t.after(() => hook.close().closeAllConnections());
    await until("the listener", async () => hook.listening);
    const address = hook.address();
    const port = typeof address === "object" ? address?.port : 0;
    const httpGet = { host: slot.plan.client, port, path: "/hold/t0ken" };
    await applyManifests(client, [aDeployment({ name: "held", replicas: 1, grace: 1, preStop: { httpGet } })]);
    const [pod] = await allReady("held", 1);
    const startMs = Date.now();
    await client.delete(`${PODS}/${pod?.metadata.name}`);
    await until("its end", async () => (await podsOf("held")).every(({ metadata }) => metadata.uid !== pod?.metadata.uid));
    assert.deepEqual(heard, ["/hold/t0ken"]);
    assert.ok(Date.now() - startMs > 700 && Date.now() - startMs < 3500, `took ${Date.now() - startMs} ms with a grace period of 1 s`);
  });

  test("finishes a rollout that the API server left in the middle, and then writes nothing but heartbeats", async () => {
    await applyManifests(client, [aDeployment({ name: "outage", replicas: 3 })]);
    await allReady("outage", 3);
    await client.patch(
      "/apis/apps/v1/namespaces/demo/deployments/outage",
      aDeployment({ name: "outage", replicas: 3, image: "web:2" }),
      "merge",
    );
    await until("a new Pod", async () => (await podsOf("outage")).some((pod) => pod.spec.containers[0]?.image === "web:2"));
    api.faults.inject({ kind: "gone", ms: 1000 });
    await sleep(1100);
    await allReady("outage", 3, "web:2");
    await until("rest", async () => {
      const soFar = writes;
      await sleep(300);
      return writes === soFar;
    });
  });

  test("a Pod that the harness runs itself gets a status and an end, but no server", async () => {
    const pod = {
      metadata: { name: "agent", namespace: "demo", annotations: { [EXTERNAL]: "true" } },
      spec: { nodeName: "node-a", containers: [{ name: "agent", image: "agent:1", ports: [{ containerPort: 8080 }] }] },
    };
    await client.create(PODS, { apiVersion: "v1", kind: "Pod", ...pod });
    const running = await until("its status", async () => {
      const found = await client.get<Pod>(`${PODS}/agent`);
      return isReady(found) && found;
    });
    await assert.rejects(ask(running.status?.podIP ?? ""), { code: "ECONNREFUSED" });
    await client.delete(`${PODS}/agent`);
    await until("its end", () =>
      client.get(`${PODS}/agent`).then(
        () => false,
        () => true,
      ),
    );
  });

  test("a Pod that is deleted by force stops within a second or so, whatever its hook does, and another takes its place", async () => {
    await applyManifests(client, [aDeployment({ name: "forced", replicas: 1, preStop: { sleep: { seconds: 4 } } })]);
    const [pod] = await allReady("forced", 1);
    await client.delete(`${PODS}/${pod?.metadata.name}`, { gracePeriodSeconds: 0 });
    await until(
      "refused connections",
      () =>
        ask(pod?.status?.podIP ?? "").then(
          () => false,
          () => true,
        ),
      3000,
    );
    const [next] = await allReady("forced", 1);
    assert.notEqual(next?.metadata.uid, pod?.metadata.uid);
  });

  test("when a Node object is deleted its Pods end and come back on the other node", async () => {
    await applyManifests(client, [aDeployment({ name: "moved", replicas: 2 })]);
    await allReady("moved", 2);
    await simulated.stopNode("node-b");
    await client.delete("/api/v1/nodes/node-b");
    const pods = await until("both on node-a", async () => {
      const found = await podsOf("moved");
      return found.length === 2 && found.every((pod) => isReady(pod) && pod.spec.nodeName === "node-a") && found;
    });
    for (const pod of pods) assert.equal((await ask(pod.status?.podIP ?? "")).pod, pod.metadata.name);
  });
});

function idleConnection(host: string): Promise<ReturnType<typeof connect>> {
  return new Promise((resolve, reject) => {
    const socket = connect(8080, host, () => resolve(socket));
    socket.on("error", reject);
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    socket.resume();
  });
}
