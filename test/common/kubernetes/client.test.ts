import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import "reflect-metadata";
import { Watch } from "@kubernetes/client-node/dist/watch.js";
import { X509CertificateGenerator } from "@peculiar/x509";
import { makeClock } from "../../../common/clock.ts";
import { ConfigError, remedyOf } from "../../../common/errors.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { type KubeClientOptions, makeKubeClient } from "../../../common/kubernetes/client.ts";
import type { KubeClient, PatchType, WatchEnd } from "../../../common/kubernetes/requests.ts";
import {
  aPod,
  bookmark,
  event,
  expired,
  frozen,
  json,
  reset,
  type ScriptedServer,
  type Step,
  startScriptedServer,
  status,
  stream,
  until,
} from "./scripted-server.ts";

const POD = "/api/v1/namespaces/shop/pods/a";

async function setUp(t: TestContext, options: Partial<KubeClientOptions> = {}): Promise<{ server: ScriptedServer; client: KubeClient }> {
  const server = await startScriptedServer();
  const client = await makeKubeClient({ clock: makeClock(), env: { KUBECONFIG: server.kubeconfig }, ...options });
  t.after(async () => {
    await client.close();
    await server.close();
  });
  return { server, client };
}

async function errorOf(promise: Promise<unknown>): Promise<KubeApiError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof KubeApiError, `expected a KubeApiError, got ${String(error)}`);
  return error;
}

test("a request carries token, impersonated user, query and body, and gives the parsed answer", async (t) => {
  const { server, client } = await setUp(t, { impersonateUser: "system:node:node-a" });
  server.requests.push(json(aPod("a", 7)), json(aPod("a", 8), 201));
  assert.deepEqual(await client.get(POD, { query: { resourceVersion: "5", limit: undefined } }), aPod("a", 7));
  await client.create("/api/v1/namespaces/shop/pods", { kind: "Pod" });
  assert.deepEqual(
    server.seen.map(({ method, url, body }) => `${method} ${url.pathname}${url.search} ${body}`),
    [`GET ${POD}?resourceVersion=5 `, 'POST /api/v1/namespaces/shop/pods?fieldManager=clb-direct {"kind":"Pod"}'],
  );
  assert.equal(server.seen[0]?.headers.authorization, "Bearer from-kubeconfig");
  assert.equal(server.seen[0]?.headers["impersonate-user"], "system:node:node-a");
});

test("each kind of patch has its content type, and our field manager", async (t) => {
  const { server, client } = await setUp(t);
  const types: Record<PatchType, string> = {
    strategic: "application/strategic-merge-patch+json",
    merge: "application/merge-patch+json",
    json: "application/json-patch+json",
    apply: "application/apply-patch+yaml",
  };
  for (const [type, contentType] of Object.entries(types)) {
    server.requests.push(json({}));
    await client.patch(POD, {}, type as PatchType, { query: { force: true } });
    const { headers, url } = server.seen.at(-1) ?? assert.fail("no request");
    assert.equal(headers["content-type"], contentType);
    assert.equal(url.search, "?fieldManager=clb-direct&force=true");
  }
});

const INVALID = {
  kind: "Status",
  code: 422,
  reason: "Invalid",
  message: "field is immutable",
  details: { causes: [{ reason: "FieldValueInvalid", field: "metadata.uid" }] },
};
const ENDING = {
  kind: "Status",
  code: 403,
  reason: "Forbidden",
  message: "unable to create new content",
  details: { causes: [{ reason: "NamespaceTerminating" }] },
};
const ANSWERS = [
  { step: json({ kind: "Status", reason: "NotFound", message: 'pods "a" not found' }, 404), failure: "notFound", remedy: "giveUp" },
  { step: json({ kind: "Status", reason: "Conflict" }, 409), failure: "conflict", remedy: "retry" },
  { step: json({ kind: "Status", reason: "Expired" }, 410), failure: "gone", remedy: "retry" },
  { step: json(INVALID, 422), failure: "invalid", remedy: "giveUp" },
  { step: json(ENDING, 403), failure: "denied", remedy: "giveUp" },
  { step: status(403, "no"), failure: "denied", remedy: "retry" },
  { step: status(401, "no"), failure: "unauthenticated", remedy: "retry" },
  { step: status(429, "Too many requests, please try again later.", { "retry-after": "3" }), failure: "throttled", remedy: "retryAfter" },
  { step: status(400, "cannot unmarshal"), failure: "badRequest", remedy: "giveUp" },
  { step: status(500, ""), failure: "server", remedy: "retry" },
  { step: status(503, "", { "retry-after": "2" }), failure: "server", remedy: "retryAfter" },
  { step: status(200, "<html>a proxy's page</html>"), failure: "server", remedy: "retry" },
  { step: reset, failure: "transport", remedy: "retry" },
] as const;

