/**
 * `npm run bench:scale`: what thousands of agents, and Pods that change all the time, cost one coordinator. The real code of the agents' links against a
 * real coordinator process; the API server and the cloud are emulated in this process and take no time of their own.
 */
import { writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { LEASE_TIMES } from "../../coordinator/leader/lease.ts";
import { argumentsOrExit, exitAfter } from "../../deploy/tools/arguments.ts";
import { drive, type Mix, quantile } from "./changes.ts";
import { type Ground, type Size, startGround } from "./ground.ts";
import { type Control, type Floor, type Floors, floorsOf, startControl } from "./helpers.ts";
import { type Measured, measure } from "./measure.ts";
import { perChange, ratioOf } from "./per-change.ts";
import { countsOf, type Goal, goalsText, limitFor, NOISE_LEGEND, type Row, rounded, verdict } from "./rows.ts";
import { untilAll } from "./wait.ts";
import { ADVISED, flagsOf, listOf, sizedOptions } from "./whole.ts";

const USAGE = `usage: npm run bench:scale -- [options]
  --agents 5000     nodes with an agent each
  --pods 30         Pods per agent, its own among them
  --services 2000   50 on each load balancer, 6 Pods each
  --rate 500        Pod changes per second
  --seconds 15      how long the Pods of each mix change
  --quick           100 agents of 10 Pods, 50 Services, 100 changes a second for 2 s: about a minute, without goals of loop delay and cores
  --rows LIST       only these of ramp,storm,changes,restart,side-by-side; the default is all of them
  --node-flags LIST flags of the coordinator's Node, e.g. --max-semi-space-size=16; the default is what the chart advises for the size
  --json FILE       writes the rows as JSON too
Exit code 1 if a goal is missed by more than a control process beside the coordinator explains; 2 for a mistake in the options.
The goals are those of the default size.`;

const FULL = { agents: 5_000, pods: 30, services: 2_000, rate: 500, seconds: 15 };
const QUICK: typeof FULL = { agents: 100, pods: 10, services: 50, rate: 100, seconds: 2 };

/** Throws an Error that names the option. */
function readOptions(args: string[]) {
  const texts = { rows: ROWS.join(","), "node-flags": ADVISED };
  const { sizes, isQuick, json, help, given } = sizedOptions(args, FULL, QUICK, { least: { pods: 2 }, texts });
  const rows = listOf(given.rows);
  const unknown = rows.find((row) => !ROWS.includes(row));
  if (unknown !== undefined) throw new RangeError(`--rows has "${unknown}": use some of ${ROWS.join(",")}`);
  return { ...sizes, rows, flags: flagsOf(given["node-flags"], sizes.services), size: isQuick ? "quick" : "full", json, help } as const;
}

const ROWS: readonly string[] = ["ramp", "storm", "changes", "restart", "side-by-side"];

type Options = Omit<ReturnType<typeof readOptions>, "json" | "help">;

/**
 * Goals of the default size; see the usage. Memory may be `floorFactor` times what idle connections take, and `perPodKiB` on top. An arrival may take
 * that many times what grpc-js takes that does nothing but acknowledge the same snapshots, in time and in CPU, where that is more than the goal: it is
 * the control process of the arrivals, since its clients, too, share the cores with it.
 */
const GOALS = {
  ackedSeconds: 20,
  rampCpuSeconds: 6,
  rssMiB: 800,
  floorFactor: 1.5,
  perPodKiB: 2,
  cores: 0.25,
  loopP99Ms: 20,
  ownMsP99: 250,
  cpuRatio: 1.3,
} as const;
/** So few Services for comparison. */
const FEW = 10;
/** The ramp of 5 000 agents; fewer take as much less. */
const RAMP_MS_PER_AGENT = 14_000 / 5_000;
/**
 * Then a storm counts as one that never passes, and what was to be bound as not settled: nothing has come for so long, or all in all for
 * longer than what follows is worth. A machine that others use too is slow, and is waited for while it goes on.
 */
const PATIENCE = { full: { stalledMs: 30_000, mostMs: 300_000 }, quick: { stalledMs: 10_000, mostMs: 20_000 } } as const;
/** What a coordinator at rest costs is measured so long, as a share of the measurement, and taken off the cost of a change. */
const REST_SHARE = 0.4;
const WARM_SHARE = 0.5;
/** After a change, status, Events and what waits for company or its time; it is not counted as rest. */
const LAST_WORDS_MS = 3_000;
/** Agents of each of the two that are compared: their Pods are more than 2 000 Services select. */
const SIDE_AGENTS = 500;
/** Of `--seconds`, a turn of one of the two. */
const TURN_SHARE = 0.2;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** One run: rows and goals grow while it goes on. */
class Run {
  readonly rows: Row[] = [];
  readonly goals: Goal[] = [];
  readonly options: Options;
  readonly ground: Ground;
  readonly control: Control;
  readonly floors: Floors;
  services = 0;

  constructor(options: Options, ground: Ground, control: Control, floors: Floors) {
    this.options = options;
    this.ground = ground;
    this.control = control;
    this.floors = floors;
  }

  measured<T>(work: () => Promise<T>, fresh = false): Promise<Measured<T>> {
    return measure(this, work, { fresh });
  }

  row(name: string, { row }: Measured<unknown>, more: Partial<Row> = {}): void {
    const { agents, pods } = this.options;
    const none = { ackedSeconds: null, ownMsP50: null, ownMsP99: null };
    this.rows.push(rounded({ name, agents, pods: agents * pods, services: this.services, rate: 0, ...none, ...row, ...more }));
    console.error(JSON.stringify(this.rows.at(-1))); // a run that is broken off has told something
  }

  goal(row: string, what: string, value: number | null, unit: string, kind: Goal["kind"], atMost?: number): void {
    const controlP99Ms = this.rows.at(-1)?.controlP99Ms ?? 0;
    const limit = limitFor(this.options.size, { kind, unit, ...(atMost !== undefined && { atMost }) });
    this.goals.push({ row, what, value, unit, kind, controlP99Ms, ...(limit !== undefined && { atMost: limit }) });
  }

  /** Seconds from `fromMs` until all agents are acknowledged; null if that never comes. */
  async acknowledged(fromMs: number): Promise<number | null> {
    const { agents, size } = this.options;
    const came = await untilAll(() => this.ground.acknowledged(), agents, PATIENCE[size]);
    if (came >= agents) return (performance.now() - fromMs) / 1_000;
    console.error(`${came} of ${agents} agents are acknowledged after ${Math.round((performance.now() - fromMs) / 1_000)} s: given up`);
    return null;
  }

  async connect(overMs: number): Promise<number | null> {
    const fromMs = performance.now();
    const failed = Promise.withResolvers<never>();
    void this.ground.runAgents(overMs).catch(failed.reject); // where handshakes fail again and again, not even the last start comes in time
    return await Promise.race([this.acknowledged(fromMs), failed.promise]);
  }

  /** A new coordinator process, in place of the one that there is. */
  async replaceCoordinator(): Promise<void> {
    await this.ground.product.coordinator()?.stop();
    await this.ground.product.startCoordinator();
  }
}

function arrival(run: Run, name: string, measured: Measured<number | null>, cpuSeconds?: number): void {
  const { streams } = run.floors;
  run.row(name, measured, { ackedSeconds: measured.result });
  const beside = (goal: number, floor: number): number => Math.max(goal, GOALS.floorFactor * floor);
  run.goal(name, "all acknowledged", measured.result, "s", "time", beside(GOALS.ackedSeconds, streams.seconds));
  run.goal(name, "... by grpc-js that acknowledges the same snapshots", streams.seconds, "s", "time");
  run.goal(name, "CPU", measured.row.cpuSeconds, "s", "amount", cpuSeconds && beside(cpuSeconds, streams.cpuSeconds));
  const msPerAgent = (seconds: number | null): number | null => seconds && (seconds * 1_000) / run.options.agents;
  run.goal(name, "CPU per agent", msPerAgent(measured.row.cpuSeconds), "ms", "amount");
  run.goal(name, "... of a bare server that holds idle sessions", msPerAgent(run.floors.bare.cpuSeconds), "ms", "amount");
  run.goal(name, "... of grpc-js that acknowledges the same snapshots", msPerAgent(streams.cpuSeconds), "ms", "amount");
  for (const [code, count] of Object.entries(measured.ends)) run.goal(name, `streams that ended with ${code}`, count, "", "amount");
  for (const [what, count] of countsOf(measured)) run.goal(name, what, count, "", "amount");
  run.goal(name, "nodes watched in place of their agent", measured.fallbacks, "", "amount", cpuSeconds === undefined ? 0 : undefined);
  run.goal(name, "Lease, longest time between renewals", measured.leaseGapSeconds, "s", "time", LEASE_TIMES.writesMs / 1_000);
  run.goal(name, "loop delay p99", measured.row.loopP99Ms, "ms", "delay");
  run.goal(name, "loop delay p99 of the control process", measured.row.controlP99Ms, "ms", "delay");
  run.goal(name, "RSS", measured.row.rssMiB, "MiB", "amount");
}

async function ramp(run: Run): Promise<void> {
  const measured = await run.measured(() => run.connect(run.options.agents * RAMP_MS_PER_AGENT));
  arrival(run, "ramp", measured, GOALS.rampCpuSeconds);
}

async function storm(run: Run): Promise<void> {
  await run.ground.fleet.halt();
  await run.replaceCoordinator();
  arrival(run, "storm", await run.measured(() => run.connect(0)));
  if (run.ground.acknowledged() >= run.options.agents) return;
  console.error("the storm does not pass: the agents come in one after the other for what follows");
  await run.ground.fleet.halt();
  await run.replaceCoordinator();
  await run.connect(2 * run.options.agents * RAMP_MS_PER_AGENT);
}

async function restart(run: Run): Promise<void> {
  await run.ground.product.coordinator()?.stop();
  const fromMs = performance.now();
  const measured = await run.measured(async () => {
    const [, seconds] = await Promise.all([
      run.ground.product.startCoordinator().catch((error: unknown) => console.error(String(error))),
      run.acknowledged(fromMs),
    ]);
    return seconds;
  }, true);
  arrival(run, "restart", measured);
}

/** Until the Services up to that number have everything bound; undefined when that takes too long. */
async function settle(run: Run, services: number): Promise<number | undefined> {
  const { ground } = run;
  const fromMs = performance.now();
  ground.addServices(run.services, services);
  run.services = services;
  const wanted = services + ground.selected(services);
  const made = await untilAll(() => ground.listeners() + ground.bound(), wanted, PATIENCE[run.options.size]);
  const seconds = (performance.now() - fromMs) / 1_000;
  const settled = made >= wanted ? seconds : undefined;
  if (settled === undefined)
    console.error(`${services} Services: ${made} of ${wanted} listeners and targets are there after ${Math.round(seconds)} s: given up`);
  await pause(1_000); // status and Events are written after the last bind
  return settled;
}

async function memory(run: Run): Promise<void> {
  const { agents, pods, services } = run.options;
  const measured = await run.measured(() => settle(run, services));
  run.row("Services", measured);
  const limit = Math.max(GOALS.rssMiB, GOALS.floorFactor * run.floors.bare.mib + (GOALS.perPodKiB * agents * pods) / 1_024);
  run.goal("Services", "all bound", measured.result ?? null, "s", "time");
  run.goal("Services", "CPU", measured.row.cpuSeconds, "s", "amount");
  run.goal("Services", "RSS", measured.row.rssMiB, "MiB", "amount", limit);
  run.goal("Services", "floor of the connections", run.floors.bare.mib, "MiB", "amount");
}

const NAMES: Readonly<Record<Mix, string>> = { touch: "touches of unselected Pods", flip: "ready flips", churn: "churn" };

async function change(run: Run, mix: Mix, restCores: number | undefined): Promise<void> {
  const { rate, seconds } = run.options;
  const name = `${NAMES[mix]}, ${run.services} Services`;
  const measured = await run.measured(() => drive(run.ground, mix, { rate, seconds }));
  const { result, row } = measured;
  const { p50: ownMsP50 = null, p99: ownMsP99 = null } = measured.ownMs.ours ?? {};
  run.row(name, measured, { rate: result.changes / result.seconds, ownMsP50, ownMsP99 });
  const { cpuSeconds } = row;
  const perChangeMs =
    cpuSeconds === null || restCores === undefined ? undefined : ((cpuSeconds - restCores * measured.seconds) * 1_000) / result.changes;
  run.goal(name, "changes", result.changes / result.seconds, "/s", "amount");
  run.goal(name, "CPU", cpuSeconds === null ? null : cpuSeconds / result.seconds, "cores", "amount", GOALS.cores);
  run.goal(name, "CPU per change, rest taken off", perChangeMs ?? null, "ms", "amount");
  for (const [what, count] of countsOf(measured)) run.goal(name, what, count, "", "amount");
  run.goal(name, "Lease, longest time between renewals", measured.leaseGapSeconds, "s", "time", LEASE_TIMES.writesMs / 1_000);
  run.goal(name, "loop delay p99", row.loopP99Ms, "ms", "delay", GOALS.loopP99Ms);
  run.goal(name, "loop delay p99 of the control process", row.controlP99Ms, "ms", "delay");
  if (mix !== "churn") return;
  run.goal(name, "ready to gate, p50", quantile(result.gateMs, 0.5) ?? null, "ms", "time");
  run.goal(name, "ready to gate, p99", quantile(result.gateMs, 0.99) ?? null, "ms", "time");
  for (const [stage, ms] of Object.entries(measured.stageMs)) run.goal(name, `of it on the average: ${stage}`, ms, "ms", "time");
  run.goal(name, "own share, p50", ownMsP50, "ms", "time");
  run.goal(name, "own share, p99", ownMsP99, "ms", "time", GOALS.ownMsP99);
  const { ours: _, ...others } = measured.ownMs;
  for (const [part, { p50, p99 }] of Object.entries(others)) {
    run.goal(name, `... ${part}, p50`, p50, "ms", "time");
    run.goal(name, `... ${part}, p99`, p99, "ms", "time");
  }
  run.goal(name, "gates never opened", result.unopened, "", "amount", 0);
}

/** Cores that the coordinator takes while nothing changes. */
async function restOf(run: Run): Promise<number | undefined> {
  await pause(LAST_WORDS_MS);
  const { row, seconds } = await run.measured(() => pause(run.options.seconds * REST_SHARE * 1_000));
  const cores = row.cpuSeconds === null ? undefined : row.cpuSeconds / seconds;
  run.goal(`at rest, ${run.services} Services`, "CPU", cores ?? null, "cores", "amount");
  return cores;
}

async function changes(run: Run): Promise<void> {
  const few = Math.min(FEW, run.options.services);
  await settle(run, few);
  const { rate, seconds } = run.options;
  await drive(run.ground, "touch", { rate, seconds: WARM_SHARE * seconds }); // code that was never run before is slow
  await change(run, "touch", await restOf(run));
  await memory(run);
  const rest = await restOf(run);
  for (const mix of ["touch", "flip", "churn"] as const) await change(run, mix, rest);
}

/** Few and many Services side by side, after everything else has gone: each of the two needs room. */
async function sideBySide(run: Run): Promise<void> {
  const { agents, pods, services, rate, seconds, size, flags } = run.options;
  const few = Math.min(FEW, services);
  const row = "CPU per touch, side by side";
  const sizes = {
    agents: Math.min(agents, SIDE_AGENTS),
    pods,
    few,
    many: services,
    rate,
    seconds: seconds * TURN_SHARE,
    patience: PATIENCE[size],
    flags,
  };
  const costs = await perChange(sizes, run.control);
  const ratio = costs && ratioOf(costs);
  for (const [what, values] of [
    [`${few} Services, median`, costs?.few],
    [`${services} Services, median`, costs?.many],
  ] as const)
    run.goal(row, what, quantile(values ?? [], 0.5) ?? null, "ms", "amount");
  run.goal(row, `${few} to ${services} Services`, ratio?.median ?? null, "x", "amount", GOALS.cpuRatio);
  run.goal(row, "least of a turn", ratio?.least ?? null, "x", "amount");
  run.goal(row, "most of a turn", ratio?.most ?? null, "x", "amount");
}

/** What was measured until now is told. */
function toldUntilNow(run: Run, error: unknown): void {
  console.error(error instanceof Error ? error.stack : error);
  run.goal("all that follows", "could be measured", null, "", "amount", 1);
}

async function main(options: Options, json: string | undefined): Promise<boolean> {
  const size: Size = options;
  const [load = 0] = loadavg(); // of others, before we begin
  const floors = await floorsOf(options.agents, options.pods, options.flags);
  const told = ({ mib, cpuSeconds, seconds }: Floor): string =>
    `${Math.round(mib)} MiB, ${cpuSeconds.toFixed(1)} s of CPU, ${seconds.toFixed(1)} s`;
  console.error(`a bare server with ${options.agents} idle sessions: ${told(floors.bare)}`);
  console.error(`grpc-js, a snapshot of ${options.pods} Pods acknowledged over each: ${told(floors.streams)}`);
  const control = startControl();
  const ground = await startGround({ ...size, flags: options.flags, replicas: 1, begin: { ready: true, gateOpen: true } });
  const run = new Run(options, ground, control, floors);
  console.error("the cluster is filled");
  try {
    await ground.product.startCoordinator();
    console.error("a coordinator leads");
    const is = (row: string): boolean => options.rows.includes(row);
    if (is("ramp")) await ramp(run);
    if (is("storm")) await storm(run);
    if (!is("ramp") && !is("storm")) await run.connect(2 * options.agents * RAMP_MS_PER_AGENT);
    if (is("changes")) await changes(run);
    if (is("restart")) await restart(run);
  } catch (error) {
    toldUntilNow(run, error);
  } finally {
    await ground.stop();
  }
  if (options.rows.includes("side-by-side")) await sideBySide(run).catch((error: unknown) => toldUntilNow(run, error));
  await control.stop();
  const { agents, pods, services, rate } = options;
  console.log(
    `${agents} agents x ${pods} Pods, ${services} Services, ${rate} changes a second; CPU and memory are the coordinator's own\n`,
  );
  console.log(`${goalsText(run.goals)}\n\n${NOISE_LEGEND}`);
  const ends = Object.entries(ground.fleet.ends()).map(([code, count]) => `${count} ${code}`);
  console.log(
    `streams that ended: ${ends.join(", ") || "none"}; the agents' processes took ${ground.fleet.cpuSeconds().toFixed(1)} s of CPU`,
  );
  console.log(`on ${cpus().length} cores with a load of ${load.toFixed(1)} before`);
  const missed = run.goals.filter((goal) => verdict(goal) === "MISSED");
  if (json !== undefined) {
    const machine = { cores: cpus().length, model: cpus()[0]?.model ?? "", node: process.version, loadBefore: load };
    const goals = run.goals.map((goal) => ({ ...goal, verdict: verdict(goal) }));
    await writeFile(json, `${JSON.stringify({ machine, floors, rows: run.rows, goals }, undefined, 2)}\n`);
  }
  return missed.length === 0;
}

const { json, help: _help, ...options } = argumentsOrExit(USAGE, readOptions);
await exitAfter(() => main(options, json));
