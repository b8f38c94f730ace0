/** The webhook over real TLS, as an API server calls it: HTTP/1.1, connections that are kept. */
import "reflect-metadata";
import assert from "node:assert/strict";
import { Agent, request } from "node:https";
import { type TestContext, test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import { DEFAULT_GATE_TYPE } from "../../../common/names.ts";
import { makeReview, type SelectsPods } from "../../../coordinator/admission/review.ts";
import { makeAdmissionServer } from "../../../coordinator/admission/server.ts";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import type { Serving } from "../../../coordinator/tls/serving.ts";
import { silentLog } from "../pods.ts";

const HOST = "127.0.0.1";

async function certificates(): Promise<{ caPem: string; issue: () => Promise<Serving> }> {
  const authority = await issueAuthority(Date.now());
  const issue = async (): Promise<Serving> => ({
    ...(await issueServing(authority, [], [HOST], Date.now())),
    caBundlePem: authority.certPem,
  });
  return { caPem: authority.certPem, issue };
}

const SERVICE = { uid: "web", name: "Service shop/web", targetPorts: [8080], wish: undefined };

type Options = { readonly leaveMs?: number; readonly selects?: SelectsPods; readonly bytesAtOnce?: number };

async function aWebhook(t: TestContext, { leaveMs = 50, selects, ...options }: Options = {}) {
  const { caPem, issue } = await certificates();
  let current = await issue();
  const listeners = new Set<(serving: Serving) => void>();
  const results: string[] = [];
  const warnings: unknown[] = [];
  const server = makeAdmissionServer({
    host: HOST,
    port: 0,
    shared: false,
    review: makeReview(
      selects ?? ((namespace, labels) => (namespace === "shop" && labels["app"] === "web" ? [SERVICE] : [])),
      DEFAULT_GATE_TYPE,
    ),
    ...options,
    serving: {
      get current() {
        return current;
      },
      subscribe: (listener) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    },
    clock: makeClock(),
    log: { ...silentLog, debug: () => undefined, warn: (...args: unknown[]) => void warnings.push(args) },
    onReview: (result) => void results.push(result),
    leaveMs,
  });
  const port = await server.start();
  t.after(() => server.stop());
  const agent = new Agent({ keepAlive: true, ca: caPem, maxSockets: 1 });
  t.after(() => agent.destroy());
  const rotate = async (): Promise<void> => {
    current = await issue();
    for (const listener of listeners) listener(current);
  };
  const ask = (path: string, body: string) => post(agent, `https://${HOST}:${port}${path}`, body);
  return { server, ask, rotate, results, warnings, caPem, listeners, agent, url: `https://${HOST}:${port}` };
}

type Answer = { readonly status: number; readonly connection: string; readonly body: Record<string, unknown> };

function post(agent: Agent, url: string, body: string, method = "POST"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method, headers: { "content-length": Buffer.byteLength(body) } }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          connection: response.headers.connection ?? "",
          body: JSON.parse(Buffer.concat(chunks).toString() || "{}"),
        }),
      );
    });
    sent.once("error", reject);
    sent.end(body);
  });
}

const review = (pod: object, namespace = "shop"): string =>
  JSON.stringify({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: { uid: "r-1", namespace, object: pod, dryRun: true },
  });
const WEB = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web" }] } };

test("a selected Pod gets a patch, another one none, and all are allowed", async (t) => {
  const { ask, results } = await aWebhook(t);
  const response = (answer: Answer): unknown => answer.body["response"];
  const patch = Buffer.from(
    JSON.stringify([{ op: "add", path: "/spec/readinessGates", value: [{ conditionType: DEFAULT_GATE_TYPE }] }]),
  ).toString("base64");
  const injected = { uid: "r-1", allowed: true, patchType: "JSONPatch", patch };
  assert.deepEqual(response(await ask("/mutate?timeout=1s", review(WEB))), injected);
  assert.deepEqual(response(await ask("/mutate", review(WEB, "other"))), { uid: "r-1", allowed: true });
  assert.deepEqual(response(await ask("/mutate/opted-in", review(WEB, "other"))), injected);
  assert.deepEqual(results, ["injected", "unchanged", "injected"]);
});

