import assert from "node:assert/strict";
import { test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import type { KubeClient, ListPage, WatchEventType } from "../../../common/kubernetes/requests.ts";
import { makeWatchNode } from "../../../coordinator/nodes/pod-watch.ts";
import { silentLog } from "../pods.ts";

const aPodObject = (uid: string, resourceVersion: string, phase = "Running") => ({
  metadata: { uid, resourceVersion, namespace: "demo", name: uid },
  spec: { nodeName: "a", containers: [] },
  status: { phase },
});

test("the first list is told as one, then single changes; only this node's Pods are asked for", async () => {
  const stopped = new AbortController();
  const watching = Promise.withResolvers<(type: WatchEventType, object: unknown) => void>();
  const queries: unknown[] = [];
  const client: Pick<KubeClient, "list" | "watch"> = {
    async list<T>(_path: string, query: unknown) {
      queries.push(query);
      const items = [aPodObject("p1", "10"), aPodObject("p2", "11")];
      return Promise.resolve({ items, resourceVersion: "20" } as unknown as ListPage<T>);
    },
    watch: (_path, _query, onEvent, signal) =>
      new Promise((resolve) => {
        signal.addEventListener("abort", () => resolve({ kind: "aborted" }), { once: true });
        watching.resolve(onEvent);
      }),
  };
  const told: string[] = [];
  const watch = makeWatchNode({ client, clock: makeClock(), log: silentLog }, "gate");
  const handle = watch(
    "a",
    (event) => {
      if (event.kind === "listed") told.push(`listed ${event.pods.map(({ uid }) => uid).join(" ")}`);
      else if (event.kind === "changed") told.push(`changed ${event.pod.uid} ${event.pod.phase}`);
      else told.push(`removed ${event.uid} ${event.evidence}`);
    },
    stopped.signal,
  );
  const emit = await watching.promise;
  emit("MODIFIED", aPodObject("p1", "21", "Failed"));
  emit("DELETED", aPodObject("p2", "22"));
  stopped.abort();
  assert.deepEqual(told, ["listed p1 p2", "changed p1 Failed", "removed p2 deleted"]);
  assert.equal((queries[0] as { fieldSelector: string }).fieldSelector, "spec.nodeName=a");
  assert.ok(handle.lastByteAtMs > 0);
});
