/** How fast it goes: no write in vain, and gates soon after the cloud is ready. In virtual time, so nothing but what we decide takes any. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { aWorld, type Options, type World } from "./world.ts";

/** When gates have opened, by address; milliseconds since the epoch. */
function gateTimes({ cluster, clock }: World): ReadonlyMap<string, number> {
  const openedMs = new Map<string, number>();
  cluster.onGate(({ ips: [ip = ""] }) => void openedMs.set(ip, clock.now()));
  return openedMs;
}

/** Milliseconds from the moment when the cloud sends to a backend to that when its gate is opened, the shortest first. */
async function fromServingToGate(t: Parameters<typeof aWorld>[0], options: Options): Promise<number[]> {
  const world = aWorld(t, { apps: ["one"], pods: 6, ...options });
  const openedMs = gateTimes(world);
  await world.run(async () => {
    world.start();
    await world.converged("one");
    for (let n = 0; n < 5; n++) await world.rollOut("one", { surge: 2 });
    await world.kill();
  });
  const { journal } = world.cloud;
  const serving = journal.of("health").filter(({ to }) => to === "Alive" || to === "Close");
  const last = [...world.cluster.lives].slice(6);
  return last
    .map(({ ip }) => (openedMs.get(ip) ?? Number.NaN) - (serving.find((entry) => entry.ip === ip)?.timeMs ?? Number.NaN))
    .toSorted((a, b) => a - b);
}
const at = (ascending: readonly number[], share: number): number => ascending[Math.floor(ascending.length * share)] ?? Number.NaN;

test("100 Pods are bound and replaced, and no write meets the lock, for nobody else writes", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 100 });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    await world.rollOut("one", { surge: 25 });
    await world.converged("one");
    await world.kill();
  });
  const writes = world.cloud.journal.of("call").filter(({ isWrite }) => isWrite);
  assert.ok(writes.length > 15, `${writes.length} writes`);
  assert.deepEqual(
    writes.filter(({ code }) => code !== "OK").map(({ action, code }) => `${action} ${code}`),
    [],
  );
});

test("a Pod that turned healthy has its gate after half a pause, one call and the patch", async (t) => {
  const tookMs = await fromServingToGate(t, { check: { intervalSeconds: 2, healthyCount: 2 } });
  assert.equal(tookMs.length, 30);
  const goalMs = 1.2 * (25 + 30 + 4);
  assert.ok(at(tookMs, 0.5) <= goalMs, `${at(tookMs, 0.5)} ms, goal ${goalMs} ms: ${tookMs.map(Math.round).join(" ")}`);
  assert.ok(at(tookMs, 0.99) <= 110, `${at(tookMs, 0.99)} ms`);
});

test("where nothing is checked the gate opens as soon as the bind is answered", async (t) => {
  const tookMs = await fromServingToGate(t, { check: { enabled: false } });
  assert.ok(at(tookMs, 0.5) <= 10 && at(tookMs, 0.99) <= 40, tookMs.map(Math.round).join(" "));
});

test("while binds are throttled, drains of many load balancers go as ever, and binds keep their places", async (t) => {
  const apps = Array.from({ length: 30 }, (_, n) => `a${n}`);
  const world = aWorld(t, { apps, pods: 2 });
  const { cluster, clock, cloud } = world;
  const endedMs = new Map<string, number>();
  await world.run(async () => {
    world.start();
    for (const app of apps) await world.converged(app);
    world.intercept.by = (action) => (action === "BatchRegisterTargets" ? "RequestLimitExceeded" : undefined);
    for (const app of apps) cluster.start(app, 1);
    await clock.sleep(8_000); // all want to bind by now
    for (const app of apps) {
      const [pod] = cluster.alive(app);
      if (pod === undefined) continue;
      endedMs.set(pod.ips[0] ?? "", clock.now());
      cluster.end([pod.uid]);
    }
    await clock.sleep(6_000);
    world.intercept.by = () => undefined;
    for (const app of apps) await world.converged(app);
    await world.kill();
  });
  const drained = cloud.journal.of("target").filter((entry) => entry.change !== "bound" && entry.weight === 0);
  const tookMs = [...endedMs].map(
    ([ip, fromMs]) => (drained.find((entry) => entry.ip === ip && entry.timeMs >= fromMs)?.timeMs ?? Number.POSITIVE_INFINITY) - fromMs,
  );
  // Thirty at twenty a second, and a task of 0.4 s.
  assert.ok(Math.max(...tookMs) <= 2_500, `drains took ${tookMs.map(Math.round).join(" ")} ms`);
});
