import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient, ListPage, WatchEventType } from "../../../common/kubernetes/requests.ts";
import { certificateFault, isIssuedBy, issueAuthority, issueServing, namesOf } from "../../../coordinator/tls/certificate.ts";
import { makeServing, type Serving } from "../../../coordinator/tls/serving.ts";
import { silentLog } from "../pods.ts";

const DAY_MS = 86_400_000;
const CA = "secrets/clb-direct-ca";
const LEAF = "secrets/clb-direct-serving";
const BUNDLE = "configmaps/clb-direct-ca-bundle";

type Stored = { metadata: { name: string; uid: string; resourceVersion: string }; data: Record<string, string> };

/** Secrets and ConfigMaps of one Namespace, with optimistic locking and watches; `away` makes every call fail. */
function anApiServer() {
  const objects = new Map<string, Stored>();
  const watchers = new Map<string, Set<(type: WatchEventType, object: unknown) => void>>();
  const state = { away: false, writes: 0, version: 100 };
  const keyOf = (path: string): string => path.replace("/api/v1/namespaces/clb-direct/", "");
  const check = (path: string): void => {
    if (state.away) throw new KubeApiError(path, "transport", "connect ECONNREFUSED");
  };
  const store = (key: string, object: Stored, type: WatchEventType): Stored => {
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++state.version) } };
    if (type === "DELETED") objects.delete(key);
    else objects.set(key, stored);
    for (const tell of watchers.get(key) ?? []) tell(type, structuredClone(stored));
    return structuredClone(stored);
  };
  const kube: Pick<KubeClient, "get" | "create" | "patch" | "list" | "watch"> = {
    async get<T>(path: string) {
      check(path);
      const found = objects.get(keyOf(path));
      await new Promise(setImmediate); // others may write between a read and what is done with it
      if (found === undefined) throw new KubeApiError(`GET ${path}`, "notFound", "not found", { code: 404 });
      return structuredClone(found) as T;
    },
    async create<T>(path: string, body: unknown) {
      check(path);
      const object = body as Stored;
      const key = `${keyOf(path)}/${object.metadata.name}`;
      if (objects.has(key)) throw new KubeApiError(`POST ${path}`, "conflict", "already exists", { code: 409, reason: "AlreadyExists" });
      state.writes++;
      return store(key, { ...object, metadata: { ...object.metadata, uid: `uid-${state.version}` } }, "ADDED") as T;
    },
    async patch<T>(path: string, body: unknown) {
      check(path);
      const found = objects.get(keyOf(path));
      const patch = body as Stored;
      if (found === undefined) throw new KubeApiError(`PATCH ${path}`, "notFound", "not found", { code: 404 });
      if (patch.metadata.resourceVersion !== found.metadata.resourceVersion)
        throw new KubeApiError(`PATCH ${path}`, "conflict", "the object has been modified", { code: 409 });
      state.writes++;
      return store(keyOf(path), { ...found, data: { ...found.data, ...patch.data } }, "MODIFIED") as T;
    },
    async list<T>(path: string, query: Record<string, unknown> = {}) {
      check(path);
      const found = objects.get(`${keyOf(path)}/${String(query["fieldSelector"]).replace("metadata.name=", "")}`);
      return {
        items: found === undefined ? [] : [structuredClone(found)],
        resourceVersion: String(state.version),
      } as unknown as ListPage<T>;
    },
    watch(path, query, onEvent, signal) {
      const key = `${keyOf(path)}/${String(query["fieldSelector"]).replace("metadata.name=", "")}`;
      watchers.set(key, (watchers.get(key) ?? new Set()).add(onEvent));
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve({ kind: "aborted" }), { once: true }));
    },
  };
  const isSecret = (key: string): boolean => key.startsWith("secrets/");
  const read = (key: string, field: string): string => {
    const value = objects.get(key)?.data[field] ?? "";
    return isSecret(key) ? Buffer.from(value, "base64").toString() : value;
  };
  const edit = (key: string, data: Record<string, string>): void => {
    const found = objects.get(key) ?? { metadata: { name: key.split("/")[1] ?? "", uid: "by hand", resourceVersion: "" }, data: {} };
    const encoded = Object.entries(data).map(([field, text]) => [field, isSecret(key) ? Buffer.from(text).toString("base64") : text]);
    store(key, { ...found, data: { ...found.data, ...Object.fromEntries(encoded) } }, objects.has(key) ? "MODIFIED" : "ADDED");
  };
  const remove = (key: string): void => {
    const found = objects.get(key);
    assert.ok(found);
    store(key, found, "DELETED");
  };
  return { kube, state, objects, watchers, read, edit, remove };
}

