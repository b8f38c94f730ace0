/** EARLY_BIND: what listens before it is ready is bound at weight 0 and checked meanwhile; it gets traffic when it is ready, by one write. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Manifest } from "../cluster/manifests.ts";
import { UNREADY } from "../cluster/simulated/pod-worker.ts";
import { changedExample } from "./examples.ts";
import { assertAtRest, assertNoFailure, converged, gateOf, podsOf, startClient } from "./look.ts";
import { applyExample, boundTargets, startWorld, until, type World } from "./world.ts";

const REPLICAS = 2;

/** Their readiness probes fail until a test says otherwise; what they run listens half a second after its start. */
function unreadyExample(manifest: Manifest): Manifest {
  const changed = changedExample({ replicas: REPLICAS })(manifest);
  if (changed.kind !== "Deployment") return changed;
  const { template, ...spec } = changed["spec"] as { template: Manifest }; // the example's own
  return {
    ...changed,
    spec: { ...spec, template: { ...template, metadata: { ...template.metadata, annotations: { [UNREADY]: "true" } } } },
  };
}

const setReady = (world: World, pod: string): Promise<unknown> =>
  world.client.patch(`/api/v1/namespaces/demo/pods/${pod}`, { metadata: { annotations: { [UNREADY]: null } } }, "merge");

test("Pods that listen are bound at weight 0 and checked before they are ready; then one write gives them traffic and the gate opens", {
  timeout: 120_000,
}, async (t) => {
  const world = await startWorld(t, { coordinatorEnv: { EARLY_BIND: "true" } });
  await applyExample(world, unreadyExample);
  const targets = () =>
    world.cloud.cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
  const areChecked = (): boolean =>
    targets().length === REPLICAS && targets().every(({ weight, health }) => weight === 0 && health === "Alive");
  await until("all are bound at weight 0, and the load balancer finds them healthy", areChecked, 40_000);
  const pods = await podsOf(world, "app=web");
  for (const pod of pods) {
    const { status, reason } = gateOf(pod) ?? {};
    assert.deepEqual({ status: status ?? "False", reason }, { status: "False", reason: "ContainersNotReady" });
  }
  const sinceSeq = world.cloud.cloud.journal.lastSeq;

  for (const { metadata } of pods) await setReady(world, metadata.name);
  await converged(world, { count: REPLICAS });
  assert.deepEqual(
    [...boundTargets(world).values()],
    pods.map(() => 10),
  );
  const writes = world.cloud.cloud.journal
    .since(sinceSeq)
    .flatMap((entry) => (entry.kind === "call" && entry.action.startsWith("Batch") ? [entry] : []));
  assert.deepEqual(new Set(writes.map(({ action }) => action)), new Set(["BatchModifyTargetWeight"]));
  assert.ok(writes.length <= REPLICAS, `${writes.length} writes`);
  assert.ok(
    targets().every(({ health }) => health === "Alive"),
    "no check began anew",
  );

  const client = startClient(world);
  await until("every Pod answers", () => client.result().byPod.size === REPLICAS);
  await client.stop();
  assertNoFailure(client.result(), REPLICAS);
  await assertAtRest(world);
});
