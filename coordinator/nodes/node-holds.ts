import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../common/clock.ts";
import {
  type Dial,
  type HeldPod,
  type HeldPods,
  type HoldAnswer,
  type HoldProof,
  type ReleasedPod,
  stoppedAtMs,
} from "../../common/holds.ts";
import type { Logger } from "../../common/log.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { HoldEvent, Holds } from "../state/holds.ts";
import { makeSpeaker, type Speaker } from "./speaker.ts";

export type NodeHoldsDeps = {
  readonly facts: () => { readonly pods: ReadonlyMap<string, PodFact> };
  readonly clock: Pick<Clock, "now">;
  readonly log: Logger;
};

/** What one agent says of preStop calls. */
export interface AgentHolds {
  held(pods: HeldPods): void;
  proof(proof: HoldProof): void;
  close(): void;
}

export interface NodeHolds extends Holds {
  /** An agent has connected. `say` resolves when there is room for the next message; of each Pod it is told the latest. */
  attach(node: string, say: (answers: readonly HoldAnswer[]) => Promise<void>): AgentHolds;
  /** What the agents of a node have found of their redirect rule; undefined: none has said. */
  proofOf(node: string): HoldProof | undefined;
}

/** Answers in one message. */
const MOST_ANSWERS = 100;
/** Pods remembered: more than all agents hold in the greatest node drain. */
const MOST_DIALS = 20_000;
/** Pods that one agent may hold: more than a node may have (TKE: 256), with those that end. What comes above that is none of a node. */
const MOST_HELD = 1_024;
/** And of one node, whose agents, the old one and the new one of an update, may hold so many: no node's agent makes those of others forgotten. */
const MOST_OF_NODE = 2 * MOST_HELD;
/** A Pod that was released is remembered for so long: its container has been started anew by then. Milliseconds; own choice. */
const REMEMBERED_MS = 120_000;

type Stream = {
  readonly node: string;
  readonly speaker: Speaker;
  readonly held: Map<string, HeldPod>;
  /** Pods whose answer this agent has not been told. */
  readonly due: Set<string>;
  /** What it said of Pods of which another node's agent had spoken before, and nobody knew whose they are: said again, by UID. */
  readonly doubted: Map<string, () => void>;
  /** Of earlier releases, so many. */
  recalled: number;
  proof: HoldProof | undefined;
};

/** What the agents of this replica's streams hold. Two agents of one node, the old one and the new one of an update, hold each its own calls. */
export const makeNodeHolds = (deps: NodeHoldsDeps): NodeHolds => new Kept(deps);

class Kept implements NodeHolds {
  readonly dials = new Map<string, Dial>();
  readonly #deps: NodeHoldsDeps;
  readonly #streams = new Map<string, Set<Stream>>();
  readonly #answers = new Map<string, HoldAnswer>();
  /** UIDs of dials by their nodes, oldest first. */
  readonly #ofNode = new Map<string, Set<string>>();
  readonly #listeners = new Set<(event: HoldEvent) => void>();

  constructor(deps: NodeHoldsDeps) {
    this.#deps = deps;
  }

