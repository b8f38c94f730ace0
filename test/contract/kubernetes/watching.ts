/** Lists and watches: selectors, pages, resuming, bookmarks, too old and future versions. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { until } from "../../cluster/process.ts";
import { etcdAt } from "../../cluster/real/etcd.ts";
import {
  aPod,
  aService,
  at,
  type Behaviours,
  each,
  type OnEmbedded,
  type OnReal,
  refusal,
  type Subject,
  versionOf,
  watchIn,
  within,
} from "./suite.ts";

const SLOW = process.env["SLOW"] === undefined ? "takes 65 s: set SLOW=1" : false;

export function registerWatching({ both }: Behaviours): void {
  both("selects by labels and fields; a field that it does not know is 400", selects);
  both("lists come in pages of one state, in the order of names; list items lack kind", pages);
  both("a list from the future is 504, one without resourceVersion is the newest", futureList);
  both("a watch resumes after its resourceVersion and tells what happened, in order", resumes);
  both("what leaves a selector is DELETED, what enters it ADDED; a Pod enters its node's watch when it is bound", leaving);
  both("a watch begins with what is there, and marks its end when asked", initialEvents);
  both("a watch from the future stays silent", future);
  both("a watch that is too old is 200, then ERROR 410 in the stream", tooOld);
  both("a bookmark comes 2 s before the timeout of a watch, then it ends in order", lastBookmark);
  both("a bookmark comes every 60 s", bookmarks, { skip: SLOW, timeout: 90_000 });
  both("what cannot be watched or listed is refused", refusals);
}

/** Apart from the others, whose lists and watches would be too old all of a sudden. */
export function registerCompaction({ real, embedded }: Behaviours): void {
  embedded("a compaction makes every earlier version too old, and leaves running watches alone", compactionEmbedded);
  real(
    "after etcd is compacted, pages go on from the cache, one that is older than that is 410 Expired; running watches go on",
    compactionReal,
  );
}

async function selects({ ask, namespace }: Subject): Promise<void> {
  const { pods, services } = within(await namespace());
  for (const [name, labels, nodeName] of [
    ["a", { app: "x", tier: "1" }, "node-a"],
    ["b", { app: "x" }, "node-b"],
    ["c", { app: "y" }, "node-a"],
  ] as const) {
    await ask("POST", pods, aPod(name, { nodeName }, { labels }));
  }
  const by = async (query: Record<string, string>, path = pods) =>
    each(await ask("GET", path, undefined, { query }), "body.items", "metadata.name").join("");
  const labels: Record<string, string> = {
    "app=x": "ab",
    "app!=x": "c",
    "app in (x, y),tier": "a",
    "!tier": "bc",
    "tier notin (1)": "bc",
    "app==y": "c",
    "": "abc",
  };
  for (const [labelSelector, names] of Object.entries(labels)) assert.equal(await by({ labelSelector }), names, labelSelector);
  const fields: Record<string, string> = {
    "spec.nodeName=node-a": "ac",
    "spec.nodeName!=node-a": "b",
    "metadata.name!=a": "bc",
    "status.phase=Pending,metadata.name=c": "c",
    "spec.nodeName=none": "",
  };
  for (const [fieldSelector, names] of Object.entries(fields)) assert.equal(await by({ fieldSelector }), names, fieldSelector);
  await ask("POST", services, aService("l", { type: "LoadBalancer" }));
  await ask("POST", services, aService("c"));
  assert.equal(await by({ fieldSelector: "spec.type=LoadBalancer" }, services), "l");
  for (const query of [{ fieldSelector: "spec.foo=1" }, { labelSelector: "a b" }, { fieldSelector: "nonsense" }]) {
    assert.equal((await ask("GET", pods, undefined, { query })).code, 400, JSON.stringify(query));
  }
}

