import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { OVER } from "../../common/signals.ts";
import type { PodEnd, PodFact } from "../../common/vocabulary.ts";
import type { NodeState } from "../state/pod-facts.ts";
import { AgentSessions } from "./agent-sessions.ts";
import type { NodeSession, NodeWatchEvent, RemovedPod, SessionCallbacks, StreamObserver, WatchNode } from "./node-session.ts";
import type { PodStore, Teller } from "./pod-store.ts";
import type { ReportedPods } from "./reported-pods.ts";

export type NodePodsDeps = {
  readonly clock: Clock;
  readonly log: Logger;
  readonly watchNode: WatchNode;
  readonly observer: StreamObserver;
  /** How long a node may be without an agent before we watch its Pods ourselves, e.g. 10_000 (AGENT_GRACE_MS). */
  readonly agentGraceMs: number;
  /** What agents say goes through it: nothing of a Pod counts before it was read. */
  readonly reports: Pick<ReportedPods, "offer" | "end" | "watched" | "contradicted" | "isReading">;
};

/**
 * For an agent that was silent for the whole keepalive time (15 s) already: a preStop call is held for 23 s of the usual grace period where
 * nobody tells the hold server of the deletion, and by then weight 0 has to be effective. Long enough for the agents to come back that only we
 * did not hear, because this process stood still. Own choice.
 */
const SILENT_GRACE_MS = 1_000;

/**
 * Who speaks for the Pods of one node: the newest session of its agents once its snapshot was applied; without one for the agent grace,
 * our own watch, until the agent has told all that the watch knows. Every Pod known of the node is in `#agentHas` or `#watchHas`; it
 * ends when its deletion was seen, or when whoever had it lists completely without it and nobody else has it.
 */
export class NodePods {
  readonly name: string;
  readonly #deps: NodePodsDeps;
  readonly #store: PodStore;
  /** Has a Node object: only then do we watch, since an agent alone proves no Node. */
  #exists = false;
  /** Can have no agent: nothing is waited for. */
  #virtual = false;
  #over = false;
  readonly #agents: AgentSessions;
  /** What the agent had last, also while it is away. */
  #agentHas = new Set<string>();
  #watch: AbortController | undefined;
  #watching: ReturnType<WatchNode> | undefined;
  /** Why we watch, and whether the log has it. */
  #because = "";
  #isNoted = false;
  /** undefined until our watch has listed. */
  #watchHas: Set<string> | undefined;
  /** Pods that the agent has lost with most of its others, twice: they end when our own list lacks them too. */
  #unconfirmed = new Set<string>();
  /** Runs while nobody speaks for the node. */
  #grace: AbortController | undefined;
  /** The last complete telling dropped most Pods and was not believed yet. */
  #doubted = false;
  #reported = false;
  #source: NodeState["source"] = "none";
  #sinceMs: number;
  /** Last message of the agent. */
  #heardAtMs: number | undefined;

