/** The whole product on real nodes: an agent on a node's own network, with its own token, and traffic through the cloud's data plane. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { applyInjected } from "../../injected.ts";
import { exampleFile, loadManifests } from "../../manifests.ts";
import { lastLines, until } from "../../process.ts";
import { isReady, type Pod } from "../../simulated/objects.ts";
import { run } from "./run.ts";
import { endAll, startTestProduct, type TestProduct } from "./test-product.ts";
import { makeNamespace, NODE_NAMES, realNodesSkip } from "./testing.ts";

const skip = await realNodesSkip();

/** Ends with the test, in reverse order. */
async function startWorld(t: TestContext): Promise<TestProduct> {
  const steps: (() => Promise<unknown>)[] = [];
  t.after(() => endAll(steps));
  return await startTestProduct((step) => steps.push(step));
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
