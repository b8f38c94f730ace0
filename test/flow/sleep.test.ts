/** Pods of a plain manifest where no agent can hold them: they sleep before SIGTERM, and their Service is told why. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodExplanation } from "../../coordinator/explain/explain.ts";
import { changedExample, rollOut } from "./examples.ts";
import { assertDrainedFirst, assertNoFailure, converged, eventsOf, podsOf, startClient } from "./look.ts";
import { applyExample, startWorld, until } from "./world.ts";

const REPLICAS = 2;
const DRAIN = "clb-direct.io/drain";
/** Until 20 drains were seen. Seconds. */
const SLEEP = 15;

type Made = {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: { readonly containers: readonly { readonly lifecycle?: unknown }[] };
};

test("where no agent has proven its rule Pods sleep before SIGTERM, a rollout loses no request, and the reason is told", {
  timeout: 240_000,
}, async (t) => {
  const coordinatorEnv = { DRAIN_MODE: "auto", DRAIN_MS: "4000", RESYNC_MS: "1000" };
  const world = await startWorld(t, { coordinatorEnv });
  await applyExample(world, changedExample({ replicas: REPLICAS, sleepSeconds: "none" }));
  const pods = (await converged(world, { count: REPLICAS })) as unknown as readonly Made[];
  for (const { metadata, spec } of pods) {
    assert.equal(metadata.annotations?.[DRAIN], "sleep");
    assert.match(metadata.annotations[`${DRAIN}-because`] ?? "", /^none of the 2 nodes where it may land counts/);
    assert.deepEqual(spec.containers[0]?.lifecycle, { preStop: { sleep: { seconds: SLEEP } } });
  }
  const [event] = await until("an Event", async () => {
    const found = await eventsOf(world, "NotHeld");
    return found.length > 0 && found;
  });
  assert.match(event?.message ?? "", /^Service demo\/web: Pods of it sleep before SIGTERM .*: none of the 2 nodes/);
  const [pod] = await podsOf(world, "app=web");
  const explained = await world.product.explain<PodExplanation>(`?pod=demo/${pod?.metadata.name}`);
  assert.match(explained.drain ?? "", /^sleep: none of the 2 nodes/);
  const client = startClient(world);
  t.after(() => client.stop());
  const sinceSeq = world.cloud.cloud.journal.lastSeq;
  await rollOut(world, "2");
  await converged(world, { count: REPLICAS, limitMs: 120_000 });
  assertNoFailure(await client.stop());
  assertDrainedFirst(world, sinceSeq, 0);
});
