/** A rollout under load that something disturbs, and what must hold however it was disturbed. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import type { JournalEntry } from "../cloud/journal/journal.ts";
import type { Pod } from "../cluster/simulated/objects.ts";
import { changedExample, rollOut } from "./examples.ts";
import { assertNoOverlaps, cloudWrites, clusterWrites, startClient } from "./look.ts";
import { applyExample, until, type World } from "./world.ts";

/** Whatever the API server answers at the moment. */
export const podsOf = (world: World): readonly Pod[] => world.pods();

export const isTrue = (pod: Pod, condition: string): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === condition && status === "True") === true;
const isEnding = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined;

/** A Pod's life; milliseconds since the epoch. `endingMs`: deletion asked for, or the object gone. */
export type Life = { readonly name: string; readonly bornMs: number; ip: string | undefined; endingMs: number | undefined };

const TRACK_EVERY_MS = 20;

/** The lives of the example's Pods by UID. Ends with the test. */
export function trackPods(t: TestContext, world: World): ReadonlyMap<string, Life> {
  const lives = new Map<string, Life>();
  const look = (): void => {
    const now = Date.now();
    const pods = podsOf(world);
    for (const pod of pods) {
      const life = lives.get(pod.metadata.uid) ?? { name: pod.metadata.name, bornMs: now, ip: undefined, endingMs: undefined };
      life.ip ??= pod.status?.podIP;
      if (isEnding(pod)) life.endingMs ??= now;
      lives.set(pod.metadata.uid, life);
    }
    const present = new Set(pods.map(({ metadata }) => metadata.uid));
    for (const [uid, life] of lives) if (!present.has(uid)) life.endingMs ??= now;
  };
  const timer = setInterval(look, TRACK_EVERY_MS);
  t.after(() => clearInterval(timer));
  return lives;
}

/** `all`; or `of those that have one`: a Pod that was created while no coordinator ran has none, since the webhook fails open. */
export type Gates = "all" | "of those that have one";

/** Every Pod that lives is ready, by its gate too, and the cloud sends to these and has nobody else. */
function isConverged(world: World, replicas: number, gates: Gates): boolean {
  const pods = podsOf(world);
  const waits = (pod: (typeof pods)[number]): boolean =>
    !isTrue(pod, DEFAULT_GATE_TYPE) && (gates === "all" || pod.spec.readinessGates !== undefined);
  if (pods.length !== replicas || pods.some((pod) => isEnding(pod) || !isTrue(pod, "Ready") || waits(pod))) return false;
  const targets = world.cloud.cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
  const serving = new Set(targets.filter(({ weight, health }) => weight > 0 && health === "Alive").map(({ ip }) => ip));
  return targets.length === replicas && pods.every(({ status }) => serving.has(status?.podIP ?? ""));
}

export const converged = (world: World, replicas: number, limitMs = 40_000, gates: Gates = "all"): Promise<unknown> =>
  until(
    () =>
      `${replicas} Pods ready and bound; Pods: ${JSON.stringify(podsOf(world).map((pod) => [pod.metadata.name, isTrue(pod, "Ready"), pod.metadata.deletionTimestamp]))}, cloud: ${JSON.stringify(world.cloud.cloud.state().loadBalancers.map(({ listeners }) => listeners.map(({ targets }) => targets)))}`,
    () => isConverged(world, replicas, gates),
    limitMs,
  );

export type Rollout = { readonly world: World; readonly lives: ReadonlyMap<string, Life> };
type Disturb = (rollout: Rollout) => Promise<void>;

const REPLICAS = 4;
/** The example's own: what a user has who wants that a short absence of ours costs no request. */
const SLEEP_SECONDS = 8;
/** Requests per second; cloud, nodes, Pods and client share one process here, and other test files the machine. */
const RATE = 40;

/**
 * Starts the example. Each call of the result sends requests, rolls it and calls `disturb` when the first new Pod is being bound. Then it
 * waits for the end and checks that no request failed, nothing that lives was unbound, nothing was bound twice, and silence follows.
 */
export async function disturbedRollouts(t: TestContext, world: World): Promise<(disturb: Disturb) => Promise<void>> {
  const lives = trackPods(t, world);
  await applyExample(world, changedExample({ replicas: REPLICAS, sleepSeconds: SLEEP_SECONDS }));
  await converged(world, REPLICAS);
  let version = 1;
  return async (disturb) => {
    version += 1;
    await rollOutDisturbed({ world, lives }, String(version), disturb);
  };
}

