/** The preStop hold under stock kubelets: real Pods, the product's agents and hold servers on the nodes' own networks, an emulated cloud. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { until } from "../../process.ts";
import type { Product } from "../../product.ts";
import { heldPods, PODS, startAgents } from "./held-pods.ts";
import { endAll, startTestProduct, type TestProduct } from "./test-product.ts";
import { realNodesSkip, type TestNodes } from "./testing.ts";

const skip = await realNodesSkip();
type Held = ReturnType<typeof heldPods>;

/** A skipped suite would not be counted; a skipped test is. */
const realSuite = (name: string, tests: () => void): void => {
  if (skip === false) suite(name, tests);
  else test(name, { skip });
};

realSuite("the preStop hold on two real nodes", () => {
  let started: TestNodes;
  let product: Product;
  let cloud: TestProduct["cloud"];
  let deploy: Held["deploy"];
  let ends: Held["ends"];
  let untilGone: Held["untilGone"];
  let remove: Held["remove"];
  const steps: (() => Promise<unknown>)[] = [];

  before(async () => {
    ({ started, product, cloud } = await startTestProduct((step) => steps.push(step), { holds: true }));
    await startAgents({ started, product });
    ({ deploy, ends, untilGone, remove } = heldPods({ started, product }));
  });
  after(() => endAll(steps));

  // First: where many Pods served within ten minutes, the floor refuses to lower one of three.
  test("a container that its liveness probe kills is held until weight 0 is effective, 5 s at most; the Pod gets its weight back", async () => {
    const livenessProbe = { httpGet: { path: "/", port: 9 }, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 8 };
    const neighbours = await deploy("neighbours", 2, { node: "node-b" }); // else the floor refuses it
    const pods = await deploy("killed", 1, { livenessProbe });
    const [held] = await until("its hold", async () => {
      const found = await ends("node-a", pods);
      return found.length > 0 && found;
    });
    assert.ok((held?.heldMs ?? 0) < 5_500, `${held?.heldMs} ms`);
    assert.deepEqual([held?.end, held?.lowered], ["drained", true]);
    const { podIP } = pods[0]?.status ?? {};
    const targets = () => cloud.cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
    // Before its probe kills it again: by restartCount, since time alone gives it back after 35 s.
    await until("its weight back", () => targets().some(({ ip, weight }) => ip === podIP && weight > 0), 8_000, 50);
    await remove([...pods, ...neighbours], { gracePeriodSeconds: 1 });
    await untilGone("killed");
  });

  test("a kubelet that is restarted in the middle calls again, and the budget counts from the first call", async () => {
    const pods = await deploy("restarted", 1, { node: "node-b", grace: 12 });
    product.coordinator()?.signal("SIGSTOP"); // nobody tells that weight 0 is effective: the budget alone decides
    try {
      await remove(pods);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      await started.nodes.restartKubelet("node-b", 500);
      await untilGone("restarted");
    } finally {
      product.coordinator()?.signal("SIGCONT");
    }
    const [held, ...others] = await ends("node-b", pods);
    assert.equal(others.length, 0);
    assert.equal(held?.end, "budget");
    const heldMs = held?.heldMs ?? 0;
    assert.ok(heldMs >= 5_000 && heldMs < 6_000, `${heldMs} ms: 12 s without 5 s and 2 s`);
  });

  test("a second deletion with a shorter grace shortens the hold, which the kubelet alone would not", async () => {
    const pods = await deploy("shortened", 1, { grace: 60 });
    product.coordinator()?.signal("SIGSTOP");
    try {
      await remove(pods);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      await remove(pods, { gracePeriodSeconds: 10 });
      await untilGone("shortened");
    } finally {
      product.coordinator()?.signal("SIGCONT");
    }
    const [held] = await ends("node-a", pods);
    const heldMs = held?.heldMs ?? 0;
    assert.ok(heldMs < 6_000, `${heldMs} ms`);
  });

  test("an agent that stands still costs an application no grace: the hold server has timers of its own", async () => {
    const pods = await deploy("frozen", 1, { node: "node-b", grace: 10 });
    product.agent("node-b")?.signal("SIGSTOP");
    try {
      await remove(pods);
      await untilGone("frozen");
    } finally {
      product.agent("node-b")?.signal("SIGCONT");
    }
    const [held] = await ends("node-b", pods);
    const heldMs = held?.heldMs ?? 0;
    assert.ok(held?.end === "budget" || held?.end === "no-word", held?.end);
    assert.ok(heldMs < 6_000, `${heldMs} ms`);
  });

  test("an eviction is held as a deletion is", async () => {
    const pods = await deploy("evicted", 1);
    const [pod] = pods;
    const metadata = { name: pod?.metadata.name, namespace: "demo" };
    await started.admin.create(`${PODS}/${metadata.name}/eviction`, { apiVersion: "policy/v1", kind: "Eviction", metadata });
    await untilGone("evicted");
    const [held] = await ends("node-a", pods);
    assert.equal(held?.lowered, true);
  });

  test("a Pod that is deleted by force is dialled for, and answered at once", async () => {
    const pods = await deploy("forced", 1);
    await remove(pods, { gracePeriodSeconds: 0 });
    const [held] = await until("its hold", async () => {
      const found = await ends("node-a", pods);
      return found.length > 0 && found;
    });
    assert.ok((held?.heldMs ?? 0) < 1_000, `${held?.heldMs} ms`);
  });
});
