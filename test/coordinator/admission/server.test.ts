/** The webhook over real TLS, as an API server calls it: HTTP/1.1, connections that are kept. */
import assert from "node:assert/strict";
import { Agent, request } from "node:https";
import { connect } from "node:net";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../../common/names.ts";
import { letPass, makeReview } from "../../../coordinator/admission/review.ts";
import { aFakeClock } from "../pods.ts";
import { type Answer, aWebhook, post, review, SERVICE, WEB } from "./webhook.ts";

test("a selected Pod gets a patch, another one none, and all are allowed", async (t) => {
  const { ask, results, connections } = await aWebhook(t);
  const response = (answer: Answer): unknown => answer.body["response"];
  const patch = Buffer.from(
    JSON.stringify([{ op: "add", path: "/spec/readinessGates", value: [{ conditionType: DEFAULT_GATE_TYPE }] }]),
  ).toString("base64");
  const injected = { uid: "r-1", allowed: true, patchType: "JSONPatch", patch };
  assert.deepEqual(response(await ask("/mutate?timeout=1s", review(WEB))), injected);
  assert.deepEqual(response(await ask("/mutate", review(WEB, "other"))), { uid: "r-1", allowed: true });
  assert.deepEqual(response(await ask("/mutate/opted-in", review(WEB, "other"))), injected);
  assert.deepEqual(results, ["injected", "unchanged", "injected"]);
  assert.equal(connections(), 1, "a connection is used again");
});

test("a Pod's own label that means nothing is told to whoever creates it, with and without a patch", () => {
  const answerTo = (app: string, wish: string): { readonly warnings?: readonly string[]; readonly patch?: string } => {
    const object = { metadata: { labels: { app, "clb-direct.io/inject": wish } }, spec: { containers: [{ name: "web" }] } };
    const body = { apiVersion: "admission.k8s.io/v1", request: { uid: "r-1", namespace: "shop", object } };
    const ask = makeReview((_, labels) => (labels["app"] === "web" ? [SERVICE] : []), DEFAULT_GATE_TYPE);
    return Reflect.get(ask(body, false).answer, "response");
  };
  for (const app of ["web", "other"]) {
    const { warnings, patch } = answerTo(app, "true");
    assert.match(String(warnings), /label clb-direct.io\/inject: "true", which means nothing: use "enabled" or "disabled"/);
    assert.equal(patch !== undefined, app === "web");
    for (const wish of ["enabled", "disabled"]) assert.equal(answerTo(app, wish).warnings, undefined);
  }
});

test("whoever creates a Pod that has no room for the gate is told", () => {
  const ask = makeReview(() => [SERVICE], DEFAULT_GATE_TYPE);
  const answerTo = (length: number): { readonly warnings?: readonly string[]; readonly patch?: string } => {
    const object = { ...WEB, spec: { containers: [{ name: "web", env: [{ name: "LONG", value: "x".repeat(length) }] }] } };
    const body = { apiVersion: "admission.k8s.io/v1", request: { uid: "r-1", namespace: "shop", object } };
    return Reflect.get(ask(body, false, JSON.stringify(body).length).answer, "response");
  };
  const { warnings, patch } = answerTo(1_510_000);
  assert.match(String(warnings), /larger than the API server stores/);
  assert.equal(patch, undefined);
  assert.equal(answerTo(1_400_000).warnings, undefined);
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

test("a sender that does not come to an end is cut after 10 s; one that did is not", async (t) => {
  const clock = aFakeClock();
  const atOnce: typeof clock.sleep = (ms, signal) => (ms === 0 ? Promise.resolve() : clock.sleep(ms, signal)); // its end waits for nobody
  const { ask, caPem, url, connections } = await aWebhook(t, { clock: { now: () => clock.now(), sleep: atOnce }, leaveMs: 0 });
  const agent = new Agent({ ca: caPem });
  t.after(() => agent.destroy());
  const slow = request(`${url}/mutate`, { agent, method: "POST", headers: { "content-length": 100 } });
  const cut = new Promise((resolve) => slow.on("error", resolve));
  slow.write("{");
  while (clock.pendingSleeps === 0) await new Promise((resolve) => setTimeout(resolve, 5)); // until it is read
  await clock.advance(9_999);
  assert.equal((await ask("/mutate", review(WEB))).status, 200);
  assert.equal(slow.destroyed, false);
  await clock.advance(1);
  await cut;
  await clock.advance(10_000);
  assert.equal(clock.pendingSleeps, 0, "nothing is being read");
  assert.equal((await ask("/mutate", review(WEB))).status, 200);
  assert.equal(connections(), 2, "the slow one's, and that of all others");
});

test("who fills the webhook with idle connections makes way for others, and turns no API server away", async (t) => {
  const { ask, caPem, url, agent, connections } = await aWebhook(t, { connectionsAtOnce: 5 });
  assert.equal((await ask("/mutate", review(WEB))).status, 200);
  const { hostname, port } = new URL(url);
  const idle = Array.from({ length: 8 }, () => connect({ host: hostname, port: Number(port), localAddress: "127.0.0.9" }));
  for (const one of idle) one.on("error", () => undefined).resume();
  t.after(() => idle.forEach((one) => one.destroy()));
  while (idle.filter(({ closed }) => closed).length < 4) await new Promise((resolve) => setTimeout(resolve, 5)); // one of five is the API server's
  const another = new Agent({ ca: caPem });
  t.after(() => another.destroy());
  assert.equal((await post(another, `${url}/mutate`, review(WEB))).status, 200, "a new connection is let in");
  assert.equal((await post(agent, `${url}/mutate`, review(WEB))).status, 200);
  assert.equal(connections(), 2, "the first one goes on");
});

test("where the product is about to be taken away every Pod passes as it is", async (t) => {
  const { ask } = await aWebhook(t, { review: letPass });
  for (const path of ["/mutate", "/mutate/opted-in"])
    assert.deepEqual((await ask(path, review(WEB))).body["response"], { uid: "r-1", allowed: true });
  assert.equal((await ask("/mutate", "{}")).status, 400);
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
