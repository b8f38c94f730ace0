import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { UNREADY } from "../cluster/simulated/pod-worker.ts";
import { changedExample } from "./examples.ts";
import { assertAtRest, assertNoFailure, converged, gateOf, isReady, podsOf, startClient } from "./look.ts";
import { applyExample, boundTargets, startWorld, until, type World } from "./world.ts";

const REPLICAS = 3;
/** A client keeps a connection for 3 s; what it sends on one goes to the same Pod whatever its weight. */
const KEPT_MS = 4_000;

const setUnready = (world: World, pod: string, value: "true" | null): Promise<unknown> =>
  world.client.patch(`/api/v1/namespaces/demo/pods/${pod}`, { metadata: { annotations: { [UNREADY]: value } } }, "merge");

test("a Pod that is not ready gets no new requests, and none is lost; when it is ready again it gets its share", {
  timeout: 120_000,
}, async (t) => {
  const world = await startWorld(t);
  await applyExample(world, changedExample({ replicas: REPLICAS }));
  const [pod] = await converged(world, { count: REPLICAS });
  assert.ok(pod?.status?.podIP !== undefined);
  const { name } = pod.metadata;
  const weight = (): number | undefined => boundTargets(world).get(`${pod.status?.podIP}:8080`);
  await sleep(2_000); // its health is read
  const client = startClient(world);
  const answers = (): number => client.result().byPod.get(name) ?? 0;
  try {
    for (let round = 0; round < 2; round++) {
      await until("the Pod answers", () => answers() > 0);
      await setUnready(world, name, "true");
      await until("its weight is 0", () => weight() === 0, 20_000);
      const now = (await podsOf(world, "app=web")).find(({ metadata }) => metadata.name === name);
      assert.deepEqual([now && isReady(now), now && gateOf(now)?.status], [false, "True"], "the gate was touched");
      await sleep(KEPT_MS);
      const before = answers();
      await sleep(3_000);
      assert.equal(answers(), before, "it got requests although its weight is 0");
      await setUnready(world, name, null);
      await until("it has its weight again", () => weight() === 10, 10_000);
      await until("it answers again", () => answers() > before);
    }
  } finally {
    await client.stop();
  }
  assertNoFailure(client.result(), 1_000);
  await converged(world, { count: REPLICAS });
  await assertAtRest(world);
});
