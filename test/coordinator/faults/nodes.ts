/** What tells a coordinator about Pods: one agent per node, and its own watch of a node whose agent is away. */
import { afterHoldsStep, type Held, type HoldsReport, holdsStep, NOTHING_SAID } from "../../../agent/domain/say-holds.ts";
import type { Clock } from "../../../common/clock.ts";
import type { HoldAnswer, HoldEnd } from "../../../common/holds.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { AgentHolds, NodeHolds } from "../../../coordinator/nodes/node-holds.ts";
import type { NodeRegistry } from "../../../coordinator/nodes/node-registry.ts";
import type { NodeSession, WatchNode } from "../../../coordinator/nodes/node-session.ts";
import type { Cluster } from "./cluster.ts";

/** An agent connects within a second of its coordinator's start, one after the other. Milliseconds. */
const CONNECT_MS = 150;
const LIST_MS = 50;
/** After a doubt the coordinator asks for the snapshot once more. */
const ASKED_AGAIN_MS = 20;

export type Agent = {
  readonly connect: () => void;
  readonly disconnect: () => void;
  /** Its next snapshots, so many, are empty. */
  readonly lie: (snapshots: number) => void;
  /** The kubelet calls the preStop hook of a Pod; it is held until `release`. `graceSeconds` as in HeldPod. */
  readonly dial: (uid: string, graceSeconds?: number) => void;
  readonly release: (uid: string, end?: HoldEnd) => void;
  /** It tells of no change of a Pod, as one whose own watch lags. */
  readonly mute: (on: boolean) => void;
  /** What the coordinator answered last, by UID, also a former one. */
  readonly answers: Map<string, HoldAnswer>;
};

/** What the agents hold, by node: they outlive a coordinator. */
export type AgentMemory = Map<string, HoldsReport>;

const NOTHING_HELD: HoldsReport = { held: new Map(), released: [], proof: { proven: true, because: "" }, leaving: false };

export function anAgent(
  clock: Clock,
  cluster: Cluster,
  registry: NodeRegistry,
  holds: NodeHolds,
  node: string,
  memory: AgentMemory = new Map(),
): Agent {
  let streamed: AgentHolds | undefined;
  let said = NOTHING_SAID;
  const answers = new Map<string, HoldAnswer>();
  let session: NodeSession | undefined;
  let lies = 0;
  const tell = (): void => {
    const pods = lies > 0 ? [] : podsOf(cluster, node);
    lies = Math.max(0, lies - 1);
    if (session?.snapshot(pods) === "doubted") void clock.sleep(ASKED_AGAIN_MS).then(tell);
  };
  let isMuted = false;
  cluster.onPod((uid, pod, evidence = "deleted") => {
    if (isMuted) return;
    if (pod === undefined) session?.difference([], [{ uid, evidence }]);
    else if (pod.nodeName === node) session?.difference([pod], []);
  });
  const known = (): HoldsReport => memory.get(node) ?? NOTHING_HELD;
  /** Says what is not said yet, as agents do. */
  const sayHolds = (canTellPods = true): void => {
    const [nowMs, stream] = [clock.now(), streamed];
    if (stream === undefined) return;
    for (let step = holdsStep(said, known(), canTellPods, nowMs); step !== undefined; ) {
      said = afterHoldsStep(said, step, known());
      if (step.kind === "holdProof") stream.proof(step.proof);
      if (step.kind === "heldPods") {
        const pods = step.pods.map(({ sinceMs, ...pod }) => ({ ...pod, heldMs: nowMs - sinceMs }));
        const released = step.released.map(({ pod, atMs }) => ({ ...pod, agoMs: nowMs - atMs }));
        stream.held({ complete: step.complete, pods, released });
      }
      step = holdsStep(said, known(), canTellPods, nowMs);
    }
  };
  const disconnect = (): void => {
    streamed?.close();
    streamed = undefined;
    session?.close();
    session = undefined;
  };
  return {
    connect: () => {
      disconnect();
      session = registry.open(node, { onEnd: () => (session = undefined), onWanted: tell });
      said = NOTHING_SAID;
      streamed = holds.attach(node, async (told) => {
        for (const answer of told) answers.set(answer.uid, answer);
        await Promise.resolve();
      });
      sayHolds(false);
      tell();
      sayHolds();
    },
    dial: (uid, graceSeconds) => {
      const pod: Held = { uid, sinceMs: clock.now(), openConnections: undefined, graceSeconds, restarts: cluster.pods.get(uid)?.restarts };
      memory.set(node, { ...known(), held: new Map([...known().held, [uid, pod]]) });
      sayHolds();
    },
    release: (uid, end = "drained") => {
      const [atMs, pod] = [clock.now(), known().held.get(uid)];
      const lowered = answers.get(uid)?.state === "lowered";
      const { sinceMs = atMs, graceSeconds } = pod ?? {};
      const restarts = cluster.pods.get(uid)?.restarts;
      const ended = {
        number: known().released.length + 1,
        atMs,
        pod: { uid, end, lowered, heldMs: atMs - sinceMs, graceSeconds, restarts },
      };
      const held = new Map([...known().held].filter(([one]) => one !== uid));
      memory.set(node, { ...known(), held, released: [...known().released, ended] });
      sayHolds();
    },
    answers,
    mute: (on) => {
      isMuted = on;
      if (!on) tell();
    },
    disconnect,
    lie: (snapshots) => {
      lies = snapshots;
    },
  };
}

/** Connects one after the other, as after the start of a coordinator. */
export function connectAll(clock: Clock, agents: readonly Agent[]): void {
  for (const [at, agent] of agents.entries()) void clock.sleep(CONNECT_MS * (at + 1)).then(agent.connect);
}

/** The coordinator's own watch of a node. `answers` false: the API server is away; `lies`: so many of the next lists are empty. */
export function aWatch(clock: Clock, cluster: Cluster, how: { answers: boolean; lies: number }): WatchNode {
  return (node, onEvent, signal) => {
    const list = async (): Promise<void> => {
      do await clock.sleep(LIST_MS, signal);
      while (!how.answers);
      const lies = how.lies > 0;
      how.lies = Math.max(0, how.lies - 1);
      onEvent({ kind: "listed", pods: lies ? [] : podsOf(cluster, node) });
      const unfollow = cluster.onPod((uid, pod, evidence = "deleted") => {
        if (pod === undefined) onEvent({ kind: "removed", uid, evidence });
        else if (pod.nodeName === node) onEvent({ kind: "changed", pod });
      });
      signal.addEventListener("abort", unfollow, { once: true });
    };
    void list().catch(() => undefined); // only by the signal
    return { lastByteAtMs: 0 };
  };
}

const podsOf = (cluster: Cluster, node: string): PodFact[] => [...cluster.pods.values()].filter(({ nodeName }) => nodeName === node);
