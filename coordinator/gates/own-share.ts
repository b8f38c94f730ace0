import type { Clock } from "../../common/clock.ts";
import { isEnding, type PodFact } from "../../common/vocabulary.ts";
import type { Call } from "../domain/call.ts";
import { GATE_STAGES, type GateStage, type GateStages, type StagesSoFar } from "../domain/readiness/gate-condition.ts";
import type { PodChange } from "../state/pod-facts.ts";
import { type PodIndex, waitsForGate } from "../state/pod-index.ts";

/** What of the time from containers ready to the gate True is not the cloud's work. */
export type OwnSharePart = "ours" | "late" | "turn" | "apiserver" | "poll" | "api";

/**
 * A write that ended well. `claimMs`: how long the API server took to store its addresses; `turn`: when it waited for its turn by the rate limit; `freeMs`: when its load balancer's lock was free.
 * Milliseconds since the epoch, as all times here.
 */
type Made = {
  readonly call: Call;
  readonly result: string;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly claimMs: number;
  readonly turn?: { readonly fromMs: number; readonly untilMs: number } | undefined;
  readonly freeMs: number;
};
/** When a question about health was asked, when the one before it, and when it was answered. */
type Questioned = { readonly beforeMs: number | undefined; readonly askedMs: number; readonly answeredMs: number };

export type OwnShareDeps = {
  readonly pods: Pick<PodIndex, "byIp" | "follow">;
  readonly clock: Clock;
  /** For metrics; once for each part that a gate had. */
  readonly observe: (part: OwnSharePart, seconds: number) => void;
  /** For metrics; once for each gate and stage. */
  readonly observeStage: (stage: GateStage, seconds: number) => void;
};

/**
 * `toCallMs`: from the event to the call, without the time in which another write held the load balancer, and without `turnMs`; `knownMs`: when an answer told that
 * it is bound, and serves where that is checked.
 */
type Way = {
  readonly readyMs: number;
  /** Its containers were ready before anybody told of it, which was then: `readyMs` is what the Pod says, to the second. */
  readonly lateMs?: number;
  readonly toCallMs?: number;
  readonly turnMs?: number;
  readonly claimMs?: number;
  readonly calledMs?: number;
  readonly boundMs?: number;
  readonly pollMs?: number;
  readonly apiMs?: number;
  readonly knownMs?: number;
};

/** Times in a Pod's status are whole seconds. */
const SECOND_MS = 1_000;
/** Pods on their way, and opened ones; above so many those that have been there for longest are forgotten. */
const MOST = 20_000;

/**
 * Measures the coordinator's own share of each gate's time in parts: *ours*, from the event to the call and from the answer to the patch;
 * *turn*, what of that the load balancer had to wait for a call by the rate limit; *apiserver*, until the claim before the call and the patch were answered; *poll*, how long the question before the one that told of health was
 * ago, which is the longest that the news can have waited; *api*, how long that question took. Of Pods whose containers were ready before anybody
 * told of them, e.g. when a leader began, *late* is what is *ours* of others, from when they were told of; they have stages, and no other figures.
 */
export class OwnShare {
  readonly #deps: OwnShareDeps;
  readonly #ways = new Map<string, Way>();
  /** Of the Pods whose gates were opened here. */
  readonly #stages = new Map<string, GateStages>();

  constructor(deps: OwnShareDeps) {
    this.#deps = deps;
    deps.pods.follow((change) => this.#podChanged(change));
  }

  #podChanged({ before, after }: Pick<PodChange, "before" | "after">): void {
    const uid = after?.uid ?? before?.uid ?? "";
    if (after === undefined) this.#stages.delete(uid);
    if (after === undefined || isEnding(after)) this.#ways.delete(uid);
    else if (waitsForGate(after) && after.containersReady && before?.containersReady !== true) this.#begin(after, before === undefined);
  }