/** A keeper that runs until the test ends, of a leader unless it stands by. `nowMs` is what its clock shows. */
async function aKeeper(
  t: TestContext,
  api: ReturnType<typeof anApiServer>,
  options: { dnsNames?: string[]; nowMs?: () => number; standsBy?: boolean } = {},
) {
  const stopped = new AbortController();
  const real = makeClock();
  const clock = { now: options.nowMs ?? (() => real.now()), sleep: (ms: number, signal?: AbortSignal) => real.sleep(ms, signal) };
  const names = { dnsNames: options.dnsNames ?? ["coordinator.svc"], ipAddresses: ["127.0.0.1"] };
  const keeper = await makeServing({ kube: api.kube, namespace: "clb-direct", clock, log: silentLog, ...names }, stopped.signal);
  const changes: Serving[] = [];
  keeper.subscribe((serving) => void changes.push(serving));
  const run = keeper.run(stopped.signal);
  if (options.standsBy !== true) keeper.lead(api.kube, stopped.signal);
  t.after(async () => {
    stopped.abort();
    await run;
  });
  return { keeper, changes };
}

const isGood = ({ certPem, keyPem, caBundlePem }: Serving, nowMs = Date.now()): boolean =>
  certificateFault({ certPem, keyPem, caPem: caBundlePem }, nowMs, ["coordinator.svc", "127.0.0.1"]) === undefined;

/** The objects agree with each other and with what is served. */
const isInStep = (api: ReturnType<typeof anApiServer>, { certPem, keyPem, caBundlePem }: Serving): boolean =>
  api.read(LEAF, "tls.crt") === certPem &&
  api.read(LEAF, "tls.key") === keyPem &&
  api.read(BUNDLE, "ca.crt") === caBundlePem &&
  caBundlePem.includes(api.read(CA, "tls.crt"));

async function until(claim: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (claim()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`never happened: ${what}`);
}

test("where nothing is there, authority, bundle and leaf are created and in step; a second keeper takes them as they are", async (t) => {
  const api = anApiServer();
  const { keeper } = await aKeeper(t, api);
  assert.ok(isGood(keeper.current));
  assert.ok(isInStep(api, keeper.current));
  assert.equal(api.state.writes, 3);
  const second = await aKeeper(t, api);
  assert.deepEqual(second.keeper.current, keeper.current);
  assert.equal(api.state.writes, 3);
});

test("two replicas that start at once settle on one certificate", async (t) => {
  const api = anApiServer();
  const [one, other] = await Promise.all([aKeeper(t, api), aKeeper(t, api)]);
  await until(() => one.keeper.current.certPem === other.keeper.current.certPem, "both serve the same");
  assert.ok(isInStep(api, one.keeper.current));
  assert.equal(api.state.writes, 3);
});

for (const key of [CA, LEAF, BUNDLE])
  test(`${key} is put back as it was when somebody deletes it`, async (t) => {
    const api = anApiServer();
    const { keeper, changes } = await aKeeper(t, api);
    const before = keeper.current;
    await until(() => api.watchers.size === 3, "all watches run");
    api.remove(key);
    await until(() => isInStep(api, before), "repaired");
    assert.deepEqual(changes, [], "nothing changes for those who serve");
  });

const edits: { why: string; key: string; data: Record<string, string> }[] = [
  { why: "a garbage authority", key: CA, data: { "tls.crt": "garbage" } },
  { why: "a key of somebody else", key: LEAF, data: { "tls.key": (await issueAuthority(Date.now())).keyPem } },
  { why: "a garbage leaf", key: LEAF, data: { "tls.crt": "garbage" } },
  { why: "an emptied bundle", key: BUNDLE, data: { "ca.crt": "" } },
];
for (const { why, key, data } of edits)
  test(`${why} is repaired`, async (t) => {
    const api = anApiServer();
    const { keeper } = await aKeeper(t, api);
    const before = keeper.current;
    await until(() => api.watchers.size === 3, "all watches run");
    api.edit(key, data);
    await until(() => isInStep(api, before), "repaired");
    assert.ok(isGood(keeper.current));
  });

