import type { ListWatchDeps } from "../../common/kubernetes/list-watch.ts";
import { makeNodePods, makePodsOfNodes } from "../../common/kubernetes/node-pods.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { WatchNode, WatchNodes } from "./node-session.ts";
import { paced } from "./paced-watch.ts";
import { makeSharing } from "./shared-values.ts";

/** Watches of nodes whose agents are away, alone or together; `crowded` as in PacedDeps. */
export const makePacedWatch = (
  deps: ListWatchDeps,
  { gateType, crowded }: { readonly gateType: string; readonly crowded: () => boolean },
): WatchNode => paced({ watchNode: makeWatchNode(deps, gateType), watchNodes: makeWatchNodes(deps, gateType), clock: deps.clock, crowded });

/** Watches the Pods of a node whose agent is away. `gateType` is the condition type of our ReadinessGate. */
export function makeWatchNode(deps: ListWatchDeps, gateType: string): WatchNode {
  return (nodeName, onEvent, signal) => {
    let synced = false;
    const pods = makeNodePods(deps, {
      nodeName,
      gateType,
      onChange(change) {
        if (!synced) return; // part of the first list, told as one
        if (change.kind === "removed") onEvent({ kind: "removed", uid: change.record.uid, evidence: change.evidence });
        else onEvent({ kind: "changed", pod: change.record });
      },
      onSynced() {
        synced = true;
        onEvent({ kind: "listed", pods: [...pods.records.values()] });
      },
    });
    void pods.run(signal); // never rejects
    return pods;
  };
}

/** Watches the Pods of many nodes at once, all of whose agents are away: one list and one watch of the whole cluster. */
function makeWatchNodes(deps: ListWatchDeps, gateType: string): WatchNodes {
  return (nodes, onEvent, signal) => {
    let synced = false;
    const pods = makePodsOfNodes(deps, {
      nodes,
      gateType,
      keep: makeSharing(),
      onChange(change) {
        if (!synced) return;
        const { nodeName, uid } = change.record;
        if (change.kind === "removed") onEvent(nodeName, { kind: "removed", uid, evidence: change.evidence });
        else onEvent(nodeName, { kind: "changed", pod: change.record });
      },
      onSynced() {
        synced = true;
        const byNode = new Map<string, PodFact[]>([...nodes].map((node) => [node, []]));
        for (const pod of pods.records.values()) byNode.get(pod.nodeName)?.push(pod);
        for (const [node, listed] of byNode) onEvent(node, { kind: "listed", pods: listed });
      },
    });
    void pods.run(signal); // never rejects
    return pods;
  };
}