  made({ call, result, startedMs, endedMs, claimMs, turn, freeMs }: Made): void {
    if (result !== "ok" || call.lane !== "bind") return;
    const bound = "targets" in call ? call.targets.map(({ podUid }) => podUid) : "weights" in call ? call.weights.map(this.#podAt) : [];
    for (const podUid of bound) {
      const way = podUid === undefined ? undefined : this.#ways.get(podUid);
      if (podUid === undefined || way === undefined) continue;
      const fromMs = Math.max(way.lateMs ?? way.readyMs, freeMs);
      const turnMs = turn === undefined ? 0 : Math.max(0, Math.min(turn.untilMs, startedMs) - Math.max(turn.fromMs, fromMs));
      const toCallMs = Math.max(0, startedMs - fromMs - turnMs);
      this.#ways.set(podUid, { ...way, toCallMs, turnMs, claimMs, calledMs: startedMs, boundMs: endedMs, knownMs: endedMs });
    }
  }

  /** The answer shows that the targets with these addresses serve now. */
  serving(ips: Iterable<string>, { beforeMs, askedMs, answeredMs }: Questioned): void {
    for (const ip of ips) {
      const podUid = this.#deps.pods.byIp(ip)?.uid;
      const way = podUid === undefined ? undefined : this.#ways.get(podUid);
      if (podUid === undefined || way?.boundMs === undefined) continue;
      const pollMs = askedMs - Math.min(askedMs, Math.max(beforeMs ?? 0, way.boundMs));
      this.#ways.set(podUid, { ...way, pollMs, apiMs: answeredMs - askedMs, knownMs: answeredMs });
    }
  }

  /** The patch that opened its gate has been answered, after so long. */
  opened({ uid }: Pick<PodFact, "uid">, patchMs: number): void {
    const way = this.#ways.get(uid);
    this.#ways.delete(uid);
    const before = way && stagesSoFar(way);
    if (way?.toCallMs === undefined || way.knownMs === undefined || before === undefined) return;
    const { clock, observe, observeStage } = this.#deps;
    const nowMs = clock.now();
    const stages: GateStages = { ...before, patch: (nowMs - way.knownMs) / 1000 };
    this.#stages.set(uid, stages);
    keepYoungest(this.#stages);
    const oursMs = Math.max(0, way.toCallMs + nowMs - way.knownMs - patchMs);
    if (way.lateMs !== undefined) return observe("late", oursMs / 1000);
    observe("ours", oursMs / 1000);
    if (way.turnMs !== undefined && way.turnMs > 0) observe("turn", way.turnMs / 1000);
    observe("apiserver", ((way.claimMs ?? 0) + patchMs) / 1000);
    for (const stage of GATE_STAGES) observeStage(stage, stages[stage]);
    if (way.pollMs !== undefined) observe("poll", way.pollMs / 1000);
    if (way.apiMs !== undefined) observe("api", way.apiMs / 1000);
  }

  /** How long each stage of its way took; undefined: its gate is not open, or somebody else saw it. */
  stagesOf(podUid: string): GateStages | undefined {
    return this.#stages.get(podUid);
  }

  /** The same before its gate is open, as far as it has come; undefined: it is not known to serve, or somebody else saw it. */
  stagesSoFar(podUid: string): StagesSoFar | undefined {
    const way = this.#ways.get(podUid);
    return way && stagesSoFar(way);
  }

  readonly #podAt = ({ ip }: { readonly ip: string }): string | undefined => this.#deps.pods.byIp(ip)?.uid;

  #begin({ uid, containersReadyAtMs }: PodFact, isLate: boolean): void {
    const nowMs = this.#deps.clock.now();
    const saidMs = (containersReadyAtMs ?? nowMs) + SECOND_MS - 1; // the last moment that it may mean
    this.#ways.set(uid, isLate ? { readyMs: Math.min(nowMs, saidMs), lateMs: nowMs } : { readyMs: nowMs });
    keepYoungest(this.#ways);
  }
}

function stagesSoFar({ readyMs, calledMs, boundMs, knownMs }: Way): StagesSoFar | undefined {
  if (calledMs === undefined || boundMs === undefined || knownMs === undefined) return undefined;
  return { wait: Math.max(0, calledMs - readyMs) / 1000, bind: (boundMs - calledMs) / 1000, check: (knownMs - boundMs) / 1000 };
}

function keepYoungest(all: Map<string, unknown>): void {
  const [oldest] = all.keys();
  if (all.size > MOST && oldest !== undefined) all.delete(oldest);
}