test("a leaf near its expiry is renewed by the same authority, and those who serve are told", async (t) => {
  const api = anApiServer();
  const authority = await issueAuthority(Date.now());
  const old = await issueServing(authority, ["coordinator.svc"], ["127.0.0.1"], Date.now() - 61 * DAY_MS);
  let nowMs = Date.now() - 10 * DAY_MS;
  api.edit(CA, { "tls.crt": authority.certPem, "tls.key": authority.keyPem });
  api.edit(LEAF, { "tls.crt": old.certPem, "tls.key": old.keyPem });
  nowMs = Date.now() - 60_000;
  const { keeper, changes } = await aKeeper(t, api, { nowMs: () => nowMs });
  assert.notEqual(keeper.current.certPem, old.certPem);
  assert.ok(isIssuedBy(keeper.current.certPem, authority.certPem));
  await until(() => api.watchers.size === 3, "all watches run");
  const before = keeper.current;
  nowMs += 61 * DAY_MS;
  api.edit(BUNDLE, { note: "any event" });
  await until(() => changes.length === 1, "the renewal is told");
  assert.notEqual(changes[0]?.certPem, before.certPem);
  assert.ok(isGood(keeper.current, nowMs));
});

test("an authority near its expiry is followed by a new one, published an hour before it signs", async (t) => {
  const api = anApiServer();
  let nowMs = Date.now();
  const { keeper } = await aKeeper(t, api, { nowMs: () => nowMs });
  const oldAuthority = api.read(CA, "tls.crt");
  await until(() => api.watchers.size === 3, "all watches run");
  nowMs += 230 * DAY_MS; // the leaf is renewed, the authority is not
  api.edit(BUNDLE, { note: "1" });
  await until(() => isGood(keeper.current, nowMs), "the leaf is renewed");
  nowMs += 20 * DAY_MS;
  api.edit(BUNDLE, { note: "2" });
  await until(() => api.read(CA, "tls.crt") !== oldAuthority, "a new authority");
  const newAuthority = api.read(CA, "tls.crt");
  await until(() => keeper.current.caBundlePem === newAuthority + oldAuthority, "the bundle holds both");
  assert.ok(isIssuedBy(keeper.current.certPem, oldAuthority), "agents may not have the new bundle yet");
  nowMs += 3_600_000;
  api.edit(BUNDLE, { note: "3" });
  await until(() => isIssuedBy(keeper.current.certPem, newAuthority), "the new authority signs");
  assert.ok(isInStep(api, keeper.current));
  nowMs += 130 * DAY_MS;
  api.edit(BUNDLE, { note: "4" });
  await until(() => keeper.current.caBundlePem === newAuthority, "the expired authority leaves the bundle");
});

test("replicas with different names do not replace each other's certificate for ever", async (t) => {
  const api = anApiServer();
  const one = await aKeeper(t, api, { dnsNames: ["coordinator.svc"] });
  const other = await aKeeper(t, api, { dnsNames: ["coordinator.new.svc"] });
  await until(() => one.keeper.current.certPem === other.keeper.current.certPem, "both serve the same");
  assert.deepEqual([...namesOf(one.keeper.current.certPem).dnsNames].sort(), ["coordinator.new.svc", "coordinator.svc"]);
  const { writes } = api.state;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(api.state.writes, writes);
});

test("while the API server is away the certificate stays, and start waits for it", async (t) => {
  const api = anApiServer();
  api.state.away = true;
  setTimeout(() => (api.state.away = false), 300);
  const { keeper, changes } = await aKeeper(t, api);
  const before = keeper.current;
  await until(() => api.watchers.size === 3, "all watches run");
  api.state.away = true;
  api.edit(LEAF, { "tls.crt": "garbage" });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual(keeper.current, before);
  assert.deepEqual(changes, []);
  api.state.away = false;
  await until(() => isInStep(api, before), "repaired once the API server is back");
});