  answer(answer: HoldAnswer): void {
    const dial = this.dials.get(answer.uid);
    if (dial === undefined || dial.releasedAtMs !== undefined || isDeepStrictEqual(this.#answers.get(answer.uid), answer)) return;
    this.#answers.set(answer.uid, answer);
    for (const stream of this.#streams.get(dial.node) ?? []) if (stream.held.has(answer.uid)) this.#due(stream, answer.uid);
  }

  answerOf(podUid: string): HoldAnswer | undefined {
    return this.#answers.get(podUid);
  }

  forget(podUid: string): void {
    if (this.dials.get(podUid)?.releasedAtMs !== undefined) this.#forget(podUid);
  }

  disown(podUid: string): void {
    const [dial, fact] = [this.dials.get(podUid), this.#deps.facts().pods.get(podUid)];
    if (dial === undefined || fact === undefined || fact.nodeName === dial.node) return;
    this.#forget(podUid);
    for (const streams of this.#streams.values())
      for (const { doubted } of streams) {
        const sayAgain = doubted.get(podUid);
        doubted.delete(podUid);
        sayAgain?.();
      }
  }

  clear(): void {
    this.#answers.clear();
    for (const streams of this.#streams.values()) for (const { due } of streams) due.clear();
  }

  follow(listener: (event: HoldEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The newest word; where one of two agents has proven its rule, calls get through. */
  proofOf(node: string): HoldProof | undefined {
    const proofs = [...(this.#streams.get(node) ?? [])].flatMap(({ proof }) => proof ?? []);
    return proofs.find(({ proven }) => proven) ?? proofs.at(-1);
  }

  attach(node: string, say: (answers: readonly HoldAnswer[]) => Promise<void>): AgentHolds {
    const due = new Set<string>();
    const next = (): (readonly HoldAnswer[])[] | undefined => this.#next(due);
    const speaker = makeSpeaker({ node, what: "answers to holds", next, say, log: this.#deps.log });
    const stream: Stream = { node, speaker, held: new Map(), due, doubted: new Map(), recalled: 0, proof: undefined };
    const those = this.#streams.get(node) ?? new Set();
    this.#streams.set(node, those.add(stream));
    return {
      held: (pods) => this.#hear(stream, pods),
      proof: (proof) => void (stream.proof = proof),
      close: () => {
        speaker.close();
        those.delete(stream);
        if (those.size === 0) this.#streams.delete(node);
        for (const uid of stream.held.keys()) this.#release(stream, uid, undefined); // it goes on, but nobody tells us how
      },
    };
  }

  #hear(stream: Stream, { complete, pods, released }: HeldPods): void {
    for (const one of released) if (!this.#release(stream, one.uid, one)) this.#recall(stream, one);
    const said = new Set(pods.map(({ uid }) => uid));
    if (complete) for (const uid of stream.held.keys()) if (!said.has(uid)) this.#release(stream, uid, undefined);
    for (const pod of pods) this.#hold(stream, pod);
  }

  /** An agent is believed about Pods of its own node only. */
  #hold(stream: Stream, pod: HeldPod): void {
    const { clock, log, facts } = this.#deps;
    const { uid } = pod;
    const fact = facts().pods.get(uid);
    if (fact !== undefined && fact.nodeName !== stream.node)
      return log.warn({ node: stream.node, uid, podNode: fact.nodeName }, "an agent holds a Pod of another node, ignored");
    const former = this.dials.get(uid);
    const isOthers = former !== undefined && former.node !== stream.node;
    if (isOthers && fact === undefined) {
      // who came first, until it is known whose Pod it is
      const saidAtMs = clock.now();
      return this.#doubt(stream, uid, () => this.#hold(stream, { ...pod, heldMs: pod.heldMs + clock.now() - saidAtMs }));
    }
    const known = isOthers ? undefined : former;
    const isNew = !stream.held.has(uid);
    if (isNew && stream.held.size >= MOST_HELD)
      return log.warn({ node: stream.node, uid }, `an agent holds more than ${MOST_HELD} Pods, the rest is ignored`);
    stream.held.set(uid, pod);
    const sinceMs = clock.now() - pod.heldMs;
    const isHeld = known?.releasedAtMs === undefined ? known : undefined;
    this.#remember({
      uid,
      node: stream.node,
      sinceMs: isHeld?.sinceMs ?? sinceMs,
      releasedAtMs: undefined,
      readyAtMs: isHeld === undefined ? fact?.containersReadyAtMs : isHeld.readyAtMs,
      openConnections: pod.openConnections,
      ...(pod.graceSeconds !== undefined && { graceSeconds: pod.graceSeconds }),
      ...restartsIn(isHeld?.restarts ?? pod.restarts ?? fact?.restarts),
    });
    if (isNew && this.#answers.has(uid)) this.#due(stream, uid);
    this.#tell({ kind: "held", uid, isNews: isHeld === undefined || isHeld.graceSeconds !== pod.graceSeconds });
  }

  /** Whether this agent held it. */
  #release(stream: Stream, uid: string, released: ReleasedPod | undefined): boolean {
    stream.due.delete(uid);
    const dial = this.dials.get(uid);
    if (!stream.held.delete(uid)) return false;
    if (dial?.node !== stream.node || dial.releasedAtMs !== undefined) return true;
    if ([...(this.#streams.get(stream.node) ?? [])].some(({ held }) => held.has(uid))) return true;
    const { clock, facts } = this.#deps;
    const restarts = released?.restarts ?? facts().pods.get(uid)?.restarts ?? dial.restarts;
    const over = { ...dial, releasedAtMs: clock.now(), ...(released !== undefined && { end: released.end }), ...restartsIn(restarts) };
    this.dials.set(uid, over);
    this.#answers.delete(uid);
    this.#tell({ kind: "released", dial: over, released });
    return true;
  }

  /** Its calls were answered while this agent had no stream to us: who answered them may be gone. Nothing is new where we have heard of it. */
  #recall(stream: Stream, released: ReleasedPod): void {
    const { uid, end, agoMs, heldMs, graceSeconds, restarts } = released;
    const { clock, facts } = this.#deps;
    const fact = facts().pods.get(uid);
    if (agoMs === undefined || (fact !== undefined && fact.nodeName !== stream.node) || stream.recalled >= MOST_HELD) return;
    stream.recalled += 1;
    const releasedAtMs = clock.now() - agoMs;
    const former = this.dials.get(uid);
    if (former?.node === stream.node && (former.releasedAtMs ?? releasedAtMs) >= releasedAtMs) return;
    if (former !== undefined && former.node !== stream.node && fact === undefined)
      return this.#doubt(stream, uid, () => this.#recall(stream, { ...released, agoMs: clock.now() - releasedAtMs }));
    const dial: Dial = {
      uid,
      node: stream.node,
      sinceMs: releasedAtMs - heldMs,
      releasedAtMs,
      end,
      readyAtMs: undefined,
      openConnections: undefined,
      ...(graceSeconds !== undefined && { graceSeconds }),
      ...restartsIn(restarts ?? fact?.restarts),
    };
    if (stoppedAtMs(dial) <= clock.now()) return;
    this.#remember(dial);
    this.#tell({ kind: "released", dial, released: undefined });
  }

  #doubt({ doubted }: Stream, uid: string, sayAgain: () => void): void {
    if (doubted.has(uid) || doubted.size < MOST_HELD) doubted.set(uid, sayAgain);
  }

  /** As the youngest. */
  #remember(dial: Dial): void {
    const { uid, node } = dial;
    this.#forget(uid);
    this.dials.set(uid, dial);
    const those = this.#ofNode.get(node) ?? new Set();
    this.#ofNode.set(node, those.add(uid));
    const [oldest] = those;
    if (those.size > MOST_OF_NODE && oldest !== undefined) this.#forget(oldest);
    this.#drop();
  }

  #forget(uid: string): void {
    const { node = "" } = this.dials.get(uid) ?? {};
    const those = this.#ofNode.get(node);
    those?.delete(uid);
    if (those?.size === 0) this.#ofNode.delete(node);
    this.dials.delete(uid);
  }

  #drop(): void {
    const nowMs = this.#deps.clock.now();
    for (const [uid, dial] of this.dials) {
      const { releasedAtMs } = dial;
      if (this.dials.size <= MOST_DIALS) {
        if (releasedAtMs === undefined || releasedAtMs + REMEMBERED_MS > nowMs) break;
        if (stoppedAtMs(dial) > nowMs) continue; // its grace period is long
      }
      this.#forget(uid);
    }
  }

  #tell(event: HoldEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #due(stream: Stream, uid: string): void {
    stream.due.add(uid);
    stream.speaker.wake();
  }

  #next(due: Set<string>): (readonly HoldAnswer[])[] | undefined {
    if (due.size === 0) return undefined;
    const uids = [...due].slice(0, MOST_ANSWERS);
    for (const uid of uids) due.delete(uid);
    const answers = uids.flatMap((uid) => this.#answers.get(uid) ?? []);
    return answers.length > 0 ? [answers] : [];
  }
}

const restartsIn = (restarts: number | undefined): { readonly restarts?: number } => (restarts === undefined ? {} : { restarts });
