/** Drains come in time, whatever else fails or hangs: a Pod sleeps for some seconds before it ends, and until then must get no new requests. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { aWorld, type World } from "./world.ts";

/** Where nothing is in the way, a drain has taken effect within 1.6 s. Milliseconds. */
const SOON_MS = 3_000;

/** Ends the oldest Pod of "one"; resolves `waitMs` later with how long its drain took, milliseconds, Infinity if it has not come. */
async function endOne({ cluster, clock, cloud }: World, waitMs: number): Promise<number> {
  const [pod] = cluster.alive("one");
  assert.ok(pod, "no Pod is left");
  const endedMs = clock.now();
  cluster.end([pod.uid]);
  await clock.sleep(waitMs);
  const off = cloud.journal.of("target").find((entry) => {
    return pod.ips.includes(entry.ip) && entry.timeMs >= endedMs && (entry.change === "unbound" || entry.weight === 0);
  });
  return off === undefined ? Number.POSITIVE_INFINITY : Math.round(off.timeMs - endedMs);
}

/** Address claims are written as `instead` has it, which is told the signal of each try. Returns how many tries there were. */
function failJournals({ cluster: { client } }: World, instead: (signal: AbortSignal | undefined) => Promise<void>): () => number {
  const patch = client.patch.bind(client);
  let tries = 0;
  const failing: typeof client.patch = async (path, body, type, options) => {
    if (path.includes("/configmaps/")) {
      tries++;
      await instead(options?.signal);
    }
    return await patch(path, body, type, options);
  };
  Object.assign(client, { patch: failing });
  return () => tries;
}

suite("where addresses cannot be claimed, drains go on:", () => {
  for (const how of ["a bind", "an adoption"])
    for (const what of ["is denied", "hangs"])
      test(`${how} whose claim ${what}`, async (t) => {
        const world = aWorld(t, { apps: ["one"] });
        const { cluster, clock, cloud } = world;
        await world.run(async () => {
          world.start();
          await world.converged("one");
          let broken = true;
          const tries = failJournals(world, async (signal) => {
            if (!broken) return;
            if (what === "hangs") await clock.sleep(20_000, signal);
            throw new KubeApiError("PATCH configmap", "denied", "exceeded quota", { code: 403 });
          });
          const listenerId = cloud.state().loadBalancers[0]?.listeners[0]?.id;
          const byHand = { ListenerId: listenerId, Targets: [{ EniIp: "10.244.0.9", Port: 8080, Weight: 10 }] };
          if (how === "an adoption") await world.byHand("one", "RegisterTargets", byHand);
          cluster.start("one", 1);
          await clock.sleep(how === "an adoption" ? 65_000 : 2_000); // the resync sees it
          const tookMs: number[] = [];
          for (let n = 0; n < 4; n++) tookMs.push(await endOne(world, 7_900));
          assert.ok(Math.max(...tookMs) < SOON_MS + (what === "hangs" ? 3_000 : 0), `drains took ${tookMs.join()} ms`);
          assert.ok(tries() >= 4 && tries() <= 25, `${tries()} tries`);
          broken = false;
          await world.converged("one");
          await clock.sleep(6_000);
          assert.ok(cluster.addressClaims("lb-one").has("10.244.0.9"), "the new Pod's address is not claimed");
          await world.kill();
        });
      });
});

suite("what the cloud says once costs no drain more than a second:", () => {
  for (const code of ["AuthFailure.TokenFailure", "UnauthorizedOperation", "SomethingNew"])
    test(code, async (t) => {
      const world = aWorld(t, { apps: ["one"] });
      await world.run(async () => {
        world.start();
        await world.converged("one");
        world.cloud.faults.add({ kind: "error", code, action: "BatchModifyTargetWeight", count: 1 });
        const tookMs = [await endOne(world, 30_000), await endOne(world, 30_000)];
        assert.ok(Math.max(...tookMs) < SOON_MS, `drains took ${tookMs.join()} ms`);
        await world.kill();
      });
    });
});

test("a drain that the cloud refuses for its caller is tried twice at once, then every five seconds, and comes soon after the rights do", async (t) => {
  const world = aWorld(t, { apps: ["one"] });
  const tries: number[] = [];
  await world.run(async () => {
    world.start();
    await world.converged("one");
    const endMs = world.clock.now() + 21_000;
    world.intercept.by = (action) => {
      if (action !== "BatchModifyTargetWeight" || world.clock.now() > endMs) return undefined;
      tries.push(world.clock.now());
      return "UnauthorizedOperation";
    };
    const [pod] = world.cluster.alive("one");
    assert.ok(pod);
    world.cluster.relabel(pod.uid, {}); // it lives on, and would be sent to
    await world.clock.sleep(28_000);
    const [first = 0] = tries;
    assert.deepEqual(tries.map((atMs) => Math.round((atMs - first) / 500) / 2).slice(0, 4), [0, 0.5, 1, 6]);
    assert.ok(tries.length <= 8, `${tries.length} tries`);
    const left = world.cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap(({ targets }) => targets));
    assert.ok(!left.some(({ ip, weight }) => pod.ips.includes(ip) && weight > 0), "it is not drained");
    await world.kill();
  });
});

test("reads of a load balancer that hang hold up no drain for longer than one of them may take", async (t) => {
  const world = aWorld(t, { apps: ["one"] });
  const { cluster, clock, cloud } = world;
  await world.run(async () => {
    world.start();
    await world.converged("one");
    cloud.faults.add({ kind: "latency", delay: "50s", action: "DescribeTargets", for: "400s" });
    const tookMs: number[] = [];
    for (let round = 0; round < 6; round++) {
      await clock.sleep(31_000);
      cluster.start("one", 1);
      tookMs.push(await endOne(world, 25_000));
    }
    assert.ok(Math.max(...tookMs) < 10_000 + SOON_MS, `drains took ${tookMs.join()} ms`);
    await world.kill();
  });
});

test("a question about a task that hangs holds up its load balancer for five seconds", async (t) => {
  const world = aWorld(t, { apps: ["one"] });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    world.cloud.faults.add({ kind: "latency", delay: "50s", action: "DescribeTaskStatus", count: 1 });
    const first = endOne(world, 60_000);
    await world.clock.sleep(2_000);
    const tookMs = [await endOne(world, 60_000), await first];
    assert.ok(Math.max(...tookMs) < 5_000 + SOON_MS, `drains took ${tookMs.join()} ms`);
    await world.kill();
  });
});