test("a replica that stands by writes nothing and serves on; as soon as it leads it puts right what is wrong", async (t) => {
  const api = anApiServer();
  const { keeper, changes } = await aKeeper(t, api, { standsBy: true });
  const before = keeper.current;
  assert.equal(api.state.writes, 3, "there was nothing at all");
  await until(() => api.watchers.size === 3, "all watches run");
  api.edit(LEAF, { "tls.crt": "garbage" });
  api.edit(BUNDLE, { "ca.crt": "garbage" });
  api.remove(CA);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(api.state.writes, 3);
  assert.deepEqual([keeper.current, changes], [before, []]);
  const reign = new AbortController();
  t.after(() => reign.abort());
  keeper.lead(api.kube, reign.signal);
  await until(() => isInStep(api, before), "repaired by the leader");
  reign.abort();
  const { writes } = api.state;
  api.edit(BUNDLE, { "ca.crt": "garbage" });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(api.state.writes, writes, "its reign is over");
});

test("a replica that stands by has a certificate of its own where the leader's is missing or old, until there is a better one", async (t) => {
  const api = anApiServer();
  const authority = await issueAuthority(Date.now());
  api.edit(CA, { "tls.crt": authority.certPem, "tls.key": authority.keyPem });
  let nowMs = Date.now();
  const { keeper, changes } = await aKeeper(t, api, { standsBy: true, nowMs: () => nowMs });
  assert.ok(isGood(keeper.current));
  await until(() => api.watchers.size === 3, "all watches run");
  const first = keeper.current;
  nowMs += 89 * DAY_MS;
  api.edit(CA, { note: "any event" });
  await until(() => changes.length === 1, "renewed");
  assert.notEqual(keeper.current.certPem, first.certPem);
  assert.equal(api.state.writes, 0);
  const leaders = await issueServing(authority, ["coordinator.svc"], ["127.0.0.1"], nowMs);
  api.edit(LEAF, { "tls.crt": leaders.certPem, "tls.key": leaders.keyPem });
  await until(() => keeper.current.certPem === leaders.certPem, "the leader's is taken");
});

test("a replica that starts while the authority is away leaves it to the leader, and makes one only where nobody does", async (t) => {
  const api = anApiServer();
  const { keeper } = await aKeeper(t, api);
  const before = keeper.current;
  await until(() => api.watchers.size === 3, "all watches run");
  api.remove(CA);
  const second = await aKeeper(t, api, { standsBy: true });
  assert.deepEqual(second.keeper.current, before);
  const alone = anApiServer();
  alone.edit(BUNDLE, { "ca.crt": "of former times" });
  const { keeper: last } = await aKeeper(t, alone, { standsBy: true });
  assert.ok(isInStep(alone, last.current));
});

test("a clock that jumps past every expiry: a leader has a new authority and a new leaf at once", async (t) => {
  const api = anApiServer();
  let nowMs = Date.now();
  const { keeper, changes } = await aKeeper(t, api, { nowMs: () => nowMs });
  const before = keeper.current;
  await until(() => api.watchers.size === 3, "all watches run");
  nowMs += 4_000 * DAY_MS; // and nothing else happens
  await until(() => changes.length > 0 && isInStep(api, keeper.current), "renewed");
  assert.ok(isGood(keeper.current, nowMs));
  assert.notEqual(keeper.current.caBundlePem, before.caBundlePem);
});

test("a pass is judged by one moment: a clock that jumps in the middle leaves no leaf of an expired authority, and the next pass mends", async (t) => {
  const api = anApiServer();
  const startMs = Date.now();
  let nowMs = startMs;
  const get = api.kube.get;
  api.kube.get = async <T>(path: string): Promise<T> => {
    if (path.includes("configmaps/") && api.objects.has(CA)) nowMs = startMs + 4_000 * DAY_MS;
    return await get<T>(path);
  };
  const { keeper } = await aKeeper(t, api, { nowMs: () => nowMs });
  assert.ok(isGood(keeper.current, startMs), "as of when the pass began");
  await until(() => isInStep(api, keeper.current) && isGood(keeper.current, nowMs), "renewed");
});
