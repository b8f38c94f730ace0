import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { RECORD_LABEL, RECORD_PREFIX } from "../../../common/names.ts";
import { makeRecords, type Records } from "../../../coordinator/state/records.ts";
import { aKube, eventually } from "../kube.ts";
import { silentLog } from "../pods.ts";

const PATH = "/api/v1/namespaces/clb-direct/configmaps";
const { signal } = new AbortController();

/** A process that reads what is stored; `stop` ends it. */
async function aProcess(t: TestContext, client: KubeClient, clusterId = "c0ffee00"): Promise<Records & { stop: () => Promise<void> }> {
  const stop = new AbortController();
  const records = makeRecords({ client, clock: makeClock(), log: silentLog, namespace: "clb-direct", clusterId });
  const over = records.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await over;
  };
  t.after(end);
  await eventually("the records are read", () => records.synced);
  return Object.assign(records, { stop: end });
}
const byKey = ([a]: readonly [string, string], [b]: readonly [string, string]): number => (a < b ? -1 : 1);
const entriesOf = (records: Records, scope: string) => new Map([...records.entries(scope)].toSorted(byKey));
const some = (from: number, count: number): Map<string, string> =>
  new Map(
    Array.from({ length: count }, (_, n) => [
      `ip.10.244.${Math.floor((from + n) / 200)}.${(from + n) % 200}`,
      `${"u".repeat(36)} node-a demo/web-${from + n}`,
    ]),
  );

test("what is stored is there, and another process finds it; what could not be stored is not there", async (t) => {
  const { client, cluster } = await aKube(t);
  const records = await aProcess(t, client);
  const put = records.put("lb-1", new Map([["a", "1"]]), signal);
  assert.equal(records.get("lb-1", "a"), undefined);
  await put;
  assert.equal(records.get("lb-1", "a"), "1");
  cluster.faults.inject({ kind: "fail", code: 500, times: 1, resource: "configmaps" });
  await assert.rejects(records.put("lb-1", new Map([["a", "2"]]), signal));
  assert.equal(records.get("lb-1", "a"), "1");
  await records.put(
    "lb-1",
    new Map([
      ["a", "2"],
      ["b", "3"],
    ]),
    signal,
  );
  await records.put("lb-2", new Map([["a", "4"]]), signal);
  await records.stop();
  const next = await aProcess(t, client);
  assert.deepEqual([...next.scopes].toSorted(), ["lb-1", "lb-2"]);
  assert.deepEqual(
    [...entriesOf(next, "lb-1"), ...entriesOf(next, "lb-2")],
    [
      ["a", "2"],
      ["b", "3"],
      ["a", "4"],
    ],
  );
});

test("lies in pieces of a few kB: no write grows with what is stored, and 30 000 addresses are no limit", async (t) => {
  const { client, cluster } = await aKube(t);
  const records = await aProcess(t, client);
  for (let from = 0; from < 30_000; from += 500) await records.put("lb-1", some(from, 500), signal);
  const stored = cluster.store.list("configmaps") as unknown as { metadata: { name: string }; data: Record<string, string> }[];
  const sizes = stored.map(({ data }) => JSON.stringify(data).length);
  assert.ok(Math.max(...sizes) < 10_000, `one holds ${Math.max(...sizes)} bytes`);
  const touched = new Set<string>();
  const before = new Map(stored.map(({ metadata, data }) => [metadata.name, JSON.stringify(data)]));
  await records.put("lb-1", some(30_000, 1), signal);
  for (const { metadata, data } of cluster.store.list("configmaps") as unknown as typeof stored)
    if (before.get(metadata.name) !== JSON.stringify(data)) touched.add(metadata.name);
  assert.equal(touched.size, 1);
  await records.stop();
  assert.equal(entriesOf(await aProcess(t, client), "lb-1").size, 30_001);
});

test("what was forgotten is gone at once, and for the next process soon; an empty ConfigMap goes", async (t) => {
  const { client, cluster } = await aKube(t);
  const records = await aProcess(t, client);
  await records.put("lb-1", some(0, 600), signal);
  const count = (): number => cluster.store.list("configmaps").length;
  const full = count();
  records.forget("lb-1", some(0, 599).keys());
  assert.equal(entriesOf(records, "lb-1").size, 1);
  await records.put("lb-1", new Map([...some(0, 1).keys()].map((key) => [key, "again"])), signal);
  await eventually("one is left", () => count() < full && count() <= 2);
  await records.stop();
  const next = await aProcess(t, client);
  assert.equal(next.get("lb-1", "ip.10.244.0.0"), "again");
  assert.equal(entriesOf(next, "lb-1").size, 2);
  await next.drop("lb-1", signal);
  assert.equal(count(), 0);
});

test("a ConfigMap that somebody deletes or edits is written again", async (t) => {
  const { client } = await aKube(t);
  const records = await aProcess(t, client);
  await records.put(
    "lb-1",
    new Map([
      ["a", "1"],
      ["b", "2"],
    ]),
    signal,
  );
  const name = `${PATH}/${RECORD_PREFIX}lb-1-0`;
  let stored: Record<string, string> = {};
  const look = (): void =>
    void client.get<{ data: Record<string, string> }>(name).then(
      ({ data }) => (stored = data),
      () => (stored = {}),
    );
  const isWhole = (): boolean => {
    look();
    return JSON.stringify(Object.entries(stored).toSorted(byKey)) === '[["a","1"],["b","2"]]';
  };
  await client.delete(name);
  stored = {};
  await eventually("it is there again", isWhole);
  await client.patch(name, { metadata: { labels: { [RECORD_LABEL]: null } }, data: { a: null, b: "x", c: "y" } }, "merge");
  stored = {};
  await eventually("it is as it was", isWhole);
});

test("the record of another cluster says nothing, and what the version before stored is told apart", async (t) => {
  const { client } = await aKube(t);
  const theirs = await aProcess(t, client, "beefbeef");
  await theirs.put("lb-1", new Map([["a", "theirs"]]), signal);
  await theirs.stop();
  await client.create(PATH, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "clb-direct-journal-lb-2" },
    data: { "10.244.0.1": "pod-1" },
  });
  const ours = await aProcess(t, client);
  assert.equal(ours.get("lb-1", "a"), undefined);
  assert.deepEqual([...ours.former], [["lb-2", { "10.244.0.1": "pod-1" }]]);
  await ours.put("lb-1", new Map([["b", "ours"]]), signal);
  await ours.stop();
  const next = await aProcess(t, client);
  assert.deepEqual([...entriesOf(next, "lb-1")], [["b", "ours"]]);
});
