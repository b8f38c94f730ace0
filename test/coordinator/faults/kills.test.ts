import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { makeRandom } from "../../cloud/runtime/random.ts";
import { assertNothingWrong, aWorld } from "./world.ts";

const KILLS = 20;
/** A rollout of these Pods takes about that long, and the first binds before it. */
const ROLLOUT_MS = 45_000;
/** Another replica takes over within this. */
const AWAY_MS = 3_000;

suite("a coordinator that is killed in the middle of a rollout, and another that goes on with what is stored", () => {
  const random = makeRandom(6);
  for (let kill = 1; kill <= KILLS; kill++) {
    const afterMs = Math.round(random() * ROLLOUT_MS);
    const awayMs = Math.round(random() * AWAY_MS);
    test(`killed after ${afterMs} ms, away for ${awayMs} ms`, (t) => killAfter(t, afterMs, awayMs));
  }
});

async function killAfter(t: TestContext, afterMs: number, awayMs: number): Promise<void> {
  const world = aWorld(t);
  await world.run(async () => {
    world.start();
    const { over } = await world.beginRollouts();
    await world.clock.sleep(afterMs);
    await world.kill();
    await world.clock.sleep(awayMs);
    world.start();
    await over;
    for (const app of world.apps) await world.converged(app);
    await world.kill();
  });
  assertNothingWrong(world);
  const entries = world.cloud.journal.since(0);
  const unbound = entries.filter((entry) => entry.kind === "target" && entry.change === "unbound").length;
  const named = entries.filter((entry) => entry.kind === "call" && entry.action === "BatchDeregisterTargets" && entry.code === "OK");
  assert.equal(unbound, 16, "every old Pod is unbound once");
  assert.equal(
    named.reduce((sum, entry) => sum + (entry.kind === "call" ? entry.targets : 0), 0),
    unbound,
    "some unbind named a target that was not bound any more",
  );
  for (const app of world.apps)
    assert.deepEqual(
      [...world.cluster.addressClaims(`lb-${app}`)]
        .filter(([, uid]) => world.cluster.pods.has(uid))
        .map(([ip]) => ip)
        .sort(),
      world.cluster
        .alive(app)
        .flatMap(({ ips }) => ips)
        .sort(),
      "every bound address is claimed",
    );
}