async function pages({ ask, namespace }: Subject): Promise<void> {
  const { leases } = within(await namespace());
  for (const name of ["c", "a", "b"]) await ask("POST", leases, aLease(`x-${name}`));
  const page = (query: Record<string, string | number>) => ask("GET", leases, undefined, { query: { limit: 3, ...query } });
  const all = await page({ limit: 0 });
  const names = each(all, "body.items", "metadata.name");
  assert.deepEqual(names, ["x-a", "x-b", "x-c"]);
  assert.deepEqual([at(all, "body.kind"), at(all, "body.items.0.kind")], ["LeaseList", undefined]);
  const first = await page({ limit: names.length - 1 });
  assert.deepEqual([each(first, "body.items", "metadata.name"), at(first, "body.metadata.remainingItemCount")], [names.slice(0, -1), 1]);
  await ask("POST", leases, aLease("x-d"));
  await ask("DELETE", `${leases}/x-c`);
  const token = String(at(first, "body.metadata.continue"));
  const second = await page({ continue: token });
  assert.deepEqual([each(second, "body.items", "metadata.name"), at(second, "body.metadata.continue")], [["x-c"], undefined]);
  assert.equal(versionOf(second.body), versionOf(first.body));
  assert.equal((await page({ continue: "nonsense" })).code, 400);
}

async function futureList({ ask, namespace }: Subject): Promise<void> {
  const { leases } = within(await namespace());
  const { body } = await ask("POST", leases, aLease("c"));
  const far = String(Number(versionOf(body)) + 1_000_000);
  const list = (resourceVersion: string) => ask("GET", leases, undefined, { query: { resourceVersion } });
  const refused = await list(far);
  assert.deepEqual([refused.code, at(refused, "body.details.causes.0.reason")], [504, "ResourceVersionTooLarge"]);
  for (const known of ["", "0", versionOf(body)]) assert.equal((await list(known)).code, 200, known);
  assert.ok(each(await list(""), "body.items", "metadata.name").includes("c"));
}

/** Nobody but a test makes any here; a real namespace gets a ConfigMap of its own some time. */
const aLease = (name: string): object => ({ metadata: { name } });
const relabel = (app: string): object => ({ metadata: { labels: { app } } });

async function resumes(subject: Subject, t: TestContext): Promise<void> {
  const { ask, namespace } = subject;
  const { leases } = within(await namespace());
  const { body } = await ask("POST", leases, aLease("a"));
  await ask("PATCH", `${leases}/a`, relabel("x"), { type: "merge" });
  const log = watchIn(subject, t, leases, { resourceVersion: versionOf(body) });
  await log.count(1);
  await ask("POST", leases, aLease("b"));
  await ask("PATCH", `${leases}/a`, relabel("x"), { type: "merge" }); // no change, no event
  await ask("DELETE", `${leases}/a`);
  await log.count(3);
  assert.deepEqual(
    log.events.map(({ type, object }) => [type, at(object, "kind"), at(object, "metadata.name")]),
    [
      ["MODIFIED", "Lease", "a"],
      ["ADDED", "Lease", "b"],
      ["DELETED", "Lease", "a"],
    ],
  );
  const versions = log.events.map(({ object }) => Number(versionOf(object)));
  assert.deepEqual(
    versions,
    [...versions].sort((one, other) => one - other),
    "a DELETED has a version of its own",
  );
}

async function leaving(subject: Subject, t: TestContext): Promise<void> {
  const { ask, namespace } = subject;
  const { pods } = within(await namespace());
  const { body } = await ask("POST", pods, aPod("a", { nodeName: undefined, schedulerName: "nobody" }, { labels: { app: "x" } }));
  const byLabel = watchIn(subject, t, pods, { resourceVersion: versionOf(body), labelSelector: "app=x" });
  const byNode = watchIn(subject, t, pods, { resourceVersion: versionOf(body), fieldSelector: "spec.nodeName=node-a" });
  for (const app of ["y", "z", "x"]) await ask("PATCH", `${pods}/a`, relabel(app), { type: "merge" });
  await ask("POST", `${pods}/a/binding`, { metadata: { name: "a" }, target: { kind: "Node", name: "node-a" } });
  await ask("DELETE", `${pods}/a`, { gracePeriodSeconds: 0 });
  await byLabel.count(5);
  assert.deepEqual(byLabel.types(), ["DELETED", "ADDED", "MODIFIED", "MODIFIED", "DELETED"]);
  assert.equal(at(byLabel.events[0]?.object, "metadata.labels.app"), "x", "with its last content that matched");
  await byNode.count(3);
  assert.deepEqual(byNode.types(), ["ADDED", "MODIFIED", "DELETED"]);
}

