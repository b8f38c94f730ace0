import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod } from "./objects.ts";
import { planPlacements } from "./scheduler.ts";

const aNode = (name: string, over: Partial<Node> = {}): Node => ({
  metadata: { name, uid: name, labels: { zone: name } },
  status: { conditions: [{ type: "Ready", status: "True" }] },
  ...over,
});
const aPod = (name: string, spec: Partial<Pod["spec"]> = {}, metadata: Partial<Pod["metadata"]> = {}): Pod => ({
  metadata: { name, uid: name, ...metadata },
  spec: { containers: [], ...spec },
});
const placed = (pods: readonly Pod[], nodes: readonly Node[]): readonly string[] =>
  planPlacements(pods, nodes).map(({ pod, nodeName }) => `${pod.metadata.name}@${nodeName}`);

test("fills the node with the fewest Pods, in turn where they are even", () => {
  const pods = [aPod("old", { nodeName: "a" }), aPod("1"), aPod("2"), aPod("3")];
  assert.deepEqual(placed(pods, [aNode("b"), aNode("a")]), ["1@b", "2@a", "3@b"]);
});

test("places nothing on nodes that are closed, not ready or do not fit, and nobody else's Pods", () => {
  const nodes = [aNode("a", { spec: { unschedulable: true } }), aNode("b", { status: { conditions: [] } }), aNode("c")];
  const pods = [
    aPod("fits"),
    aPod("elsewhere", { nodeSelector: { zone: "a" } }),
    aPod("terminating", {}, { deletionTimestamp: "2026-11-21T09:00:00Z" }),
    aPod("foreign", { schedulerName: "other" }),
    aPod("bound", { nodeName: "c" }),
  ];
  assert.deepEqual(placed(pods, nodes), ["fits@c"]);
});
