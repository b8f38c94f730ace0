/**
 * What one Pod change costs a coordinator that knows few Services, and one that knows many. The two run side by side and are measured in turns, so
 * that what the machine does to one it does to the other: both have run the same code as often, and a busy neighbour costs both the same.
 */
import { drive, quantile } from "./changes.ts";
import { type Ground, startGround } from "./ground.ts";
import type { Control } from "./helpers.ts";
import { measure } from "./measure.ts";
import { type Patience, untilAll } from "./wait.ts";

export type PerChangeOptions = {
  readonly agents: number;
  /** Per agent. */
  readonly pods: number;
  readonly few: number;
  readonly many: number;
  /** Changes per second, and how long in each turn. */
  readonly rate: number;
  readonly seconds: number;
  readonly patience: Patience;
  /** Of the coordinators' Node. */
  readonly flags: readonly string[];
};

/** CPU milliseconds per change, of each turn. */
export type PerChange = { readonly few: readonly number[]; readonly many: readonly number[] };

/** Odd, so that there is a median; the turn before them is for code that has not been run yet. */
const TURNS = 5;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Undefined: one of the two did not come so far; standard error says where. */
export async function perChange(options: PerChangeOptions, control: Control): Promise<PerChange | undefined> {
  const grounds: Ground[] = [];
  try {
    for (const services of [options.few, options.many]) {
      const ground = await startGround({ ...options, services, replicas: 1, begin: { ready: true, gateOpen: true } });
      grounds.push(ground);
      if (!(await isSettled(ground, services, options))) return undefined;
    }
    const kept: { readonly few: number[]; readonly many: number[] } = { few: [], many: [] };
    for (let turn = 0; turn <= TURNS; turn++)
      for (const index of turn % 2 === 0 ? [0, 1] : [1, 0]) {
        const ground = grounds[index];
        const cost = ground && (await costOf({ ground, control }, options));
        if (cost === undefined) return undefined;
        if (turn > 0) kept[index === 0 ? "few" : "many"].push(cost);
      }
    return kept;
  } finally {
    for (const ground of grounds) await ground.stop();
  }
}

async function isSettled(ground: Ground, services: number, { agents, patience }: PerChangeOptions): Promise<boolean> {
  await ground.product.startCoordinator();
  void ground.runAgents(0).catch((error: unknown) => console.error(String(error)));
  const acknowledged = await untilAll(() => ground.acknowledged(), agents, patience);
  ground.addServices(0, services);
  const wanted = services + ground.selected(services);
  const made = await untilAll(() => ground.listeners() + ground.bound(), wanted, patience);
  if (acknowledged >= agents && made >= wanted) return true;
  console.error(`side by side: ${acknowledged} of ${agents} agents, ${made} of ${wanted} listeners and targets: given up`);
  return false;
}

/** One turn: at rest, then with changes. */
async function costOf(
  at: { readonly ground: Ground; readonly control: Control },
  { rate, seconds }: PerChangeOptions,
): Promise<number | undefined> {
  const rest = await measure(at, () => pause(seconds * 1_000));
  const driven = await measure(at, () => drive(at.ground, "touch", { rate, seconds }));
  const [resting, working] = [rest.row.cpuSeconds, driven.row.cpuSeconds];
  if (resting === null || working === null) return undefined;
  return ((working - (resting / rest.seconds) * driven.seconds) * 1_000) / driven.result.changes;
}

/** Pure: how many times as much a change costs with many Services: of the medians, and of each turn the least and the most. */
export function ratioOf({ few, many }: PerChange): { readonly median: number; readonly least: number; readonly most: number } {
  const median = (values: readonly number[]): number => quantile(values, 0.5) ?? Number.NaN;
  const each = many.map((cost, turn) => cost / (few[turn] ?? Number.NaN));
  return { median: median(many) / median(few), least: Math.min(...each), most: Math.max(...each) };
}
