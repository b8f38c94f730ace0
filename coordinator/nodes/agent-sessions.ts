import type { PodFact } from "../../common/vocabulary.ts";
import type { NodeSession, RemovedPod, SessionCallbacks, SessionEnd } from "./node-session.ts";

/** `agent`: UID of its Pod; "": not known. */
type Session = SessionCallbacks & { readonly agent: string; isLeaving: boolean; hasTold: boolean; hasVanished: boolean };

export type AgentSessionsDeps = {
  /** What the agent whose word counts says; `told`: UID -> resourceVersion as its session told them. */
  readonly snapshot: (pods: readonly PodFact[], told: Map<string, string>) => "applied" | "doubted";
  readonly difference: (changed: readonly PodFact[], removed: readonly RemovedPod[], told: Map<string, string>) => "applied" | "doubted";
  readonly heard: () => void;
  /** Somebody speaks now, or nobody does any more. */
  readonly settle: () => void;
  /** An agent whose session is over will hardly be back soon. */
  readonly vanished: () => void;
};

/** An update of the DaemonSet has two agents on a node for a while. */
const MOST_SESSIONS = 2;

/**
 * The agents of one node that are connected. Mostly there is one; during an update of the DaemonSet the new one lives beside the old one,
 * which finishes its holds. Whose word counts: the newest whose snapshot was applied, but one that was told to stop comes after the others.
 */
export class AgentSessions {
  readonly #deps: AgentSessionsDeps;
  /** The newest last; those that were told to stop come first. */
  #sessions: readonly Session[] = [];
  #speaker: Session | undefined;

  constructor(deps: AgentSessionsDeps) {
    this.#deps = deps;
  }

  /** Some agent's snapshot was applied, and it is still there. */
  get isSpeaking(): boolean {
    return this.#speaker !== undefined;
  }

  get isEmpty(): boolean {
    return this.#sessions.length === 0;
  }

  /** A session of the same agent takes the place of its former one; that of another agent lives beside it. */
  open(agent: string, callbacks: SessionCallbacks): NodeSession {
    const same = this.#sessions.find((one) => one.agent === agent);
    const former = same ?? (this.#sessions.length >= MOST_SESSIONS ? this.#sessions[0] : undefined);
    if (former !== undefined) this.#end(former, "superseded");
    const session: Session = { ...callbacks, agent, isLeaving: same?.isLeaving ?? false, hasTold: false, hasVanished: false };
    this.#sessions = inOrder([...this.#sessions, session]);
    const told = new Map<string, string>();
    const isOpen = (): boolean => this.#sessions.includes(session);
    this.#deps.heard();
    this.#deps.settle();
    return {
      told,
      heard: () => isOpen() && this.#deps.heard(),
      leaving: () => isOpen() && this.#leaving(session),
      snapshot: (pods) => (isOpen() ? this.#snapshot(session, pods, told) : "applied"),
      difference: (changed, removed) => (isOpen() ? this.#difference(session, changed, removed, told) : "applied"),
      vanished: () => {
        session.hasVanished = true;
        if (!isOpen()) this.#deps.vanished();
      },
      close: () => isOpen() && this.#close(session),
    };
  }

  endAll(why: SessionEnd): void {
    for (const session of this.#sessions) this.#end(session, why);
  }

  #snapshot(session: Session, pods: readonly PodFact[], told: Map<string, string>): "applied" | "doubted" {
    if (!this.#maySpeak(session)) {
      told.clear();
      for (const pod of pods) told.set(pod.uid, pod.resourceVersion);
      session.hasTold = true;
      this.#deps.heard();
      return "applied";
    }
    const outcome = this.#deps.snapshot(pods, told);
    if (outcome === "doubted") return outcome;
    session.hasTold = true;
    this.#speaker = session;
    this.#deps.settle();
    return outcome;
  }

  #difference(session: Session, changed: readonly PodFact[], removed: readonly RemovedPod[], told: Map<string, string>) {
    if (this.#maySpeak(session)) return this.#deps.difference(changed, removed, told);
    for (const pod of changed) told.set(pod.uid, pod.resourceVersion);
    for (const { uid } of removed) told.delete(uid);
    this.#deps.heard();
    return "applied";
  }

  /** Nobody newer speaks. */
  #maySpeak(session: Session): boolean {
    return this.#speaker === undefined || this.#sessions.indexOf(session) >= this.#sessions.indexOf(this.#speaker);
  }

  /** It stays connected, for its holds, and speaks until another agent does. */
  #leaving(session: Session): void {
    session.isLeaving = true;
    this.#sessions = inOrder(this.#sessions);
    if (this.#speaker === session) this.#askHeir(session, "another agent of the node was told to stop");
  }

  #end(session: Session, why: SessionEnd): void {
    this.#sessions = this.#sessions.filter((one) => one !== session);
    if (this.#speaker === session) this.#speaker = undefined;
    session.onEnd(why);
  }

  #close(session: Session): void {
    this.#sessions = this.#sessions.filter((one) => one !== session);
    if (this.#speaker === session) {
      this.#speaker = undefined;
      this.#askHeir(session, "another agent of the node has left");
    }
    this.#deps.settle();
    if (session.hasVanished) this.#deps.vanished();
  }

  /** What it has said so far was not listened to. */
  #askHeir(former: Session, because: string): void {
    const heir = this.#sessions.at(-1);
    if (heir !== undefined && heir !== former && heir.hasTold) heir.onWanted(because);
  }
}

const inOrder = (sessions: readonly Session[]): readonly Session[] =>
  sessions.toSorted((one, other) => Number(other.isLeaving) - Number(one.isLeaving));
