/** What `npm run bench:take-over` does; take-over.ts reads its options before any of this is loaded, which takes a second. */
import { writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { LEASE_TIMES } from "../../coordinator/leader/lease.ts";
import { until } from "../../test/cluster/process.ts";
import { quantile } from "./changes.ts";
import { CALLERS, type Ground, startGround } from "./ground.ts";
import { startControl } from "./helpers.ts";
import { measure } from "./measure.ts";
import { withReadiness } from "./objects.ts";
import { countsOf, type Goal, goalsText, limitFor, NOISE_LEGEND, type Row, rounded, verdict } from "./rows.ts";

export type Options = {
  readonly pods: number;
  readonly services: number;
  /** Of the coordinators' Node. */
  readonly flags: readonly string[];
  readonly size: "full" | "quick";
  readonly json: string | undefined;
};

/** Of applications. */
const PODS_PER_NODE = 100;

/** Counted from the moment in which the new leader has the Lease. */
const GOALS = { firstWriteSeconds: 5, gatesSeconds: 15, loopP99Ms: 50 } as const;
const PREPARE_MS = 120_000;
const GIVE_UP_MS = 120_000;

type TakeOver = {
  /** Milliseconds from the order to leave until the new leader has the Lease. */
  readonly handedOverMs: number;
  readonly firstWriteMs: number | undefined;
  /** Per gate that opened, since then. */
  readonly gatesMs: readonly number[];
  readonly missing: number;
};

/** The first coordinator is told to leave, and all Pods become ready. */
async function takeOver(ground: Ground): Promise<TakeOver> {
  const before = ground.lease().holder;
  const openedMs: number[] = [];
  const orderedMs = performance.now();
  const left = ground.product.coordinator(0)?.stop();
  const due = ground.seats.filter(({ service }) => service !== undefined);
  for (const seat of due) {
    const pod = ground.get(seat);
    if (pod === undefined) continue;
    ground.onGate(pod.metadata.uid, (atMs) => void openedMs.push(atMs));
    ground.put(withReadiness(pod, true));
  }
  const leader = () => ground.lease().holder;
  await until("a new leader", () => leader() !== "" && leader() !== before, GIVE_UP_MS, 10);
  const { changedAtMs: ledMs } = ground.lease();
  await until("gates", () => openedMs.length >= due.length, GIVE_UP_MS, 20).catch(() => undefined);
  await left;
  const firstWrite = ground.cloud.journal.of("call").find(({ caller, isWrite }) => isWrite && caller === CALLERS[1]);
  return {
    handedOverMs: ledMs - orderedMs,
    firstWriteMs: firstWrite && firstWrite.startMs - (performance.timeOrigin + ledMs),
    gatesMs: openedMs.map((atMs) => Math.max(0, atMs - ledMs)),
    missing: due.length - openedMs.length,
  };
}

async function prepared(ground: Ground, { agents, services }: { readonly agents: number; readonly services: number }): Promise<void> {
  await ground.product.startCoordinator(0);
  await ground.product.startCoordinator(1);
  await ground.runAgents(0);
  const connected = () => ground.acknowledged(0) >= agents && ground.acknowledged(1) >= agents;
  await until("all agents at both coordinators", connected, PREPARE_MS);
  ground.addServices(0, services);
  const told = () => `the first leader to make its listeners: ${ground.listeners()} of ${services}`;
  await until(told, () => ground.listeners() >= services, PREPARE_MS, 250);
  // What it has not told yet would be told by the new one, and count for it.
  await until("the first leader to publish its addresses", () => ground.published() >= services, PREPARE_MS, 250);
}

/** False where a goal is missed. */
export async function run({ pods, services, flags, size, json }: Options): Promise<boolean> {
  const agents = Math.ceil(pods / PODS_PER_NODE);
  const perAgent = Math.ceil(pods / agents) + 1; // the agent's own
  const [load = 0] = loadavg(); // of others, before we begin
  const control = startControl();
  const ground = await startGround({
    agents,
    pods: perAgent,
    services,
    selected: pods,
    replicas: 2,
    flags,
    begin: { ready: false, gateOpen: false },
  });
  try {
    await prepared(ground, { agents, services });
    const measured = await measure({ ground, control }, () => takeOver(ground), { replica: 1 });
    const { result, row } = measured;
    const { gatesMs, firstWriteMs, missing } = result;
    const [ownMsP50 = null, ownMsP99 = null] = [quantile(gatesMs, 0.5), missing > 0 ? undefined : quantile(gatesMs, 0.99)];
    const made: Row = rounded({
      name: "take-over",
      agents,
      pods: agents * perAgent,
      services,
      rate: 0,
      ackedSeconds: null,
      ownMsP50,
      ownMsP99,
      ...row,
    });
    const goals: Goal[] = [];
    const goal = (what: string, value: number | null | undefined, unit: string, kind: Goal["kind"], atMost?: number): void => {
      const most = limitFor(size, { kind, unit, ...(atMost !== undefined && { atMost }) });
      const limit = most !== undefined && { atMost: most };
      goals.push({ row: "take-over", what, value: value ?? null, unit, kind, controlP99Ms: row.controlP99Ms, ...limit });
    };
    const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1_000);
    goal("from the order to leave to the new leader", result.handedOverMs / 1_000, "s", "time");
    goal("first write", seconds(firstWriteMs), "s", "time", GOALS.firstWriteSeconds);
    goal("half of the gates", seconds(missing > gatesMs.length ? undefined : quantile(gatesMs, 0.5)), "s", "time");
    goal("all gates", missing > 0 ? undefined : seconds(Math.max(...gatesMs)), "s", "time", GOALS.gatesSeconds);
    goal("gates never opened", missing, "", "amount", 0);
    goal("Lease, longest time between renewals", measured.leaseGapSeconds, "s", "time", LEASE_TIMES.writesMs / 1_000);
    goal("loop delay p99 of the new leader", row.loopP99Ms, "ms", "delay", GOALS.loopP99Ms);
    goal("loop delay p99 of the control process", row.controlP99Ms, "ms", "delay");
    goal("CPU of the new leader", row.cpuSeconds, "s", "amount");
    goal("RSS of the new leader", row.rssMiB, "MiB", "amount");
    goal("writes", row.writes, "", "amount");
    for (const [what, count] of countsOf(measured)) goal(what, count, "", "amount");
    console.log(`${pods} Pods, ${services} Services, ${agents} agents; seconds since the new leader has the Lease\n`);
    console.log(`${goalsText(goals)}\n\n${NOISE_LEGEND}`);
    console.log(`on ${cpus().length} cores with a load of ${load.toFixed(1)} before`);
    if (json !== undefined) {
      const machine = { cores: cpus().length, model: cpus()[0]?.model ?? "", node: process.version, loadBefore: load };
      const judged = goals.map((one) => ({ ...one, verdict: verdict(one) }));
      await writeFile(json, `${JSON.stringify({ machine, rows: [made], goals: judged }, undefined, 2)}\n`);
    }
    return goals.every((one) => verdict(one) !== "MISSED");
  } finally {
    await ground.stop();
    await control.stop();
  }
}
