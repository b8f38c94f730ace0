import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { DEFAULT_NAMESPACE, LEADER_LEASE } from "../../common/names.ts";
import { LEASE_TIMES } from "../../coordinator/leader/lease.ts";
import { leads, testTroubles, writesSince } from "./two-coordinators.ts";
import type { World } from "./world.ts";

const LEASE = `/apis/coordination.k8s.io/v1/namespaces/${DEFAULT_NAMESPACE}/leases/${LEADER_LEASE}`;
/** For a renewal that was on its way, and for a call between the fence and the cloud. */
const SLACK_MS = 500;

function assertNoWrite(world: World, fromMs: number, toMs: number, why: string): void {
  assert.deepEqual(
    writesSince(world, fromMs).filter((write) => write.fromMs < toMs),
    [],
    why,
  );
}

/** Somebody's name in the Lease: the leader learns of it by its next renewal, and nobody can know who somebody is. */
async function edit(world: World, holderIdentity: string): Promise<void> {
  const fromMs = Date.now();
  await world.client.patch(LEASE, { spec: { holderIdentity } }, "merge");
  await sleep(LEASE_TIMES.durationMs + SLACK_MS);
  const learntMs = fromMs + LEASE_TIMES.renewMs + SLACK_MS;
  assertNoWrite(world, learntMs, fromMs + LEASE_TIMES.durationMs, "the Lease is another's for its whole life");
}

testTroubles({
  "an API server that is frozen for longer than the Lease: nobody writes until it goes on": {
    befall: async (world) => {
      const fromMs = Date.now();
      const over = world.troubles.freeze(LEASE_TIMES.durationMs + 3_000);
      await sleep(LEASE_TIMES.durationMs + SLACK_MS);
      assert.ok(!(await leads(world, "first")), "its own clock tells it, nobody else can");
      await over;
      assertNoWrite(world, fromMs + LEASE_TIMES.writesMs + SLACK_MS, Date.now(), "who cannot renew its Lease writes nothing");
    },
  },
  "a Lease that is edited by hand": { befall: (world) => edit(world, "somebody") },
  "a Lease whose holder is cleared by hand": { befall: (world) => edit(world, "") },
  "a Lease that is deleted by hand stays its holder's": {
    writers: ["first"],
    befall: async (world) => {
      await world.client.delete(LEASE);
      await sleep(LEASE_TIMES.durationMs + 1_000);
      await world.client.get(LEASE); // throws if nobody has made it anew
    },
  },
  "both coordinators restarted at once": {
    befall: async ({ product }) => {
      const both = [0, 1] as const;
      await Promise.all(both.map(async (replica) => await product.coordinator(replica)?.stop()));
      await Promise.all(both.map((replica) => product.startCoordinator(replica)));
    },
  },
});
