import type { ListWatchDeps } from "../../common/kubernetes/list-watch.ts";
import { makeNodePods } from "../../common/kubernetes/node-pods.ts";
import type { WatchNode } from "./node-session.ts";

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