/** One of them. */
export async function disturbedRollout(t: TestContext, world: World, disturb: Disturb): Promise<void> {
  const roll = await disturbedRollouts(t, world);
  await roll(disturb);
}

async function rollOutDisturbed({ world, lives }: Rollout, version: string, disturb: Disturb): Promise<void> {
  const before = new Set(podsOf(world).map(({ metadata }) => metadata.uid));
  const load = startClient(world, { rate: RATE });
  try {
    await rollOut(world, version);
    await until("a new Pod with ready containers", () =>
      podsOf(world).some((pod) => !before.has(pod.metadata.uid) && isTrue(pod, "ContainersReady")),
    );
    await disturb({ world, lives });
    await until("the old Pods gone", () => podsOf(world).every(({ metadata }) => !before.has(metadata.uid)), 40_000);
    await converged(world, REPLICAS, 40_000, "of those that have one");
  } finally {
    const { failures, requests } = await load.stop();
    const named = failures.map((failure) => ({
      ...failure,
      backend: failure.localPort === undefined ? undefined : world.cloud.cloud.connectionsOf({ port: failure.localPort })[0]?.backend,
    }));
    assert.deepEqual(
      named.slice(0, 5),
      [],
      `${failures.length} of ${requests} requests failed; the Pods: ${JSON.stringify([...lives.values()])}`,
    );
    assert.ok(requests > RATE * 5, `only ${requests} requests were sent`);
  }
  checkSafety(world, lives);
  await becomesIdle(world);
}

/** When the API server was first asked to delete a Pod, by its name: a look at a server that was away comes late. */
function deletionsOf(world: World): ReadonlyMap<string, number> {
  const deletions = world.requests().filter(({ verb, resource, code }) => verb === "delete" && resource === "pods" && code < 300);
  return new Map(deletions.toReversed().map(({ name, atMs }) => [name, atMs]));
}

const journal = (world: World): readonly JournalEntry[] => world.cloud.cloud.journal.since(0);

/** A coordinator hears of an end after the store has it; our look at the store may be late by this much. */
const LOOK_LATE_MS = 250;

/** Nothing that lives was unbound, nothing that was bound was bound again, no two writes overlapped. */
export function checkSafety(world: World, lives: ReadonlyMap<string, Life>): void {
  const asked = deletionsOf(world);
  for (const entry of journal(world)) {
    if (entry.kind !== "target" || entry.change === "bound" || entry.weight > 0) continue;
    const alive = [...lives.values()].find(
      ({ name, ip, bornMs, endingMs = Infinity }) =>
        ip === entry.ip && bornMs <= entry.timeMs && Math.min(endingMs, asked.get(name) ?? Infinity) > entry.timeMs + LOOK_LATE_MS,
    );
    assert.equal(alive, undefined, `${entry.change} of ${entry.ip} at ${entry.timeMs}, whose Pod lived`);
  }
  const named = journal(world)
    .filter((entry) => entry.kind === "call")
    .filter(({ action, code }) => action === "BatchRegisterTargets" && (code === "OK" || code === "LostResponse"))
    .reduce((sum, { targets }) => sum + targets, 0);
  const bound = journal(world).filter((entry) => entry.kind === "target" && entry.change === "bound").length;
  assert.equal(named, bound, "some bind named a target that was bound already");
  assertNoOverlaps(world);
}

const QUIET_MS = 2_500;

/** Within a while the product writes nothing any more, neither to the cloud nor to the API server. */
export async function becomesIdle(world: World, limitMs = 12_000): Promise<void> {
  const writes = (): string[] => [...cloudWrites(world), ...clusterWrites(world)];
  let last = { count: writes().length, sinceMs: Date.now() };
  await until(
    () => `no write for ${QUIET_MS} ms; the last: ${writes().slice(-5).join(", ")}`,
    () => {
      const count = writes().length;
      if (count !== last.count) last = { count, sinceMs: Date.now() };
      return Date.now() - last.sinceMs >= QUIET_MS;
    },
    limitMs,
  );
}

/** The sum of a metric's samples whose labels contain `labels`, e.g. metric(url, "clb_direct_fallbacks_total", 'change="on"'). */
export async function metric(opsUrl: string, name: string, labels = ""): Promise<number> {
  const text = await (await fetch(`${opsUrl}/metrics`, { signal: AbortSignal.timeout(5_000) })).text();
  return text
    .split("\n")
    .filter((line) => (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
