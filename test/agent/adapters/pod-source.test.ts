import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { type Identity, makePodSource } from "../../../agent/adapters/pod-source.ts";
import { makeClock } from "../../../common/clock.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient, ListPage, Query } from "../../../common/kubernetes/requests.ts";
import { pause, until } from "../until.ts";

/** An API server that lists one Pod to whom it allows to, and whose watches stay silent until cut. */
function start(t: TestContext, allowed: Set<Identity>) {
  const asked: { identity: Identity; query: Query | undefined }[] = [];
  const cuts = new Set<() => void>();
  const denied = (identity: Identity) => new KubeApiError("GET /api/v1/pods", "denied", `403 as ${identity}`, { code: 403 });
  const client = (identity: Identity): Pick<KubeClient, "list" | "watch"> => ({
    list: <T>(_path: string, query?: Query): Promise<ListPage<T>> => {
      asked.push({ identity, query });
      const pod = { metadata: { uid: `pod-of-${identity}`, resourceVersion: "1", namespace: "demo", name: "web" }, spec: {} };
      return allowed.has(identity) ? Promise.resolve({ items: [pod as T], resourceVersion: "1" }) : Promise.reject(denied(identity));
    },
    watch: (_path, _query, _onEvent, signal) =>
      new Promise((resolve) => {
        if (!allowed.has(identity)) resolve({ kind: "failed", error: denied(identity) });
        signal.addEventListener("abort", () => resolve({ kind: "aborted" }), { once: true });
        cuts.add(() => resolve({ kind: "closed" }));
      }),
  });
  const seen = { synced: 0, warnings: 0, infos: 0 };
  const source = makePodSource({
    clients: { node: client("node"), self: client("self") },
    nodeName: "node-a",
    gateType: "example.com/gate",
    onChange: () => undefined,
    onSynced: () => seen.synced++,
    onRelist: () => undefined,
    onRestart: () => undefined,
    clock: makeClock(50),
    log: pino({ level: "info" }, { write: (line: string) => void (JSON.parse(line).level >= 40 ? seen.warnings++ : seen.infos++) }),
  });
  const over = new AbortController();
  const ended = source.run(over.signal);
  t.after(async () => {
    over.abort();
    await ended;
  });
  const cut = (): void => {
    for (const one of cuts) one();
    cuts.clear();
  };
  return { source, asked, seen, allowed, cut };
}

test("reads the Pods as the node where that is allowed", async (t) => {
  const { source, asked, seen } = start(t, new Set<Identity>(["node", "self"]));
  await until(() => source.synced);
  assert.deepEqual([...source.records.keys()], ["pod-of-node"]);
  await pause(30);
  assert.deepEqual(
    asked.map(({ identity }) => identity),
    ["node"],
  );
  assert.equal(asked[0]?.query?.["fieldSelector"], "spec.nodeName=node-a");
  assert.equal(seen.synced, 1);
});

test("falls back to its own rights on 403, told once", async (t) => {
  const { source, seen } = start(t, new Set<Identity>(["self"]));
  await until(() => source.synced);
  assert.deepEqual([...source.records.keys()], ["pod-of-self"]);
  assert.equal(seen.infos, 1);
});

test("tries both again and again while neither is allowed, without haste", async (t) => {
  const { source, asked, allowed, seen } = start(t, new Set<Identity>());
  await until(() => asked.length >= 4);
  assert.equal(source.synced, false);
  await pause(100); // 5 s of its time
  assert.ok(asked.length <= 8, `asked ${asked.length} times`);
  assert.ok(seen.warnings >= 1);
  allowed.add("node");
  await until(() => source.synced);
});

test("keeps what it knew when the right to read as the node is taken away", async (t) => {
  const { source, allowed, cut, seen } = start(t, new Set<Identity>(["node"]));
  await until(() => source.synced);
  allowed.clear();
  cut();
  await pause(100);
  assert.deepEqual([source.synced, [...source.records.keys()]], [true, ["pod-of-node"]]);
  allowed.add("self");
  await until(() => seen.synced === 2);
  assert.deepEqual([...source.records.keys()], ["pod-of-self"]);
});
