import assert from "node:assert/strict";
import { test } from "node:test";
import { changedExample, checkQuickly, SERVICE } from "./examples.ts";
import {
  askOnce,
  assertAtRest,
  assertDrainedFirst,
  assertNoFailure,
  converged,
  fewestServing,
  loadBalancer,
  servingTargets,
  startClient,
} from "./look.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

/** Longer than the client keeps a connection (3 s). */
const DRAIN_MS = 4_000;
const REPLICAS = 3;

test("the ports of a Service change", { timeout: 120_000 }, async (t) => {
  const world = await startWorld(t, { coordinatorEnv: { DRAIN_MS: String(DRAIN_MS), RESYNC_MS: "1000" } });
  const ports = [
    { name: "http", containerPort: 8080 },
    { name: "next", containerPort: 8090 },
  ];
  await applyExample(world, changedExample({ replicas: REPLICAS, ports }));
  await converged(world, { count: REPLICAS });

  await t.test("targetPort: the new port serves before the old one leaves, and no request is lost", () => changeTargetPort(world));
  await t.test("port: the new listener serves before the old one drains and is deleted, and no request is lost", () => changePort(world));
  await t.test("then nothing is written any more", () => assertAtRest(world));
});

async function changeTargetPort(world: World): Promise<void> {
  const sinceSeq = world.cloud.cloud.journal.lastSeq;
  const before = loadBalancer(world).listeners[0];
  const client = startClient(world);
  try {
    await patchPort(world, { port: world.plan.servicePort, targetPort: "next" });
    await until("only port 8090 is bound, and serves", () => {
      const [listener] = loadBalancer(world).listeners;
      return listener?.targets.every(({ port }) => port === 8090) && servingTargets(listener).length === REPLICAS;
    });
  } finally {
    await client.stop();
  }
  assertNoFailure(client.result());
  const listeners = loadBalancer(world).listeners;
  assert.deepEqual(
    listeners.map(({ id }) => id),
    [before?.id],
    "the listener is the same one",
  );
  assert.equal(assertDrainedFirst(world, sinceSeq, DRAIN_MS), REPLICAS);
  assert.ok(fewestServing(world, before?.id ?? "", sinceSeq) >= REPLICAS);
}

async function changePort(world: World): Promise<void> {
  const { id, vip, listeners } = loadBalancer(world);
  const [oldPort, newPort] = [world.plan.servicePort, world.plan.servicePort + 1];
  const sinceSeq = world.cloud.cloud.journal.lastSeq;
  await checkQuickly(world, [oldPort, newPort]);
  const before = startClient(world, { port: oldPort });
  await patchPort(world, { port: newPort, targetPort: "next" });
  await until("the new listener serves", () => {
    const listener = loadBalancer(world).listeners.find(({ port }) => port === newPort);
    return listener !== undefined && servingTargets(listener).length === REPLICAS;
  });
  // As people do: whoever calls goes to the new port as soon as that serves.
  const after = startClient(world, { port: newPort });
  assertNoFailure(await before.stop(), 100);
  assert.equal(fewestServing(world, listeners[0]?.id ?? "", sinceSeq), REPLICAS, "the old listener was touched before the new one served");
  await until("the old one is gone", () => loadBalancer(world).listeners.length === 1);
  assertNoFailure(await after.stop());
  const drains = world.cloud.cloud.journal.of("target").filter((entry) => entry.seq > sinceSeq && entry.change === "weight");
  assert.deepEqual(
    drains.map(({ listenerId, weight }) => `${listenerId} ${weight}`),
    Array(REPLICAS).fill(`${listeners[0]?.id} 0`),
  );
  const changes = world.cloud.cloud.journal.of("listener").filter(({ seq, change }) => seq > sinceSeq && change !== "modified");
  assert.deepEqual(
    changes.map(({ change, port }) => `${change} ${port}`),
    [`created ${newPort}`, `deleted ${oldPort}`],
  );
  assert.equal(loadBalancer(world).id, id);
  assert.equal(changes.at(-1)?.listenerId, listeners[0]?.id);
  assert.match(await askOnce(vip, newPort), /^web-/);
  assert.equal(await askOnce(vip, oldPort), "ECONNREFUSED");
}

const patchPort = async (world: World, port: { port: number; targetPort: string }): Promise<void> => {
  await world.client.patch(SERVICE, { spec: { ports: [{ name: "http", protocol: "TCP", ...port }] } }, "merge");
};
