import assert from "node:assert/strict";
import { test } from "node:test";
import { AuthenticationV1Api, CoreV1Api } from "@kubernetes/client-node";
import { aPod, configFor, refused, serverFor } from "./testing.ts";

const namespace = "default";
const claimsOf = (token = ""): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

async function withAgent(t: Parameters<typeof serverFor>[0], options: Parameters<typeof serverFor>[1] = {}) {
  const harness = await serverFor(t, options);
  const [core, authentication] = [harness.api(CoreV1Api), harness.api(AuthenticationV1Api)];
  const node = await core.createNode({ body: { metadata: { name: "node-a" } } });
  await core.createNamespacedServiceAccount({ namespace, body: { metadata: { name: "agent" } } });
  const pod = await core.createNamespacedPod({ namespace, body: aPod("agent-1", { serviceAccountName: "agent" }) });
  const uid = pod.metadata?.uid ?? "";
  const boundObjectRef = { kind: "Pod", apiVersion: "v1", name: "agent-1", uid };
  const request = (spec: object) =>
    core.createNamespacedServiceAccountToken({ namespace, name: "agent", body: { spec: { audiences: [], ...spec } } });
  const issue = async (audiences: string[], more: object = { boundObjectRef }) =>
    (await request({ audiences, expirationSeconds: 600, ...more })).status?.token ?? "";
  const review = async (token: string, audiences?: string[]) =>
    (await authentication.createTokenReview({ body: { spec: { token, ...(audiences && { audiences }) } } })).status ?? {};
  return { ...harness, core, node, uid, request, issue, review };
}

test("issues Pod-bound tokens with the node claim and reviews them", async (t) => {
  const { issue, review, request, node, uid } = await withAgent(t);
  const token = await issue(["clb-direct"]);
  const identity = claimsOf(token)["kubernetes.io"] as Record<string, object>;
  assert.deepEqual(
    [identity["node"], identity["pod"], identity["namespace"]],
    [{ name: "node-a", uid: node.metadata?.uid }, { name: "agent-1", uid }, namespace],
  );
  const good = await review(token, ["clb-direct"]);
  assert.deepEqual(
    [good.authenticated, good.audiences, good.user?.username],
    [true, ["clb-direct"], "system:serviceaccount:default:agent"],
  );
  assert.deepEqual(good.user?.extra?.["authentication.kubernetes.io/node-name"], ["node-a"]);
  assert.deepEqual(good.user?.groups, ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
  for (const bad of [
    await review(token),
    await review(token, ["other"]),
    await review("garbage"),
    await review(`${token}x`, ["clb-direct"]),
  ]) {
    assert.equal("authenticated" in bad && bad.authenticated !== undefined, false);
    assert.match(bad.error ?? "", /invalid bearer token/);
  }
  assert.equal((await refused(review(""))).code, 400);
  assert.deepEqual((await refused(request({ expirationSeconds: 599 }))).fields, ["spec.expirationSeconds"]);
  assert.equal((await refused(request({ boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "agent-1", uid: "0" } }))).code, 409);
  const unbound = await review(await issue(["clb-direct"], {}), ["clb-direct"]);
  assert.deepEqual([unbound.authenticated, unbound.user?.extra?.["authentication.kubernetes.io/node-name"]], [true, undefined]);
});

test("forgets a deleted Pod after the cache time, a token 60 s after it expired, but not with its Node", async (t) => {
  let now = Date.now();
  const { issue, review, core } = await withAgent(t, { nowMs: () => now });
  const token = await issue(["clb-direct"]);
  await core.deleteNode({ name: "node-a" });
  assert.equal((await review(token, ["clb-direct"])).authenticated, true);
  now += 655_000;
  assert.equal((await review(token, ["clb-direct"])).authenticated, true);
  now += 10_001;
  assert.match((await review(token, ["clb-direct"])).error ?? "", /expired/);
  const next = await issue(["clb-direct"]);
  await review(next, ["clb-direct"]);
  await core.deleteNamespacedPod({ namespace, name: "agent-1", gracePeriodSeconds: 0 });
  assert.equal((await review(next, ["clb-direct"])).authenticated, true);
  now += 10_001;
  assert.match((await review(next, ["clb-direct"])).error ?? "", /invalidated/);
});

test("lets in who is known: own audience yes, others 401, nobody 403, no impersonation by ServiceAccounts", async (t) => {
  const { issue, cluster, raw } = await withAgent(t);
  const list = (token: string) => configFor(cluster, token).makeApiClient(CoreV1Api).listNamespacedPod({ namespace });
  const token = await issue([]);
  assert.equal((await list(token)).items.length, 1);
  assert.equal((await refused(list(await issue(["clb-direct"])))).code, 401);
  assert.equal((await refused(list("unknown"))).code, 401);
  assert.equal((await fetch(`${cluster.httpUrl}/api/v1/pods`)).status, 403);
  assert.equal((await fetch(`${cluster.httpUrl}/readyz`)).status, 200);
  const impersonated = await raw("GET", "/api/v1/pods", undefined, {
    authorization: `Bearer ${token}`,
    "impersonate-user": "system:node:node-a",
  });
  assert.deepEqual([impersonated.code, impersonated.body["reason"]], [403, "Forbidden"]);
});
