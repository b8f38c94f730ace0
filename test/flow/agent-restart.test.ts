import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeState } from "../../coordinator/state/pod-facts.ts";
import { becomesIdle, checkSafety, converged, disturbedRollouts, isTrue, metric, podsOf, trackPods } from "./disturbed-rollout.ts";
import { changedExample, scaleTo } from "./examples.ts";
import { applyExample, boundTargets, startWorld, until } from "./world.ts";

test("agents restarted in the middle of a rollout: no request fails, nothing that lives is unbound", { timeout: 240_000 }, async (t) => {
  const world = await startWorld(t);
  const roll = await disturbedRollouts(t, world);
  const standIns = (): Promise<number> => metric(world.product.opsUrl, "clb_direct_fallbacks_total");
  for (const [signal, code] of [
    ["SIGTERM", 0],
    ["SIGKILL", 128],
  ] as const)
    await t.test(`by ${signal}`, { timeout: 120_000 }, async () => {
      const before = await standIns();
      await roll(async () => {
        for (const node of ["node-a", "node-b"]) {
          const old = world.product.agent(node);
          old?.signal(signal);
          assert.equal(await old?.exited, code);
          await world.product.startAgent(node);
        }
      });
      assert.equal(await standIns(), before, "an agent that is back at once needs no stand-in");
    });
});

/** AGENT_GRACE_MS gives an agent 10 s; a new Pod of its node has to be bound at most 5 s later. */
const BOUND_BY_FALLBACK_MS = 15_000;

test("an agent that is gone for good: the coordinator watches its node in its stead, until it is back", { timeout: 120_000 }, async (t) => {
  const world = await startWorld(t);
  const { product } = world;
  const lives = trackPods(t, world);
  const sourcesOf = async (): Promise<Record<string, string>> => {
    const { nodes } = await product.explain<{ nodes: readonly NodeState[] }>(""); // not by Pods: both may run on one node
    return Object.fromEntries(nodes.map(({ node, source }) => [node, source]));
  };
  await applyExample(world, changedExample({ replicas: 2 }));
  await converged(world, 2);
  assert.deepEqual(await sourcesOf(), { "node-a": "agent", "node-b": "agent" });

  const before = new Set(podsOf(world).map(({ metadata }) => metadata.uid));
  const goneMs = Date.now();
  await product.agent("node-b")?.stop();
  await scaleTo(world, 6);
  const fresh = await until("a new Pod on node-b", () =>
    podsOf(world).find((pod) => pod.spec.nodeName === "node-b" && !before.has(pod.metadata.uid) && isTrue(pod, "ContainersReady")),
  );
  const isBound = (): boolean => boundTargets(world).has(`${fresh.status?.podIP}:8080`);
  assert.ok(!isBound(), "nobody has told of it yet");
  await until(`${fresh.metadata.name} bound`, isBound, BOUND_BY_FALLBACK_MS - (Date.now() - goneMs));
  assert.equal((await sourcesOf())["node-b"], "watch");
  await converged(world, 6);

  await product.startAgent("node-b");
  await until("the agent speaks for its node again", async () => (await sourcesOf())["node-b"] === "agent", 5_000);
  const changes = (change: string): Promise<number> => metric(product.opsUrl, "clb_direct_fallbacks_total", `change="${change}"`);
  await until("the coordinator's watch of the node has ended", async () => (await changes("off")) === 1);
  assert.equal(await changes("on"), 1);
  await scaleTo(world, 2);
  await converged(world, 2);
  checkSafety(world, lives);
  await becomesIdle(world);
});
