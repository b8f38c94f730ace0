/** The whole product on real nodes: an agent on a node's own network, with its own token, and traffic through the cloud's data plane. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { makeClock } from "../../../../common/clock.ts";
import { AGENT_SERVICE_ACCOUNT, CA_BUNDLE_CONFIG_MAP, CA_BUNDLE_KEY, DEFAULT_NAMESPACE, TOKEN_AUDIENCE } from "../../../../common/names.ts";
import { TEST_KEY } from "../../../cloud/options.ts";
import { startCloud } from "../../../cloud/start.ts";
import { applyManifests, exampleFile, loadManifests } from "../../manifests.ts";
import { lastLines, type RunningProcess, until } from "../../process.ts";
import { makeProduct, type Product } from "../../product.ts";
import type { Cluster } from "../../simulated/cluster.ts";
import { isReady, type Pod } from "../../simulated/objects.ts";
import { projectConfigMapKey, projectToken } from "../../simulated/projected.ts";
import { run } from "./run.ts";
import { makeNamespace, NODE_NAMES, realNodesSkip, startTestNodes, type TestNodes } from "./testing.ts";

const skip = await realNodesSkip();
const ROOT = new URL("../../../..", import.meta.url).pathname;

type World = { readonly started: TestNodes; readonly cluster: Cluster; readonly product: Product; readonly directory: string };
type Step = () => Promise<unknown>;

/** Ends with the test, in reverse order. */
async function startWorld(t: TestContext, steps: Step[]): Promise<World> {
  t.after(async () => {
    for (const step of steps.toReversed()) await step();
  });
  const started = await startTestNodes();
  steps.push(() => started.stop());
  const { admin, slot, nodes } = started;
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-nodes-test-"));
  steps.push(() => rm(directory, { recursive: true, force: true }));
  const { cloud: host, vipRange: vipCidr } = slot.plan;
  const cloud = await startCloud({ host, vipCidr, keys: [TEST_KEY], backendCidrs: [nodes.range] });
  steps.push(() => cloud.stop());
  const cluster: Cluster = { client: admin, clock: makeClock(), log: pino({ level: "silent" }) };
  const product = makeProduct({
    cluster,
    apiServer: started.cluster,
    install: "everything",
    cloudEndpoint: cloud.endpoint,
    keys: [TEST_KEY],
    plan: nodes.plan,
    nodes: NODE_NAMES,
    directory,
    coordinatorEnv: { DRAIN_MS: "3000" },
  });
  steps.push(() => product.stop());
  await product.startCoordinator();
  return { started, cluster, product, directory };
}

/** What a DaemonSet's Pod on that node has: an object of its own, its tokens and mounted files, and the node's network. */
async function startAgentOn({ started, cluster, directory }: World, node: string, steps: Step[]): Promise<RunningProcess> {
  const { admin, nodes, slot } = started;
  const name = `clb-direct-agent-${node}`;
  const pod = await admin.create<Pod>(`/api/v1/namespaces/${DEFAULT_NAMESPACE}/pods`, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: DEFAULT_NAMESPACE },
    spec: {
      nodeName: node,
      hostNetwork: true,
      serviceAccountName: AGENT_SERVICE_ACCOUNT,
      containers: [{ name: "main", image: "registry.example.com/clb-direct:1", imagePullPolicy: "Never" }],
    },
  });
  const mounted = join(directory, name);
  await mkdir(mounted);
  await writeFile(join(mounted, "ca.crt"), started.cluster.caPem);
  const shared = { namespace: DEFAULT_NAMESPACE, serviceAccount: AGENT_SERVICE_ACCOUNT, expirationSeconds: 600 };
  const bound = { ...shared, pod: { name, uid: pod.metadata.uid } };
  const bundle = { namespace: DEFAULT_NAMESPACE, name: CA_BUNDLE_CONFIG_MAP, key: CA_BUNDLE_KEY, file: join(mounted, "bundle.crt") };
  const files = [
    projectToken(cluster, { ...bound, audience: undefined, file: join(mounted, "token") }),
    projectToken(cluster, { ...bound, audience: TOKEN_AUDIENCE, file: join(mounted, "stream-token") }),
    projectConfigMapKey(cluster, bundle),
  ];
  steps.push(() => Promise.all(files.map((file) => file.stop())));
  await Promise.all(files.map((file) => file.written));
  const { hostname, port } = new URL(started.cluster.url);
  const env = {
    KUBERNETES_SERVICE_HOST: hostname,
    KUBERNETES_SERVICE_PORT: port,
    KUBERNETES_SERVICE_ACCOUNT_DIR: mounted,
    NODE_NAME: node,
    COORDINATOR_ADDRESS: `${slot.plan.coordinator}:9443`,
    CA_BUNDLE_FILE: join(mounted, "bundle.crt"),
    TOKEN_FILE: join(mounted, "stream-token"),
  };
  const command = [process.execPath, join(ROOT, "agent/main.ts")];
  const agent = nodes.exec(node, { name, command, env, logFile: join(directory, `${name}.log`) });
  steps.push(() => agent.stop());
  const url = `http://${nodes.nodes.find((one) => one.name === node)?.address}:9090/readyz`;
  await until(
    () => `agent on ${node} is ready:\n${lastLines(agent.logFile)}`,
    () =>
      fetch(url).then(
        ({ ok }) => ok,
        () => false,
      ),
    30_000,
    200,
  );
  return agent;
}

test("agents on real nodes report the cable that carries a Pod's address, and the load balancer reaches every Pod", { skip }, async (t) => {
  const steps: Step[] = [];
  const world = await startWorld(t, steps);
  const { admin, nodes } = world.started;
  const agents = await Promise.all(NODE_NAMES.map((node) => startAgentOn(world, node, steps)));
  await makeNamespace(admin, "demo");
  await applyManifests(admin, await loadManifests(exampleFile("web.yaml")));
  const pods = await until(
    () => `six Pods are ready:\n${agents.map(({ logFile }) => lastLines(logFile)).join("\n")}`,
    async () => {
      const { items } = await admin.list<Pod>("/api/v1/namespaces/demo/pods");
      return items.length === 6 && items.every(isReady) && items;
    },
    60_000,
    200,
  );

  for (const { metadata, spec, status } of pods) {
    const { hostInterface } = await world.product.explain<{ hostInterface?: string }>(`?pod=demo/${metadata.name}`);
    const route = await run([...nodes.enter(spec.nodeName ?? ""), "ip", "-j", "route", "get", status?.podIP ?? ""]);
    const [{ dev }] = JSON.parse(route) as [{ dev: string }];
    assert.match(dev, /^veth/);
    assert.equal(hostInterface, dev);
  }

  type Service = { status: { loadBalancer: { ingress?: { ip: string }[] } } };
  const { status } = await admin.get<Service>("/api/v1/namespaces/demo/services/web");
  const answering = new Set<string | null>();
  await until("every Pod has answered through the load balancer", async () => {
    const vip = `http://${status.loadBalancer.ingress?.[0]?.ip}/`;
    const response = await fetch(vip, { headers: { connection: "close" }, signal: AbortSignal.timeout(2_000) });
    answering.add(response.headers.get("x-pod"));
    return answering.size === pods.length;
  });
  assert.deepEqual(new Set(pods.map(({ metadata }) => metadata.name)), answering);
  for (const { logFile } of agents) assert.doesNotMatch(await readFile(logFile, "utf8"), /"level":50/);
});
