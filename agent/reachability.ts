import type { Clock } from "../common/clock.ts";
import { isCancelled } from "../common/errors.ts";
import { yieldTurn } from "../common/event-loop.ts";
import { type Latch, makeLatch } from "../common/latch.ts";
import type { Logger } from "../common/log.ts";
import type { PodTask, PodVerdict, PortTask, PortVerdict, ProbeResult, SecurityGroup } from "../common/reachability.ts";
import type { PodFact } from "../common/vocabulary.ts";
import type { ProbePort } from "./adapters/port-probe.ts";
import { type CompiledGroup, compileGroup } from "./domain/reachability/group.ts";
import { groupVerdicts } from "./domain/reachability/verdict.ts";

export type ReachabilityDeps = {
  /** The Pods of this node, by UID: nothing else is ever connected to. */
  readonly pods: () => ReadonlyMap<string, PodFact>;
  readonly probe: ProbePort;
  /** A verdict has changed. */
  readonly onChange: () => void;
  readonly onProbe: (result: ProbeResult) => void;
  readonly clock: Clock;
  readonly log: Logger;
};

/** What coordinators asked of this agent, and what came of it. */
export interface Reachability {
  /** `complete`: these are all, whoever asked before. */
  setTasks(tasks: readonly PodTask[], removed: readonly string[], complete: boolean): void;
  setGroup(group: SecurityGroup): void;
  /** By UID of the Pod; a new map after each change. */
  readonly verdicts: ReadonlyMap<string, PodVerdict>;
  /** Until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Connections that are tried at once; a node has at most a few hundred Pods, of which few start together. */
const MOST_PROBES = 16;
/** Connections tried in a second, whatever is asked. */
const PROBES_PER_SECOND = 50;
/** A port that does not answer yet is tried again so soon: an application starts. */
const AGAIN_MS = 1_000;
/** After so many tries it is one that needs a person. */
const QUICK_TRIES = 30;
const SLOW_AGAIN_MS = 15_000;
/** One that answers is asked again, lest an old verdict stands for ever. */
const OPEN_AGAIN_MS = 120_000;
/** Pods with a task: more than a node may have (Kubernetes' own limit is 110, TKE's 256). */
const MOST_PODS = 1_024;
/** Groups that are remembered. */
const MOST_GROUPS = 256;

type Probe = { readonly port: PortTask; result: ProbeResult; text: string; tries: number; dueMs: number; isRunning: boolean };
type Asked = { readonly task: PodTask; readonly probes: readonly Probe[] };

export const makeReachability = (deps: ReachabilityDeps): Reachability => new Tasks(deps);

class Tasks implements Reachability {
  readonly #deps: ReachabilityDeps;
  readonly #latch: Latch;
  readonly #asked = new Map<string, Asked>();
  readonly #groups = new Map<string, CompiledGroup>();
  /** Pods whose verdict is to be made anew. */
  readonly #due = new Set<string>();
  #verdicts: ReadonlyMap<string, PodVerdict> = new Map();
  #running = 0;
  #nextProbeMs = Number.NEGATIVE_INFINITY;

  constructor(deps: ReachabilityDeps) {
    this.#deps = deps;
    this.#latch = makeLatch(deps.clock);
  }

  get verdicts(): ReadonlyMap<string, PodVerdict> {
    return this.#verdicts;
  }

