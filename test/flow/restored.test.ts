/** etcd is restored from a backup below a running product, without a bump of its revision: the worst case, and what a plain copy of the data is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { onlyOn } from "./cluster.ts";
import { changedExample, scaleTo } from "./examples.ts";
import { converged, podsOf } from "./look.ts";
import { applyExample, boundTargets, startWorld, until } from "./world.ts";

const REPLICAS = 3;
/** Each changes every Pod: so far ahead of the backup is what was read. */
const CHANGES = 60;
/** From the answer of the API server on. Before, the product was deaf until the server had come as far again, minutes. Milliseconds. */
const HEARD_MS = 100_000;

test("after a restore Pods that end are drained before they are unbound, and new ones are bound", {
  timeout: 400_000,
  skip: onlyOn("real", "it has no database that could be restored"),
}, async (t) => {
  const world = await startWorld(t);
  assert.ok(world.troubles.backup);
  await applyExample(world, changedExample({ replicas: REPLICAS }));
  const before = await converged(world, { count: REPLICAS });
  const [pod] = before;
  const { ip, name } = { ip: pod?.status?.podIP ?? "", name: pod?.metadata.name ?? "" };
  const restore = await world.troubles.backup();
  for (let n = 0; n < CHANGES; n++)
    for (const { metadata } of await podsOf(world, "app=web"))
      await world.client.patch(
        `/api/v1/namespaces/demo/pods/${metadata.name}`,
        { metadata: { annotations: { turn: String(n) } } },
        "merge",
      );
  await scaleTo(world, REPLICAS + 1);
  const pods = await converged(world, { count: REPLICAS + 1 });
  const young = pods.find(({ metadata }) => !before.some((one) => one.metadata.uid === metadata.uid));
  const sinceSeq = world.cloud.cloud.journal.lastSeq;
  await restore();

  await until("the Pod can be deleted", () =>
    world.client.delete(`/api/v1/namespaces/demo/pods/${name}`).then(
      () => true,
      () => false,
    ),
  );
  await until("whoever ends has weight 0", () => boundTargets(world).get(`${ip}:8080`) === 0, HEARD_MS, 20);
  await converged(world, { count: REPLICAS, limitMs: 90_000 });
  const changes = (address: string): unknown[] =>
    world.cloud.cloud.journal
      .since(sinceSeq)
      .flatMap((entry) =>
        entry.kind === "target" && entry.ip === address ? (entry.change === "weight" ? entry.weight : entry.change) : [],
      );
  assert.deepEqual(changes(ip), [0, "unbound"], "it was deleted after the restore");
  assert.deepEqual(changes(young?.status?.podIP ?? "").slice(0, 2), [0, "unbound"], "the backup does not have it");
});