test("what is no review is refused with the reason, so that the API server goes on without us", async (t) => {
  const { ask, results, agent, url } = await aWebhook(t);
  for (const body of ["", "{", "{}", JSON.stringify({ apiVersion: "admission.k8s.io/v1beta1", request: { uid: "u" } }), "[]"])
    assert.equal((await ask("/mutate", body)).status, 400, body);
  assert.equal((await ask("/other", review(WEB))).status, 404);
  assert.equal((await post(agent, `${url}/mutate`, "", "GET")).status, 405);
  assert.deepEqual(new Set(results), new Set(["invalid"]));
});

test("before all Services are listed nobody is told that a Pod needs no gate; who wants it anyway gets it", async (t) => {
  let isListed = false;
  const { ask, results, warnings } = await aWebhook(t, { selects: () => (isListed ? [] : undefined) });
  const enabled = { ...WEB, metadata: { labels: { "clb-direct.io/inject": "enabled" } } };
  assert.equal((await ask("/mutate", review(WEB))).status, 503);
  assert.equal((await ask("/mutate", review(enabled))).status, 200);
  assert.equal((await ask("/mutate", review({ ...WEB, spec: { hostNetwork: true } }))).status, 200);
  isListed = true;
  assert.equal((await ask("/mutate", review(WEB))).status, 200);
  assert.deepEqual([results, warnings], [["injected", "unchanged", "unchanged"], []]);
});

test("who sends nonsense again and again is logged once in a while", async (t) => {
  const { ask, warnings } = await aWebhook(t);
  for (let i = 0; i < 20; i++) assert.equal((await ask("/mutate", "nonsense")).status, 400);
  assert.equal(warnings.length, 1);
});

test("all reviews together hold so much memory at most: who has sent longest without an end makes way", async (t) => {
  const { ask, caPem, url } = await aWebhook(t, { bytesAtOnce: 100_000 });
  const cut: string[] = [];
  for (const name of ["first", "second"]) {
    const agent = new Agent({ ca: caPem });
    t.after(() => agent.destroy());
    const slow = request(`${url}/mutate`, { agent, method: "POST", headers: { "content-length": 1_000_000 } });
    slow.on("error", () => void cut.push(name));
    await new Promise<void>((resolve) => slow.write(Buffer.alloc(49_000), () => resolve()));
    await new Promise((resolve) => setTimeout(resolve, 100)); // until it is read
  }
  const great = { ...WEB, metadata: { ...WEB.metadata, annotations: { a: "x".repeat(30_000) } } };
  assert.equal((await ask("/mutate", review(great))).status, 200);
  assert.deepEqual(cut, ["first"]);
  assert.equal((await ask("/mutate", "x".repeat(200_000))).status, 503);
});

test("after a change of the certificate answers over older connections ask for a new one; none is cut, and none is lost", async (t) => {
  const { ask, rotate } = await aWebhook(t);
  const connection = async (): Promise<string> => (await ask("/mutate", review(WEB))).connection;
  assert.equal(await connection(), "keep-alive");
  await rotate();
  assert.equal(await connection(), "close");
  assert.equal(await connection(), "keep-alive");
  let answered = 0;
  for (let round = 0; round < 20; round++) {
    await rotate();
    for (const answer of await Promise.all(Array.from({ length: 5 }, () => ask("/mutate", review(WEB)))))
      answered += answer.status === 200 ? 1 : 0;
  }
  assert.equal(answered, 100);
});

test("one that stops goes on answering until the API servers have heard of it", async (t) => {
  const { server, ask, listeners } = await aWebhook(t, { leaveMs: 300 });
  assert.equal((await ask("/mutate", review(WEB))).status, 200);
  const stopped = server.stop();
  const late = await ask("/mutate", review(WEB));
  assert.deepEqual([late.status, late.connection], [200, "close"]);
  await stopped;
  await assert.rejects(ask("/mutate", review(WEB)));
  assert.equal(listeners.size, 0);
});