  setTasks(tasks: readonly PodTask[], removed: readonly string[], complete: boolean): void {
    const wanted = new Set(tasks.map(({ uid }) => uid));
    if (complete) for (const uid of this.#asked.keys()) if (!wanted.has(uid)) this.#drop(uid);
    for (const uid of removed) this.#drop(uid);
    for (const task of tasks) this.#set(task);
    this.#latch.set();
  }

  setGroup(group: SecurityGroup): void {
    this.#groups.delete(group.id);
    const [oldest] = this.#groups.keys();
    if (this.#groups.size >= MOST_GROUPS && oldest !== undefined) this.#groups.delete(oldest);
    this.#groups.set(group.id, compileGroup(group));
    for (const [uid, { task }] of this.#asked) if (isJudgedBy(task, group.id)) this.#due.add(uid);
    this.#latch.set();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#evaluate();
      } catch (err) {
        this.#deps.log.error({ err }, "verdicts not made");
      }
      const nextMs = this.#startProbes(signal);
      if (this.#due.size === 0) await this.#latch.wait(nextMs - this.#deps.clock.now(), signal);
    }
  }

  #drop(uid: string): void {
    this.#asked.delete(uid);
    this.#due.add(uid);
  }

  #set(task: PodTask): void {
    const known = this.#asked.get(task.uid);
    if (known === undefined && this.#asked.size >= MOST_PODS)
      return this.#deps.log.warn({ uid: task.uid, most: MOST_PODS }, "more tasks than a node has Pods");
    // A port that was tried already keeps its answer: its groups or its load balancer have changed, not the Pod.
    const before = known?.task.ip === task.ip ? known.probes : [];
    const dueMs = this.#deps.clock.now();
    const probes = task.ports.map((port): Probe => {
      const same = before.find((one) => isSamePort(one.port, port));
      return same === undefined
        ? { port, result: "pending", text: "", tries: 0, dueMs, isRunning: false }
        : { ...same, port, isRunning: false };
    });
    this.#asked.set(task.uid, { task, probes });
    this.#due.add(task.uid);
  }

  async #evaluate(): Promise<void> {
    const changed = new Map(this.#verdicts);
    let isNew = false;
    for (const uid of new Set(this.#due)) {
      this.#due.delete(uid);
      const one = this.#asked.get(uid);
      const verdict = one && verdictOf(one, this.#groups);
      if (isSame(changed.get(uid), verdict)) continue;
      isNew = true;
      if (verdict === undefined) changed.delete(uid);
      else changed.set(uid, verdict);
      await yieldTurn(); // a group of 1 000 rules takes milliseconds
    }
    if (!isNew) return;
    this.#verdicts = changed;
    this.#deps.onChange();
  }

  /** Starts what is due; the time of the next. */
  #startProbes(signal: AbortSignal): number {
    const { clock } = this.#deps;
    let nextMs = Number.POSITIVE_INFINITY;
    const pods = this.#deps.pods();
    for (const [uid, { task, probes }] of this.#asked) {
      const pod = pods.get(uid);
      if (pod === undefined || !pod.ips.includes(task.ip)) continue; // not of this node, or not any more
      for (const probe of probes) {
        if (probe.isRunning || !isFirst(probe, probes)) continue;
        if (probe.dueMs > clock.now()) nextMs = Math.min(nextMs, probe.dueMs);
        else if (this.#running >= MOST_PROBES)
          return nextMs; // the end of one wakes us
        else if (this.#nextProbeMs > clock.now()) return Math.min(nextMs, this.#nextProbeMs);
        else {
          this.#nextProbeMs = clock.now() + 1_000 / PROBES_PER_SECOND;
          void this.#try(uid, task.ip, probe, signal);
        }
      }
    }
    return nextMs;
  }

  async #try(uid: string, ip: string, probe: Probe, signal: AbortSignal): Promise<void> {
    const { log, clock, onProbe } = this.#deps;
    probe.isRunning = true;
    this.#running += 1;
    try {
      const { result, text } = await this.#deps.probe({ ip, port: probe.port.port, protocol: probe.port.protocol }, signal);
      onProbe(result);
      Object.assign(probe, { result, text, tries: probe.tries + 1 });
      probe.dueMs = clock.now() + pauseAfter(probe);
      // The task may have been replaced meanwhile: its probe of the same port has this answer as well.
      const now = this.#asked.get(uid);
      for (const other of now?.task.ip === ip ? now.probes : [])
        if (isSamePort(other.port, probe.port)) Object.assign(other, { result, text, tries: probe.tries, dueMs: probe.dueMs });
      this.#due.add(uid);
    } catch (err) {
      if (!isCancelled(err, signal)) log.error({ err, ip }, "probe failed");
    } finally {
      probe.isRunning = false;
      this.#running -= 1;
      this.#latch.set();
    }
  }
}

const isSamePort = (one: PortTask, other: PortTask): boolean => one.port === other.port && one.protocol === other.protocol;

const isJudgedBy = ({ ports }: PodTask, groupId: string): boolean =>
  ports.some(({ groups, sources }) => groups.includes(groupId) || sources.some(({ admittedBy }) => admittedBy.includes(groupId)));

/** Two places that send to the same port are one connection. */
const isFirst = (probe: Probe, probes: readonly Probe[]): boolean => probes.find(({ port }) => isSamePort(port, probe.port)) === probe;

function pauseAfter({ result, tries }: Probe): number {
  if (result === "not-checked") return Number.POSITIVE_INFINITY;
  if (result === "open") return OPEN_AGAIN_MS;
  return tries < QUICK_TRIES ? AGAIN_MS : SLOW_AGAIN_MS;
}

function verdictOf({ task, probes }: Asked, groups: ReadonlyMap<string, CompiledGroup>): PodVerdict {
  const ports = probes.map((probe): PortVerdict => {
    const { result, text } = probes.find(({ port }) => isSamePort(port, probe.port)) ?? probe;
    return { key: probe.port.key, probe: result, probeText: text, sources: groupVerdicts(probe.port, task.ip, (id) => groups.get(id)) };
  });
  return { uid: task.uid, ports };
}

const isSame = (one: PodVerdict | undefined, other: PodVerdict | undefined): boolean => JSON.stringify(one) === JSON.stringify(other);
