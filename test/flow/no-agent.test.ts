import assert from "node:assert/strict";
import { test } from "node:test";
import { applyExample, boundTargets, startWorld, until } from "./world.ts";

test("without any agent the coordinator watches the nodes itself, binds the Pods and opens their gates", {
  timeout: 120_000,
}, async (t) => {
  const world = await startWorld(t, { agents: [], coordinatorEnv: { AGENT_GRACE_MS: "500" } });
  await applyExample(world);
  await until("six targets bound", () => boundTargets(world).size === 6);
  const pods = await until("six Pods with an open gate", async () => {
    const { items } = await world.client.list<{ status: { conditions?: { type: string; status: string; reason?: string }[] } }>(
      "/api/v1/namespaces/demo/pods",
    );
    const open = items.filter(({ status }) =>
      status.conditions?.some(({ type, status: value }) => type.includes("backendgroup") && value === "True"),
    );
    return open.length === 6 && open;
  });
  assert.equal(pods.length, 6);
  assert.equal(world.cloud.cloud.counts().overlaps, 0);
});