  constructor(name: string, store: PodStore, deps: NodePodsDeps) {
    this.name = name;
    this.#deps = deps;
    this.#store = store;
    this.#sinceMs = deps.clock.now();
    this.#agents = new AgentSessions({
      snapshot: (pods, told) => this.#snapshot(pods, told),
      difference: (changed, removed, told) => this.#difference(changed, removed, told),
      heard: () => this.#heard(),
      settle: () => this.#settle(),
      vanished: () => this.#hasten(),
    });
  }

  get state(): NodeState {
    const heardAtMs = this.#source === "watch" ? this.#watching?.lastByteAtMs : this.#heardAtMs;
    return { node: this.name, source: this.#source, sinceMs: this.#sinceMs, heardAtMs };
  }

  /** Has been told completely at least once, by whomever, and all of that which matters was read. */
  get hasReported(): boolean {
    this.#reported ||= this.#source === "watch" || (this.#source === "agent" && !this.#deps.reports.isReading(this.name));
    return this.#reported;
  }

  /** Nothing is known of it and nobody speaks for it. */
  get isEmpty(): boolean {
    return !this.#exists && this.#agents.isEmpty && this.#known().size === 0;
  }

  /** Its Node object is there; `virtual`: it can have no agent. */
  exists(virtual = false): void {
    this.#exists = true;
    this.#virtual = virtual;
    this.#settle();
  }

  /** Its Node object was deleted: its session, its watch and its Pods end. */
  delete(): void {
    const known = this.#known();
    this.#agents.endAll("node-deleted");
    this.stop();
    for (const uid of known) this.#end(uid, "node-deleted", "nodes");
  }

  /** Ends timer and watch for good; what is known stays. */
  stop(): void {
    this.#over = true;
    this.#grace?.abort(OVER);
    this.#stopWatch();
  }

  /** A session of an agent (UID of its Pod); it ends a former one of the same agent. */
  open(agent: string, callbacks: SessionCallbacks): NodeSession {
    return this.#agents.open(agent, callbacks);
  }

  #snapshot(pods: readonly PodFact[], told: Map<string, string>): "applied" | "doubted" {
    this.#heard();
    const lost = this.#onlyAgentHas(this.#agentHas.difference(uidsOf(pods)));
    if (this.#isDoubtful(lost.size)) return "doubted";
    told.clear();
    for (const pod of pods) told.set(pod.uid, pod.resourceVersion);
    this.#lose(lost);
    this.#agentHas = new Set();
    this.#take("agent", pods, this.#agentHas);
    return "applied";
  }

  #difference(changed: readonly PodFact[], removed: readonly RemovedPod[], told: Map<string, string>): "applied" | "doubted" {
    this.#heard();
    for (const pod of changed) told.set(pod.uid, pod.resourceVersion);
    for (const { uid } of removed) told.delete(uid);
    this.#take("agent", changed, this.#agentHas);
    if (removed.length === 0) {
      this.#settle(); // nearly always, hundreds of times a second
      return "applied";
    }
    for (const { uid, evidence } of removed) if (evidence === "deleted") this.#end(uid, "deleted", "agent");
    const missed = uidsOf(removed).intersection(this.#agentHas);
    const lost = this.#onlyAgentHas(missed);
    if (lost.size > 0 && this.#isDoubtful(lost.size)) return "doubted";
    this.#lose(lost);
    for (const uid of missed) this.#agentHas.delete(uid);
    this.#settle();
    return "applied";
  }

  /** An agent without most of its Pods may be wrong twice, e.g. because its list is: where we can, we list for ourselves. */
  #lose(lost: ReadonlySet<string>): void {
    const canList = this.#exists && !this.#over && this.#watchHas === undefined; // a watch that has listed lacks them too
    if (!canList || lost.size * 2 <= this.#known().size) {
      for (const uid of lost) this.#end(uid, "absent", "agent");
      return;
    }
    this.#unconfirmed = this.#unconfirmed.union(lost);
    if (this.#watch === undefined) this.#fallBack("the agent has lost most of its Pods, listing them");
  }

  #hearWatch(event: NodeWatchEvent): void {
    switch (event.kind) {
      case "listed":
        this.#listed(event.pods);
        break;
      case "changed":
        // Before its list a watch tells nothing that its list will not tell as well.
        if (this.#watchHas !== undefined) this.#take("watch", [event.pod], this.#watchHas);
        break;
      case "removed":
        if (event.evidence === "absent" && this.#agents.isSpeaking && this.#agentHas.has(event.uid)) this.#watchHas?.delete(event.uid);
        else this.#end(event.uid, event.evidence, "watch");
        break;
      default:
        event satisfies never;
    }
    this.#settle();
  }

  #listed(pods: readonly PodFact[]): void {
    // What a speaking agent has is not lost because our watch lacks it; what an absent one had is.
    const known = this.#agents.isSpeaking ? this.#known().difference(this.#agentHas) : this.#known();
    const lost = known.difference(uidsOf(pods));
    // Later lists come from a list-watch that reads twice by itself; only its first one cannot know what we knew.
    if (this.#watchHas === undefined && this.#isDoubtful(lost.size)) {
      this.#watch?.abort(OVER);
      return this.#startWatch();
    }
    for (const uid of lost) this.#end(uid, "absent", "watch");
    this.#unconfirmed.clear();
    this.#watchHas = new Set();
    this.#noteFallback();
    this.#take("watch", pods, this.#watchHas);
  }

  /** After every change: who speaks for the node now, and does it (still) need our watch? */
  #settle(): void {
    if (this.#agents.isSpeaking) {
      this.#grace?.abort(OVER);
      this.#grace = undefined;
      // What only the watch knows is kept alive by it until the agent has it too, or the watch sees its end.
      if (this.#watch !== undefined && this.#known().isSubsetOf(this.#agentHas)) this.#stopWatch();
    } else if (this.#exists && !this.#over && this.#watch === undefined && this.#grace === undefined) {
      if (this.#virtual) this.#fallBack("the node can have no agent, watching its Pods");
      else void this.#startGrace();
    }
    const source = this.#agents.isSpeaking ? "agent" : this.#watchHas === undefined ? "none" : "watch";
    if (source !== this.#source) this.#sinceMs = this.#deps.clock.now();
    this.#source = source;
    this.#reported = this.hasReported;
  }

  /** Nobody speaks for it, and who did has been silent for longer than a whole grace: it goes on with a short one. */
  #hasten(): void {
    if (this.#grace === undefined) return;
    this.#grace.abort(OVER);
    void this.#startGrace(Math.min(SILENT_GRACE_MS, this.#deps.agentGraceMs));
  }

  /** Never rejects. */
  async #startGrace(graceMs = this.#deps.agentGraceMs): Promise<void> {
    const { clock } = this.#deps;
    const grace = new AbortController();
    this.#grace = grace;
    await clock.sleep(graceMs, grace.signal).catch(() => undefined);
    if (grace.signal.aborted) return; // the agent is back, the Node is gone, or we stop
    this.#grace = undefined;
    this.#fallBack("no agent speaks for the node, watching its Pods");
  }

  #fallBack(because: string): void {
    this.#because = because;
    this.#startWatch();
  }

  /** Only now: many a node's agent comes before the turn of its watch. */
  #noteFallback(): void {
    if (this.#isNoted) return;
    this.#isNoted = true;
    this.#deps.log.info({ node: this.name }, this.#because);
    this.#deps.observer.onFallback(this.name, "on");
  }

  #startWatch(): void {
    const watch = new AbortController();
    this.#watch = watch;
    this.#watchHas = undefined;
    const hear = (event: NodeWatchEvent): void => {
      if (this.#watch === watch) this.#hearWatch(event);
    };
    this.#watching = this.#deps.watchNode(this.name, hear, watch.signal, this.#virtual);
  }

  #stopWatch(): void {
    if (this.#watch === undefined) return;
    this.#watch.abort(OVER);
    this.#watch = undefined;
    this.#watchHas = undefined;
    this.#unconfirmed.clear();
    if (!this.#isNoted) return;
    this.#isNoted = false;
    this.#deps.log.info({ node: this.name }, "stopped watching the node's Pods");
    this.#deps.observer.onFallback(this.name, "off");
  }

  #take(by: Teller, pods: readonly PodFact[], has: Set<string>): void {
    for (const pod of pods) {
      const outcome = by === "agent" ? this.#deps.reports.offer(pod) : this.#watched(pod);
      if (outcome !== "foreign" && outcome !== "refused") has.add(pod.uid);
    }
  }

  #watched(pod: PodFact): "taken" | "older" | "over" | "foreign" {
    const outcome = this.#store.tell(pod, "watch");
    this.#deps.reports.watched(pod.uid);
    if (outcome === "older" || outcome === "over") this.#deps.reports.contradicted(pod);
    return outcome;
  }

  #end(uid: string, evidence: PodEnd, by: Teller): void {
    this.#agentHas.delete(uid);
    this.#watchHas?.delete(uid);
    this.#unconfirmed.delete(uid);
    this.#store.end(this.name, uid, evidence, by);
    this.#deps.reports.end(this.name, uid);
  }

  /** A complete telling that drops more than half of what is known is believed only at the second time. */
  #isDoubtful(lost: number): boolean {
    const known = this.#known().size;
    this.#doubted = lost * 2 > known && !this.#doubted;
    if (this.#doubted) this.#deps.log.warn({ node: this.name, known, lost }, "more than half of the node's Pods are absent, asking again");
    return this.#doubted;
  }

  #known(): Set<string> {
    return this.#agentHas.union(this.#watchHas ?? new Set<string>()).union(this.#unconfirmed);
  }

  #onlyAgentHas(uids: Set<string>): Set<string> {
    return uids.difference(this.#watchHas ?? new Set<string>());
  }

  #heard(): void {
    this.#heardAtMs = this.#deps.clock.now();
  }
}

const uidsOf = (pods: readonly { readonly uid: string }[]): Set<string> => new Set(pods.map(({ uid }) => uid));
