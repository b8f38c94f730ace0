/** Strangers without a valid token hammer on the agents' port: agents are heard all the same. STRANGERS sets how many. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { DEFAULT_NAMESPACE, LEADER_LEASE, STREAM_PORT } from "../../common/names.ts";
import { metric } from "./disturbed-rollout.ts";
import { changedExample, scaleTo } from "./examples.ts";
import { converged } from "./look.ts";
import { applyExample, boundTargets, startWorld, until } from "./world.ts";

const COUNT = Number(process.env["STRANGERS"] ?? "100");
/** A coordinator with a thousand connections in handshake; 4 MB of each would be gigabytes. */
const MOST_BYTES = 300_000_000;
type Lease = { readonly spec: { readonly holderIdentity?: string; readonly leaseTransitions?: number } };

test(`${COUNT} strangers hammer: a new Pod is bound, the Lease is kept, memory stays bounded`, { timeout: 300_000 }, async (t) => {
  const world = await startWorld(t);
  await applyExample(world, changedExample({ replicas: 2 }));
  await converged(world, { count: 2 });
  const lease = () => world.client.get<Lease>(`/apis/coordination.k8s.io/v1/namespaces/${DEFAULT_NAMESPACE}/leases/${LEADER_LEASE}`);
  const before = await lease();
  const bytes = () => metric(world.product.opsUrl, "process_resident_memory_bytes");
  const [calmBytes, fallbacks] = [await bytes(), await metric(world.product.opsUrl, "clb_direct_fallbacks_total")];
  const files = join(world.directory, "clb-direct-agent-node-a");
  const address = `${world.plan.coordinator}:${STREAM_PORT}`;
  const args = [
    join(import.meta.dirname, "strangers-child.ts"),
    address,
    join(files, "bundle.crt"),
    String(COUNT),
    join(files, "stream-token"),
  ];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const refusals = () => metric(world.product.opsUrl, "clb_direct_streams_total", 'change="refused"');
  await until("the storm is at its height", async () => (await refusals()) > COUNT, 120_000);
  await scaleTo(world, 3);
  await until("the third Pod is bound", () => boundTargets(world).size === 3, 60_000);
  const stormBytes = await bytes();
  const refused = await refusals();
  child.kill("SIGKILL");
  t.diagnostic(`${refused} streams refused; ${Math.round(calmBytes / 1e6)} -> ${Math.round(stormBytes / 1e6)} MB`);
  assert.ok(stormBytes - calmBytes < MOST_BYTES, `${calmBytes} -> ${stormBytes}`);
  const { spec } = await lease();
  assert.deepEqual([spec.holderIdentity, spec.leaseTransitions], [before.spec.holderIdentity, before.spec.leaseTransitions]);
  assert.equal(await metric(world.product.opsUrl, "clb_direct_fallbacks_total"), fallbacks, "both agents were heard all the time");
});
