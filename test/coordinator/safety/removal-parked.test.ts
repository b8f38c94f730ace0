import assert from "node:assert/strict";
import { test } from "node:test";
import { RELEASE } from "../../../common/names.ts";
import type { Manifest } from "../../cluster/manifests.ts";
import { becomesIdle, converged } from "../../flow/disturbed-rollout.ts";
import { changedExample, SERVICE } from "../../flow/examples.ts";
import { applyExample, boundTargets, startWorld, until, type World } from "../../flow/world.ts";

const PODS = "/api/v1/namespaces/demo/pods";
const REPLICAS = 4;

/** The example, whose Service selects a label more than the Deployment does: a Pod that loses it lives on and is not replaced. */
function withTier(manifest: Manifest): Manifest {
  const changed = changedExample({ replicas: REPLICAS })(manifest);
  const text = JSON.stringify(changed);
  if (changed.kind === "Deployment")
    return JSON.parse(
      text.replace('"metadata":{"labels":{"app":"web"}}', '"metadata":{"labels":{"app":"web","tier":"front"}}'),
    ) as Manifest;
  if (changed.kind === "Service")
    return JSON.parse(text.replace('"selector":{"app":"web"}', '"selector":{"app":"web","tier":"front"}')) as Manifest;
  return changed;
}

const podNames = async (world: World): Promise<string[]> =>
  (await world.client.list<{ metadata: { name: string } }>(PODS)).items.map(({ metadata }) => metadata.name);
const serving = (world: World): number => [...boundTargets(world).values()].filter((weight) => weight > 0).length;

/** Ids in the Events that tell of removals; there is one for each state in which they were held. */
async function parkedIds(world: World): Promise<string[]> {
  const { items } = await world.client.list<{ reason: string; message: string }>("/api/v1/namespaces/demo/events");
  const told = items.filter(({ reason }) => reason === "RemovalParked").map(({ message }) => /removal (r-[0-9a-f]{8})/.exec(message)?.[1]);
  return told.filter((id) => id !== undefined);
}

test("Pods lose the label that the Service selects: half of them stay until a person releases the removal", {
  timeout: 180_000,
}, async (t) => {
  const world = await startWorld(t);
  await applyExample(world, withTier);
  await converged(world, REPLICAS);
  await becomesIdle(world);
  const [, ...most] = await podNames(world);
  for (const name of most) await world.client.patch(`${PODS}/${name}`, { metadata: { labels: { tier: null } } }, "merge");
  await until("an Event RemovalParked", async () => (await parkedIds(world)).length > 0);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  assert.ok(serving(world) >= REPLICAS / 2, `${serving(world)} of ${REPLICAS} are left`);
  await until("one backend left", async () => {
    await world.client.patch(SERVICE, { metadata: { annotations: { [RELEASE]: (await parkedIds(world)).join(",") } } }, "merge");
    return serving(world) === 1;
  });
});
