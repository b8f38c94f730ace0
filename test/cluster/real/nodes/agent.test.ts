/** The whole product on real nodes: an agent on a node's own network, with its own token, and traffic through the cloud's data plane. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { makeClock } from "../../../../common/clock.ts";
import { startCloud } from "../../../cloud/cli/start.ts";
import { TEST_KEY } from "../../../cloud/runtime/options.ts";
import { applyInjected } from "../../injected.ts";
import { exampleFile, loadManifests } from "../../manifests.ts";
import { lastLines, until } from "../../process.ts";
import { makeProduct, type Product } from "../../product.ts";
import type { Cluster } from "../../simulated/cluster.ts";
import { isReady, type Pod } from "../../simulated/objects.ts";
import { run } from "./run.ts";
import { makeNamespace, NODE_NAMES, realNodesSkip, startTestNodes, type TestNodes } from "./testing.ts";

const skip = await realNodesSkip();

type World = { readonly started: TestNodes; readonly product: Product };
type Step = () => Promise<unknown>;

/** Ends with the test, in reverse order. */
async function startWorld(t: TestContext): Promise<World> {
  const steps: Step[] = [];
  t.after(async () => {
    const ends: PromiseSettledResult<unknown>[] = [];
    for (const step of steps.toReversed()) ends.push(...(await Promise.allSettled([step()]))); // what ran on would keep this file from ending
    for (const end of ends) if (end.status === "rejected") throw end.reason;
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
    enter: nodes.enter,
    directory,
    coordinatorEnv: { DRAIN_MS: "3000" },
  });
  steps.push(() => product.stop());
  await product.startCoordinator();
  return { started, product };
}

test("agents on real nodes report the cable that carries a Pod's address, and the load balancer reaches every Pod", { skip }, async (t) => {
  const world = await startWorld(t);
  const { admin, nodes } = world.started;
  const agents = await Promise.all(NODE_NAMES.map((node) => world.product.startAgent(node)));
  await makeNamespace(admin, "demo");
  await applyInjected(admin, await loadManifests(exampleFile("web.yaml")));
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
