import assert from "node:assert/strict";
import { test } from "node:test";
import { becomesIdle, checkSafety, converged, disturbedRollouts, podsOf, trackPods } from "./disturbed-rollout.ts";
import { changedExample } from "./examples.ts";
import { applyExample, boundTargets, startWorld, until } from "./world.ts";

test("coordinator restarted in the middle of a rollout: no request fails, nothing that lives is unbound, nothing bound twice", {
  timeout: 240_000,
}, async (t) => {
  const world = await startWorld(t);
  const roll = await disturbedRollouts(t, world);
  for (const [signal, code] of [
    ["SIGTERM", 0],
    ["SIGKILL", 128],
  ] as const)
    await t.test(`by ${signal}`, { timeout: 120_000 }, () =>
      roll(async () => {
        const old = world.product.coordinator();
        old?.signal(signal);
        assert.equal(await old?.exited, code);
        await world.product.startCoordinator();
      }),
    );
});

test("a Pod that ended while the coordinator was away is unbound when it is back, although nobody saw its end", {
  timeout: 120_000,
}, async (t) => {
  const world = await startWorld(t);
  const lives = trackPods(t, world);
  await applyExample(world, changedExample({ replicas: 3 }));
  await converged(world, 3);
  await world.product.coordinator()?.stop();
  const [victim] = podsOf(world);
  const path = `/api/v1/namespaces/demo/pods/${victim?.metadata.name}`;
  await world.client.delete(path, { gracePeriodSeconds: 0 });
  await until("the Pod's object gone", () => !podsOf(world).some(({ metadata }) => metadata.uid === victim?.metadata.uid));
  assert.equal(boundTargets(world).size, 3, "nobody was there to unbind it");
  await world.product.startCoordinator();
  await converged(world, 3, 40_000, "of those that have one");
  checkSafety(world, lives);
  await becomesIdle(world);
});

test("Pods that were bound before a restart get their gates soon after their agents speak, not at the next idle question", {
  timeout: 120_000,
}, async (t) => {
  const world = await startWorld(t);
  await applyExample(world, changedExample({ replicas: 4 }));
  await until("all bound, none healthy yet", () => boundTargets(world).size === 4);
  await Promise.all([world.product.coordinator()?.stop(), ...["node-a", "node-b"].map((node) => world.product.agent(node)?.stop())]);
  await world.product.startCoordinator();
  await until("the load balancer read", async () => {
    const [id] = (await world.product.explain<{ loadBalancers: readonly string[] }>("")).loadBalancers;
    return id !== undefined && (await world.product.explain<{ listeners: unknown[] }>(`?loadBalancer=${id}`)).listeners.length > 0;
  });
  await Promise.all(["node-a", "node-b"].map((node) => world.product.startAgent(node)));
  await converged(world, 4, 12_000); // far below the 30 s between idle looks
});
