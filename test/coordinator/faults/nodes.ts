/** What tells a coordinator about Pods: one agent per node, and its own watch of a node whose agent is away. */
import type { Clock } from "../../../common/clock.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
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
};

export function anAgent(clock: Clock, cluster: Cluster, registry: NodeRegistry, node: string): Agent {
  let session: NodeSession | undefined;
  let lies = 0;
  const tell = (): void => {
    const pods = lies > 0 ? [] : podsOf(cluster, node);
    lies = Math.max(0, lies - 1);
    if (session?.snapshot(pods) === "doubted") void clock.sleep(ASKED_AGAIN_MS).then(tell);
  };
  cluster.onPod((uid, pod, evidence = "deleted") => {
    if (pod === undefined) session?.difference([], [{ uid, evidence }]);
    else if (pod.nodeName === node) session?.difference([pod], []);
  });
  const disconnect = (): void => {
    session?.close();
    session = undefined;
  };
  return {
    connect: () => {
      disconnect();
      session = registry.open(node, () => (session = undefined));
      tell();
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