test("every kind of failure is told apart and knows its remedy", async (t) => {
  const { server, client } = await setUp(t);
  for (const { step, failure, remedy } of ANSWERS) {
    server.requests.push(step);
    const error = await errorOf(client.get(POD));
    assert.deepEqual([error.failure, remedyOf(error).kind], [failure, remedy], error.message);
    assert.ok(error.message.startsWith(`GET ${POD}: `), error.message);
  }
});

test("429 with a plain-text body tells the text and how long to wait", async (t) => {
  const { server, client } = await setUp(t);
  server.requests.push(status(429, "Too many requests, please try again later.", { "retry-after": "3" }));
  const error = await errorOf(client.get(POD));
  assert.match(error.message, /429 Too many requests/);
  assert.deepEqual(error.remedy, { kind: "retryAfter", delayMs: 3_000 });
});

test("a wrong UID in a status patch means that the object is another one", async (t) => {
  const { server, client } = await setUp(t);
  server.requests.push(json(INVALID, 422), json({ ...INVALID, details: {} }, 422), status(404, ""));
  const other = [];
  for (let n = 0; n < 3; n += 1) other.push((await errorOf(client.patch(POD, {}, "strategic"))).isOtherObject);
  assert.deepEqual(other, [true, false, true]);
});

test("a frozen server ends a request after its timeout, and the caller's abort ends it at once", { timeout: 5_000 }, async (t) => {
  const { server, client } = await setUp(t);
  server.requests.push(frozen, frozen);
  const error = await errorOf(client.get(POD, { timeoutMs: 50 }));
  assert.deepEqual([error.failure, error.code], ["timeout", undefined]);
  const caller = new AbortController();
  const reason = new Error("called off");
  setTimeout(() => caller.abort(reason), 20);
  await assert.rejects(client.get(POD, { signal: caller.signal }), reason);
});

test("a request that is called off while it waits for a connection is never sent", { timeout: 5_000 }, async (t) => {
  const { server, client } = await setUp(t);
  const [others, caller] = [new AbortController(), new AbortController()];
  server.requests.push(...Array.from({ length: 32 }, () => frozen), json(aPod("a", 7)));
  const frozenOnes = Array.from({ length: 32 }, () => client.get(POD, { signal: others.signal }));
  await until("every connection is taken", () => server.seen.length === 32);
  const waiting = client.get("/api/v1/pods", { signal: caller.signal });
  await new Promise((resolve) => setTimeout(resolve, 20)); // it is in the queue
  caller.abort(new Error("called off"));
  await assert.rejects(waiting, /called off/);
  others.abort(new Error("over"));
  await Promise.allSettled(frozenOnes);
  assert.deepEqual(await client.get(POD), aPod("a", 7));
  assert.deepEqual(new Set(server.seen.map(({ url }) => url.pathname)), new Set([POD]));
});

test("the default timeouts are 10 s for a request and 30 s for a list", { timeout: 5_000 }, async (t) => {
  const { server, client } = await setUp(t, { clock: makeClock(100) });
  server.requests.push(frozen, frozen);
  const errors = [await errorOf(client.get(POD)), await errorOf(client.list("/api/v1/pods"))];
  assert.deepEqual(
    errors.map(({ message }) => /(\d+) ms/.exec(message)?.[1]),
    ["10000", "30000"],
  );
});

test("an answer without items or resourceVersion is a failure, never an empty list; null items are", async (t) => {
  const { server, client } = await setUp(t);
  server.requests.push(json({}), json({ metadata: { resourceVersion: "4" } }), json({ metadata: { resourceVersion: "4" }, items: null }));
  assert.equal((await errorOf(client.list("/api/v1/pods"))).failure, "server");
  assert.equal((await errorOf(client.list("/api/v1/pods"))).failure, "server");
  assert.deepEqual(await client.list("/api/v1/pods"), { items: [], resourceVersion: "4" });
});