async function initialEvents(subject: Subject, t: TestContext): Promise<void> {
  const { ask, namespace } = subject;
  const { pods } = within(await namespace());
  for (const name of ["a", "b"]) await ask("POST", pods, aPod(name));
  const log = watchIn(subject, t, pods, { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" });
  await log.count(3);
  assert.deepEqual(log.types(), ["ADDED", "ADDED", "BOOKMARK"]);
  const bookmark = log.events[2]?.object;
  assert.equal(at(bookmark, "metadata.annotations", "k8s.io/initial-events-end"), "true");
  assert.match(versionOf(bookmark), /^\d+$/);
  await ask("POST", pods, aPod("c"));
  const third = () => log.events.find(({ object }) => at(object, "metadata.name") === "c"); // a real server may send a bookmark before
  assert.equal((await until("the third Pod", third)).type, "ADDED");
  const plain = watchIn(subject, t, pods, {});
  await plain.count(3);
  assert.deepEqual(plain.types().slice(0, 3), ["ADDED", "ADDED", "ADDED"]); // a real server may send a bookmark then
}

async function future(subject: Subject, t: TestContext): Promise<void> {
  const { ask, namespace } = subject;
  const { leases } = within(await namespace());
  const { body } = await ask("POST", leases, aLease("a"));
  const log = watchIn(subject, t, leases, { resourceVersion: String(Number(versionOf(body)) + 1_000_000) });
  await sleep(500);
  await ask("POST", leases, aLease("b"));
  await sleep(1_500);
  assert.deepEqual(log.types(), []);
}

async function tooOld(subject: Subject, t: TestContext): Promise<void> {
  const { namespace } = subject;
  // A real server's cache of custom resources begins when their definition is made; that of Pods has seen everything.
  const log = watchIn(subject, t, within(await namespace()).configs, { resourceVersion: "1" });
  const end = await log.ended;
  assert.ok(end.kind === "failed" && end.error instanceof KubeApiError);
  assert.deepEqual([end.error.failure, end.error.code, end.error.reason, log.types()], ["gone", 410, "Expired", []]);
  assert.match(end.error.message, /too old resource version: 1 \(\d+\)/);
}

async function lastBookmark(subject: Subject, t: TestContext): Promise<void> {
  const { ask, namespace } = subject;
  const { leases } = within(await namespace());
  const { body } = await ask("POST", leases, aLease("a"));
  const startMs = performance.now();
  const log = watchIn(subject, t, leases, { resourceVersion: versionOf(body), timeoutSeconds: 5 });
  const end = await log.ended;
  const tookMs = performance.now() - startMs;
  assert.equal(end.kind, "closed");
  assert.ok(tookMs > 4_500 && tookMs < 7_000, `ended after ${tookMs} ms`);
  assert.deepEqual(new Set(log.types()), new Set(["BOOKMARK"])); // a real server may send two
  const [bookmark] = log.events;
  const afterMs = (bookmark?.atMs ?? 0) - startMs;
  assert.ok(afterMs > 1_900 && afterMs < 4_500, `the bookmark came after ${afterMs} ms`);
  assert.deepEqual([at(bookmark?.object, "kind"), at(bookmark?.object, "metadata.name")], ["Lease", undefined]);
  assert.ok(Number(versionOf(bookmark?.object)) >= Number(versionOf(body)));
}

async function bookmarks(subject: Subject, t: TestContext): Promise<void> {
  const { ask, namespace } = subject;
  const { leases } = within(await namespace());
  const { body } = await ask("POST", leases, aLease("a"));
  const startMs = performance.now();
  const log = watchIn(subject, t, leases, { resourceVersion: versionOf(body) });
  await until("a bookmark", () => log.types().includes("BOOKMARK"), 75_000);
  const afterMs = performance.now() - startMs;
  assert.deepEqual(log.types(), ["BOOKMARK"]);
  // The embedded server has one timer for all watches: the first bookmark may come earlier.
  assert.ok(afterMs > (subject.server === "real" ? 55_000 : 0) && afterMs < 70_000, `after ${afterMs} ms`);
}

async function refusals({ ask, namespace }: Subject): Promise<void> {
  const { pods } = within(await namespace());
  const get = (query: Record<string, string | boolean>, path = pods) => ask("GET", path, undefined, { query });
  assert.deepEqual(refusal(await get({ watch: true, sendInitialEvents: true })).slice(0, 2), [422, "Invalid"]);
  assert.deepEqual(refusal(await get({ sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" })).slice(0, 2), [422, "Invalid"]);
  assert.equal((await get({ resourceVersion: "abc" })).code, 400);
  assert.deepEqual(refusal(await get({}, "/api/v1/foos")), [404, "NotFound"]);
  const unknown = await get({ watch: true }, "/apis/foo.io/v1/foos");
  assert.deepEqual([unknown.code, unknown.text], [404, "404 page not found\n"]);
  assert.deepEqual(refusal(await ask("POST", `${pods}/p`, {})).slice(0, 1), [405]);
}

async function compactionEmbedded(subject: OnEmbedded, t: TestContext): Promise<void> {
  const { ask, namespace, cluster } = subject;
  const { leases } = within(await namespace());
  for (const name of ["a", "b"]) await ask("POST", leases, aLease(name));
  const { body } = await ask("GET", leases, undefined, { query: { limit: 1 } });
  const running = watchIn(subject, t, leases, { resourceVersion: versionOf(body) });
  await ask("POST", leases, aLease("c"));
  await running.count(1);
  cluster.store.compact();
  const end = await watchIn(subject, t, leases, { resourceVersion: versionOf(body) }).ended;
  assert.ok(end.kind === "failed" && end.error.failure === "gone");
  const page = await ask("GET", leases, undefined, { query: { limit: 1, continue: String(at(body, "metadata.continue")) } });
  assert.deepEqual(refusal(page), [410, "Expired"]);
  await ask("POST", leases, aLease("d"));
  await running.count(2);
}

/** Through etcd's JSON gateway: an API server compacts every 5 minutes. Pages of before come from its cache, which has no state as old as this token's. */
async function compactionReal(subject: OnReal, t: TestContext): Promise<void> {
  const { ask, namespace, plan } = subject;
  const { configs } = within(await namespace());
  const config = (name: string) => ({ apiVersion: "cloud.tencent.com/v1alpha1", kind: "TkeServiceConfig", metadata: { name } });
  for (const name of ["a", "b"]) await ask("POST", configs, config(name));
  const { body } = await ask("GET", configs, undefined, { query: { limit: 1 } });
  const running = watchIn(subject, t, configs, { resourceVersion: versionOf(body) });
  const { body: last } = await ask("POST", configs, config("c"));
  await running.count(1);
  await etcdAt(plan.apiServer).compact(versionOf(last));
  const next = (token: string) => ask("GET", configs, undefined, { query: { limit: 1, continue: token } });
  const kept = await next(String(at(body, "metadata.continue")));
  assert.deepEqual([kept.code, each(kept, "body.items", "metadata.name")], [200, ["b"]]);
  const ancient = { v: "meta.k8s.io/v1", rv: 2, start: "a\u0000" };
  assert.deepEqual(refusal(await next(Buffer.from(JSON.stringify(ancient)).toString("base64url"))), [410, "Expired"]);
  await ask("POST", configs, config("d"));
  await running.count(2);
}
