import assert from "node:assert/strict";
import { test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import type { KubeClient, ListPage, WatchEventType } from "../../../common/kubernetes/requests.ts";
import { makePacedWatch, makeWatchNode } from "../../../coordinator/nodes/pod-watch.ts";
import { aFakeClock, silentLog } from "../pods.ts";

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

test("many nodes without agents share one list and one watch of the whole cluster, in which other nodes' Pods are left out", async () => {
  const stopped = new AbortController();
  const queries: { readonly fieldSelector?: string; readonly limit?: number }[] = [];
  const watching = Promise.withResolvers<(type: WatchEventType, object: unknown) => void>();
  const on = (nodeName: string, uid: string, resourceVersion: string) => ({
    ...aPodObject(uid, resourceVersion),
    spec: { nodeName, containers: [] },
  });
  const client: Pick<KubeClient, "list" | "watch"> = {
    async list<T>(_path: string, query: object = {}) {
      queries.push(query);
      const isShared = !("fieldSelector" in query);
      const items = isShared ? [on("n-20", "p1", "10"), on("n-21", "p2", "11"), on("elsewhere", "p3", "12")] : [];
      return await (isShared ? ({ items, resourceVersion: "20" } as unknown as ListPage<T>) : new Promise<ListPage<T>>(() => undefined));
    },
    watch: (_path, _query, onEvent, signal) =>
      new Promise((resolve) => {
        signal.addEventListener("abort", () => resolve({ kind: "aborted" }), { once: true });
        watching.resolve(onEvent);
      }),
  };
  const told: string[] = [];
  const watch = makePacedWatch({ client, clock: makeClock(), log: silentLog }, { gateType: "gate", crowded: () => false });
  for (let n = 0; n < 45; n++)
    watch(
      `n-${n}`,
      (event) => {
        if (event.kind === "listed" && event.pods.length > 0) told.push(`n-${n} listed ${event.pods.map(({ uid }) => uid).join(" ")}`);
        else if (event.kind === "changed") told.push(`n-${n} changed ${event.pod.uid}`);
        else if (event.kind === "removed") told.push(`n-${n} removed ${event.uid} ${event.evidence}`);
      },
      stopped.signal,
    );
  const emit = await watching.promise;
  emit("MODIFIED", on("n-21", "p2", "21"));
  emit("MODIFIED", on("elsewhere", "p3", "22"));
  emit("ADDED", on("n-22", "p4", "23"));
  emit("DELETED", on("n-20", "p1", "24"));
  stopped.abort();
  assert.deepEqual(told, ["n-20 listed p1", "n-21 listed p2", "n-21 changed p2", "n-22 changed p4", "n-20 removed p1 deleted"]);
  assert.deepEqual([queries.length, queries.filter(({ fieldSelector }) => fieldSelector === undefined).length], [21, 1]);
});

test("the shared list rests after each page for as long as that took", async () => {
  const stopped = new AbortController();
  const clock = aFakeClock();
  const asked: [string, number][] = [];
  const beganMs = clock.now();
  const client: Pick<KubeClient, "list" | "watch"> = {
    async list<T>(_path: string, query: object = {}) {
      if ("fieldSelector" in query) return await new Promise<ListPage<T>>(() => undefined);
      const page = Number("continue" in query ? (query.continue ?? 0) : 0);
      asked.push([`page ${page}`, clock.now() - beganMs]);
      await clock.sleep(400);
      return { items: [], resourceVersion: "20", ...(page < 2 && { continue: String(page + 1) }) };
    },
    watch: () => new Promise(() => undefined),
  };
  const watch = makePacedWatch({ client, clock, log: silentLog }, { gateType: "gate", crowded: () => false });
  for (let n = 0; n < 45; n++) watch(`n-${n}`, () => undefined, stopped.signal);
  await clock.advance(3_000);
  stopped.abort();
  assert.deepEqual(asked, [
    ["page 0", 250],
    ["page 1", 1_050],
    ["page 2", 1_850],
  ]);
});