test("1000 requests use at most 32 connections, while 40 watches have their own", { timeout: 20_000 }, async (t) => {
  const { server, client } = await setUp(t);
  const stop = new AbortController();
  const watches = Array.from({ length: 40 }, () => client.watch("/api/v1/pods", {}, () => undefined, stop.signal));
  await until("40 watches", () => server.seen.length === 40);
  const before = server.connections.total;
  server.requests.push(...Array.from({ length: 1_000 }, () => json(aPod("a", 7))));
  await Promise.all(Array.from({ length: 1_000 }, () => client.get(POD)));
  assert.equal(before, 40);
  assert.ok(server.connections.total - before <= 32, `${server.connections.total - before} connections`);
  stop.abort();
  assert.ok((await Promise.all(watches)).every(({ kind }) => kind === "aborted"));
});

test("a Pod's ServiceAccount works over TLS; a rotated token is sent at once, a rotated CA makes new connections", {
  timeout: 10_000,
}, async (t) => {
  const { certificate, key } = await selfSigned();
  const server = await startScriptedServer({ cert: certificate, key });
  const serviceAccountDir = join(server.directory, "account");
  mkdirSync(serviceAccountDir);
  const write = (name: string, text: string): void => writeFileSync(join(serviceAccountDir, name), text);
  write("token", "one\n");
  write("ca.crt", certificate);
  const [, host = "", port = ""] = /\/\/(.*):(\d+)/.exec(server.url) ?? [];
  const env = { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port };
  const client = await makeKubeClient({ clock: makeClock(), env, serviceAccountDir });
  t.after(async () => {
    await client.close();
    await server.close();
  });
  server.requests.push(json({}), json({}), json({}));
  await client.get(POD);
  write("token", "twotwo\n");
  await rest();
  await client.get(POD);
  assert.deepEqual(
    server.seen.map(({ headers }) => headers.authorization),
    ["Bearer one", "Bearer twotwo"],
  );
  assert.equal(server.connections.total, 1);
  write("ca.crt", `${certificate}\n${certificate}`);
  await rest();
  await client.get(POD);
  assert.equal(server.connections.total, 2);
  write("ca.crt", (await selfSigned()).certificate);
  assert.equal((await errorOf(client.get(POD))).failure, "transport");
  const end = await client.watch("/api/v1/pods", {}, () => undefined, new AbortController().signal);
  assert.ok(end.kind === "failed" && end.error.failure === "transport");
});

test("without any cluster it says what it looked for, instead of asking localhost", async () => {
  await assert.rejects(
    makeKubeClient({ clock: makeClock(), env: { HOME: "/nonexistent" } }),
    (error: unknown) => error instanceof ConfigError && /KUBECONFIG is not set/.test(error.message),
  );
  await assert.rejects(
    makeKubeClient({ clock: makeClock(), env: { KUBECONFIG: "/nonexistent" } }),
    (error: unknown) => error instanceof ConfigError && /nonexistent/.test(error.message),
  );
});

test("a credential plugin that hangs does not outlast the request's timeout", { timeout: 8_000 }, async (t) => {
  const server = await startScriptedServer();
  const kubeconfig = join(server.directory, "with-plugin");
  const exec = { apiVersion: "client.authentication.k8s.io/v1", command: "sleep", args: ["2"], interactiveMode: "Never" };
  const text = readFileSync(server.kubeconfig, "utf8").replace('{"token":"from-kubeconfig"}', JSON.stringify({ exec }));
  writeFileSync(kubeconfig, text);
  const client = await makeKubeClient({ clock: makeClock(), env: { KUBECONFIG: kubeconfig } });
  t.after(async () => {
    await client.close();
    await server.close();
  });
  const startedAt = Date.now();
  assert.equal((await errorOf(client.get(POD, { timeoutMs: 100 }))).failure, "timeout");
  assert.ok(Date.now() - startedAt < 5_000);
  assert.equal(server.seen.length, 0);
});

