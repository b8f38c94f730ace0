/**
 * In virtual time, on a cloud without latency: three rollouts of 6 Pods, 6 to 60, and a rollout of 60. How many writes that takes, and how
 * soon gates open. Pods come and go as a Deployment and kubelets make them come and go: not together.
 */
import { aWorld, type World } from "../../test/coordinator/faults/world.ts";

const INSTANT = {
  apiLatencyMs: { default: 0, write: 0, jitterPct: 0 },
  taskMs: { base: 0, perRuleOnLb: 0, perTarget: 0 },
  batchTargets: { mode: "sync", busyAfterReturnMs: 0 },
  createLoadBalancerMs: 0,
} as const;
const APP = "one";
/** maxSurge and maxUnavailable of a Deployment that names none. */
const SHARE = 0.25;
/** A Pod's containers become ready this long after its creation, milliseconds: image there, a probe every second. */
const READY_MS = { least: 700, spread: 1_200 } as const;
/** How long a Deployment's controller takes to see a change. */
const CONTROLLER_MS = 10;

export type BlockFigures = {
  /** Binds, weights and unbinds of the whole block, and the last rollout's alone. */
  readonly writes: number;
  readonly rolloutWrites: number;
  /** From containers ready to gate True in the last rollout. */
  readonly gateMsP50: number;
  readonly gateMsP90: number;
  readonly gateMsMax: number;
};
/** 125 writes is what a controller without weights makes of it. */
export const BLOCK_GOALS = { writes: 125, gateMsP90: 400, gateMsMax: 700 } as const;

export async function block(): Promise<BlockFigures> {
  const cleanUps: (() => unknown)[] = [];
  const owner = { after: (cleanUp: () => unknown): void => void cleanUps.push(cleanUp) };
  let seed = 1;
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647; // minimal standard generator
  const startMs = (): number => READY_MS.least + READY_MS.spread * random();
  const world = aWorld(owner, { apps: [APP], pods: 0, check: { enabled: false }, profile: INSTANT, startMs });
  const { cluster, clock, cloud } = world;
  const openedMs = new Map<string, number>();
  cluster.onGate(({ uid }) => void openedMs.set(uid, clock.now()));
  const rolloutMs = await world.run(async () => {
    world.start();
    await clock.sleep(2_000);
    await scale(world, 6);
    for (let n = 0; n < 3; n++) await rollOut(world, 6);
    await scale(world, 60);
    const fromMs = clock.now();
    await rollOut(world, 60);
    await clock.sleep(60_000); // what is drained is unbound
    await world.kill();
    return fromMs;
  });
  const writes = cloud.journal.of("call").filter(({ action }) => action.startsWith("Batch"));
  const rolled = [...openedMs].flatMap(([uid, atMs]) => {
    const readyMs = cluster.readyMs.get(uid) ?? Number.NaN;
    return atMs >= rolloutMs ? atMs - readyMs : [];
  });
  rolled.sort((a, b) => a - b);
  for (const cleanUp of cleanUps) await cleanUp();
  const at = (share: number): number => Math.round(rolled[Math.min(rolled.length - 1, Math.floor(rolled.length * share))] ?? Number.NaN);
  return {
    writes: writes.length,
    rolloutWrites: writes.filter(({ startMs: atMs }) => atMs >= rolloutMs).length,
    gateMsP50: at(0.5),
    gateMsP90: at(0.9),
    gateMsMax: at(1),
  };
}

async function scale(world: World, replicas: number): Promise<void> {
  world.cluster.start(APP, replicas - world.cluster.alive(APP).length);
  await world.converged(APP);
}

/** As a Deployment's controller does it. */
async function rollOut(world: World, replicas: number): Promise<void> {
  const { cluster, clock } = world;
  const old = cluster.alive(APP).map(({ uid }) => uid);
  const surge = Math.ceil(replicas * SHARE);
  const unavailable = Math.floor(replicas * SHARE);
  let created = 0;
  while (old.length > 0) {
    const alive = cluster.alive(APP);
    const available = alive.filter(({ gate }) => gate === "True").length;
    const more = Math.min(replicas - created, replicas + surge - alive.length);
    if (more > 0) created += cluster.start(APP, more).length;
    const leaving = Math.min(old.length, available - (replicas - unavailable), alive.length + Math.max(more, 0) - replicas + unavailable);
    if (leaving > 0) cluster.end(old.splice(0, leaving));
    await clock.sleep(CONTROLLER_MS);
  }
  await world.converged(APP);
}
