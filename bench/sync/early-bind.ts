/**
 * In virtual time: rollouts of an application that answers on its port long before it is ready, with Pods bound when they are ready, and bound
 * at weight 0 as soon as they listen (EARLY_BIND). What that saves in time, and what it costs in writes.
 */
import { aWorld } from "../../test/coordinator/faults/world.ts";

const APP = "one";
const PODS = 12;
const SURGE = 3;
/** The application answers so soon and is ready so late after its Pod's birth, milliseconds: a runtime that warms up. */
const LISTEN_MS = 3_000;
const READY_MS = { least: 20_000, spread: 4_000 } as const;

export type EarlyBindFigures = {
  readonly earlyBind: boolean;
  readonly pods: number;
  /** From containers ready to gate True in the rollout, profile tke2020, checks as the cloud has them by default. */
  readonly gateMsP50: number;
  readonly gateMsP99: number;
  readonly rolloutSeconds: number;
  /** Binds, weights and unbinds of the rollout. */
  readonly writes: number;
};

export async function earlyBinds(): Promise<readonly EarlyBindFigures[]> {
  return [await measured(false), await measured(true)];
}

async function measured(earlyBind: boolean): Promise<EarlyBindFigures> {
  const cleanUps: (() => unknown)[] = [];
  const owner = { after: (cleanUp: () => unknown): void => void cleanUps.push(cleanUp) };
  let seed = 1;
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647; // minimal standard generator
  const startMs = (): number => READY_MS.least + READY_MS.spread * random();
  const world = aWorld(owner, { apps: [APP], pods: PODS, profile: "tke2020", listenMs: LISTEN_MS, startMs, earlyBind });
  const { cluster, clock, cloud } = world;
  const openedMs = new Map<string, number>();
  cluster.onGate(({ uid }) => void openedMs.set(uid, clock.now()));
  const [fromMs, untilMs] = await world.run(async () => {
    world.start();
    await world.converged(APP);
    const beganMs = clock.now();
    await world.rollOut(APP, { surge: SURGE });
    const endedMs = clock.now();
    await world.converged(APP);
    await world.kill();
    return [beganMs, endedMs] as const;
  });
  const gates = [...openedMs].flatMap(([uid, atMs]) => (atMs >= fromMs ? [atMs - (cluster.readyMs.get(uid) ?? Number.NaN)] : []));
  gates.sort((a, b) => a - b);
  for (const cleanUp of cleanUps) await cleanUp();
  const at = (share: number): number => Math.round(gates[Math.min(gates.length - 1, Math.floor(gates.length * share))] ?? Number.NaN);
  const writes = cloud.journal.of("call").filter(({ action, startMs: atMs }) => action.startsWith("Batch") && atMs >= fromMs);
  return {
    earlyBind,
    pods: PODS,
    gateMsP50: at(0.5),
    gateMsP99: at(0.99),
    rolloutSeconds: (untilMs - fromMs) / 1_000,
    writes: writes.length,
  };
}