test("requests on a closed client fail, and its watches end", async (t) => {
  const { server, client } = await setUp(t);
  const watch = client.watch("/api/v1/pods", {}, () => undefined, new AbortController().signal);
  await until("the watch", () => server.seen.length === 1);
  await client.close();
  assert.deepEqual(await watch, { kind: "aborted" });
  assert.equal((await errorOf(client.get(POD))).failure, "transport");
});

async function watchFor(client: KubeClient, signal = new AbortController().signal): Promise<{ told: string[]; end: WatchEnd }> {
  const told: string[] = [];
  const end = await client.watch("/api/v1/pods", { resourceVersion: "5" }, (type) => told.push(type), signal);
  return { told, end };
}

test("a watch asks for bookmarks and tells how it ended", { timeout: 5_000 }, async (t) => {
  const { server, client } = await setUp(t);
  const added = event("ADDED", aPod("a", 6));
  server.watches.push(
    stream([added, bookmark(9)], "end"),
    stream([added], "reset"),
    stream([added], "half line"),
    stream([added, expired, added]),
    status(410, ""),
    status(500, ""),
    status(429, "slow"),
    reset,
  );
  const ends = [];
  for (let n = 0; n < 8; n += 1) {
    const { told, end } = await watchFor(client);
    ends.push(`${told.join("+")} ${end.kind === "failed" ? end.error.failure : end.kind}`);
  }
  assert.deepEqual(ends, [
    "ADDED+BOOKMARK closed",
    "ADDED transport",
    "ADDED closed",
    "ADDED gone",
    " gone",
    " server",
    " throttled",
    " transport",
  ]);
  assert.equal(server.seen[0]?.url.searchParams.get("allowWatchBookmarks"), "true");
});

test("a silent watch and one that is never answered end after the silence limit; bookmarks keep it alive", {
  timeout: 10_000,
}, async (t) => {
  const { server, client } = await setUp(t, { silenceMs: 200 });
  server.watches.push(stream([]), frozen, beating);
  const startedAt = Date.now();
  assert.deepEqual((await watchFor(client)).end, { kind: "silent" });
  assert.deepEqual((await watchFor(client)).end, { kind: "silent" });
  assert.ok(Date.now() - startedAt < 5_000, "took too long");
  const { told, end } = await watchFor(client);
  assert.equal(end.kind, "silent");
  assert.ok(told.length >= 7, `only ${told.length} bookmarks`);
});

test("an abort ends a watch whose server never answered, and its connection", { timeout: 5_000 }, async (t) => {
  const { server, client } = await setUp(t);
  server.watches.push(frozen);
  const stop = new AbortController();
  const watch = watchFor(client, stop.signal);
  await until("the watch", () => server.seen.length === 1);
  stop.abort();
  assert.deepEqual((await watch).end, { kind: "aborted" });
  await until("no connection", () => server.connections.open === 0);
});

test("a callback that throws ends the watch as failed, and no more events come", { timeout: 5_000 }, async (t) => {
  const { server, client } = await setUp(t);
  server.watches.push(stream([event("ADDED", aPod("a", 6)), event("ADDED", aPod("b", 7))]));
  let calls = 0;
  const end = await client.watch(
    "/api/v1/pods",
    {},
    () => {
      calls += 1;
      throw new Error("mine");
    },
    new AbortController().signal,
  );
  assert.ok(end.kind === "failed" && /mine/.test(end.error.message));
  assert.equal(calls, 1);
});

test("the library's Watch still has the private timer that we switch off", () => {
  const watch: object = new Watch(Object.create(null));
  assert.equal(Reflect.get(watch, "requestTimeoutMs"), 30_000);
});

/** A bookmark every 50 ms for half a second, then silence. */
const beating: Step = (answer) => {
  answer.writeHead(200);
  const timer = setInterval(() => answer.write(`${JSON.stringify(bookmark(9))}\n`), 50);
  setTimeout(() => clearInterval(timer), 500);
};

/** The pool takes a connection back a moment after its answer was read. */
const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

async function selfSigned(): Promise<{ certificate: string; key: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const { SubjectAlternativeNameExtension, BasicConstraintsExtension } = await import("@peculiar/x509");
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=scripted",
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    extensions: [new SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }]), new BasicConstraintsExtension(true)],
  });
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return { certificate: certificate.toString("pem"), key: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n` };
}
