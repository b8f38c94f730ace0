import assert from "node:assert/strict";
import { test } from "node:test";
import { becomesIdle, checkSafety, converged, isTrue, metric, podsOf, trackPods } from "./disturbed-rollout.ts";
import { startDroppingProxy } from "./dropping-proxy.ts";
import { changedExample, scaleTo } from "./examples.ts";
import { applyExample, boundTargets, startWorld, until } from "./world.ts";

/** The agent's default. */
const ACK_TIMEOUT_MS = 5_000;

test("a difference that is lost on its way is told again after the acknowledgement timeout", { timeout: 120_000 }, async (t) => {
  const world = await startWorld(t, { agents: ["node-a"] });
  const lives = trackPods(t, world);
  const proxy = await startDroppingProxy(world);
  t.after(() => proxy.stop());
  await world.product.startAgent("node-b", { address: proxy.address });
  await applyExample(world, changedExample({ replicas: 2 }));
  await converged(world, 2);
  const opsUrl = `http://${world.plan.nodeAddress(1)}:9090`;
  const snapshots = (): Promise<number> => metric(opsUrl, "clb_direct_agent_messages_sent_total", 'kind="snapshot"');
  assert.equal(await snapshots(), 1);

  proxy.dropNext((body) => body.$case === "difference" && body.value.changed.some((pod) => pod.containersReady && pod.gate === 0));
  await scaleTo(world, 4);
  await until("a difference swallowed", () => proxy.dropped.length === 1, 10_000);
  const swallowedMs = Date.now();
  const [fresh] = podsOf(world).filter((pod) => pod.spec.nodeName === "node-b" && isTrue(pod, "ContainersReady") && !isTrue(pod, "Ready"));
  const target = `${fresh?.status?.podIP}:8080`;
  await until("the Pod of the swallowed difference bound", () => boundTargets(world).has(target), ACK_TIMEOUT_MS + 3_000);
  assert.ok(Date.now() - swallowedMs > ACK_TIMEOUT_MS / 2, "until then the coordinator knew nothing of it");
  await converged(world, 4);
  assert.equal(await metric(opsUrl, "clb_direct_agent_ack_timeouts_total"), 1);
  assert.equal(await snapshots(), 2, "the second snapshot made up for the loss");
  assert.equal(await metric(opsUrl, "clb_direct_agent_streams_ended_total"), 0, "on the same stream");
  checkSafety(world, lives);
  await becomesIdle(world);
});
