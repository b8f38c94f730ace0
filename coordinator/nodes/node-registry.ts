import type { Change } from "../../common/kubernetes/list-watch.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import type { AskedPods } from "./asked-pods.ts";
import { NodePods, type NodePodsDeps } from "./node-pods.ts";
import type { NodeSession, SessionCallbacks } from "./node-session.ts";
import type { MakePodReader } from "./pod-reader.ts";
import { makePodStore } from "./pod-store.ts";
import { Refusals } from "./refusals.ts";
import { ReportedPods } from "./reported-pods.ts";

/** E.g. { name: "node-a", uid: "db49…", maxPods: 110 } of the Node object; `virtual`: it can have no agent; `maxPods`: what its kubelet admits. */
type NodeRef = { readonly name: string; readonly uid: string; readonly virtual?: boolean; readonly maxPods?: number | undefined };

export interface NodeRegistry extends PodFacts, RefusalSource {
  /** A complete list of the cluster's Nodes. The first one is needed for `complete`. */
  setNodes(nodes: readonly NodeRef[]): void;
  /** A Node was added or changed. */
  nodeSeen(node: NodeRef): void;
  /** The DELETED event of this Node; ignored unless the UID is the one known. */
  nodeDeleted(node: NodeRef): void;
  /**
   * A session of an agent (UID of its Pod; "": not known) ends its former one: its `onEnd` is called. The sessions of two agents of one
   * node live side by side. undefined: the Node object is deleted.
   */
  open(node: string, callbacks: SessionCallbacks, agent?: string): NodeSession | undefined;
}

/** Where refusals of what agents say are heard of; of a node and reason at most once a minute. */
export type RefusalSource = { readonly followRefusals: Refusals["follow"] };

/** Names of deleted Nodes, so that a late agent is turned away; twice the Nodes that a cluster may have (5 000: Kubernetes' own limit). */
const MAX_GONE_NODES = 10_000;

/** Where a Node does not say what it has room for: the most that anybody runs (Kubernetes itself advises 110). */
const USUAL_MOST_PODS = 500;
/** Pods that end stay for a while beside those that replace them. */
const RESERVE = { share: 0.5, least: 64 };

export type NodeRegistryDeps = Omit<NodePodsDeps, "reports"> & {
  /** Which reported Pods matter. */
  readonly asked: AskedPods;
  /** How they are read. */
  readonly readPods: MakePodReader;
};

/** What each node reported and when it was last heard. Timers and watches end with the signal. */
export function makeNodeRegistry({ asked, readPods, ...given }: NodeRegistryDeps, signal: AbortSignal): NodeRegistry {
  const { clock, log, observer } = given;
  const store = makePodStore(() => clock.now());
  const uids = new Map<string, string>(); // of the Node objects, by name
  const refusals = new Refusals({
    now: () => clock.now(),
    log,
    onRefused: (why) => observer.onRefused(why),
    nodeUid: (node) => uids.get(node),
  });
  const room = new Map<string, number>(); // for Pods, by node
  const mostPods = (node: string): number => {
    const most = room.get(node) ?? USUAL_MOST_PODS;
    return most + Math.max(RESERVE.least, Math.ceil(most * RESERVE.share));
  };
  const reports = new ReportedPods({ store, asked, readPods, refusals, mostPods, clock }, signal);
  const deps: NodePodsDeps = { ...given, reports };
  const nodes = new Map<string, NodePods>();
  const gone = new Set<string>();
  let nodesListed = false;
  let complete = false;
  /** Of the Nodes, those that were not seen to have told their Pods: the question is asked for each target of each plan. */
  const awaited = new Set<string>();

  const nodeOf = (name: string): NodePods => {
    const node = nodes.get(name) ?? new NodePods(name, store, deps);
    if (signal.aborted) node.stop();
    nodes.set(name, node);
    return node;
  };
  const nodeSeen = ({ name, uid, virtual = false, maxPods }: NodeRef): void => {
    gone.delete(name);
    if (maxPods !== undefined) room.set(name, maxPods);
    if (!complete) awaited.add(name);
    uids.set(name, uid); // another UID under the same name: the kubelet registered anew, its Pods may well live on
    nodeOf(name).exists(virtual);
  };
  signal.addEventListener("abort", () => nodes.forEach((node) => node.stop()), { once: true });

  return {
    pods: store.pods,
    endOf: (uid) => store.endOf(uid),
    formerAt: (ip) => store.formerAt(ip),
    subscribe: (listener) => store.subscribe(listener),
    confirm: (names, until) => reports.confirm(names, until),
    learn: (pod) => reports.learn(pod),
    nodes: () => [...nodes.values()].map(({ state }) => state),
    followRefusals: (listener) => refusals.follow(listener),
    /** Once true it stays: a Node that joins later brings no Pod that is bound already. False while not one Node is known. */
    get complete() {
      complete ||= haveAllTold(awaited, nodes) && nodesListed && uids.size > 0;
      return complete;
    },
    setNodes(list) {
      nodesListed = true;
      for (const node of list) nodeSeen(node);
    },
    nodeSeen,
    nodeDeleted({ name, uid }) {
      if (uids.get(name) !== uid) return;
      deps.log.info({ node: name }, "Node deleted, its Pods are over");
      const node = nodeOf(name);
      nodes.delete(name);
      uids.delete(name);
      awaited.delete(name);
      room.delete(name);
      gone.add(name);
      if (gone.size > MAX_GONE_NODES) for (const oldest of gone.values().take(1)) gone.delete(oldest);
      node.delete();
    },
    open(name, callbacks, agent = "") {
      if (gone.has(name)) return undefined;
      const node = nodeOf(name);
      const session = node.open(agent, callbacks);
      const close = (): void => {
        session.close();
        if (node.isEmpty && nodes.get(name) === node) nodes.delete(name);
      };
      return { ...session, close };
    },
  };
}

/** Who has told its Pods once has done so for good, and is awaited no more. */
function haveAllTold(awaited: Set<string>, nodes: ReadonlyMap<string, NodePods>): boolean {
  for (const name of awaited) {
    if (nodes.get(name)?.hasReported !== true) return false;
    awaited.delete(name);
  }
  return true;
}

/** A Node that is merely missing from a list may be there: nothing follows from that. */
export function nodeChanged(
  registry: Pick<NodeRegistry, "nodeSeen" | "nodeDeleted">,
  change: Change<NodeRef & { readonly resourceVersion: string }>,
): void {
  if (change.kind !== "removed") registry.nodeSeen(change.record);
  else if (change.evidence === "deleted") registry.nodeDeleted(change.record);
}
