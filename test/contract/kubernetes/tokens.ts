/** ServiceAccount tokens: TokenRequest, TokenReview, claims, and what the API server remembers of them. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { aPod, at, type Behaviours, refusal, type Subject, within } from "./suite.ts";

const AUDIENCE = "clb-direct";
/** How long a positive review is remembered. Source: kubernetes.md §4. */
const CACHE_MS = 10_000;

export function registerTokens({ both }: Behaviours): void {
  both("a token bound to a Pod carries its node, and its review names both", podBound);
  both("a review that fails is 201 without `authenticated`; only an empty token is 400", failures);
  both("requests for tokens that cannot be are refused", requests);
  both("without a Node object the name is claimed without UID; unbound tokens claim no node", nodeClaims);
  both("a deleted Pod's token is good for 10 s more, where it has been reviewed; a recreated Pod's is another", cache);
  both("a token is a credential only for the API server's own audience", credentials);
}

type Agent = {
  readonly review: (token: string, audiences?: readonly string[]) => ReturnType<Subject["ask"]>;
  readonly request: (spec: object) => ReturnType<Subject["ask"]>;
  readonly issue: (podUid: unknown) => Promise<string>;
  readonly pods: string;
  readonly namespace: string;
};

async function withAgent({ ask, namespace }: Subject): Promise<Agent> {
  const name = await namespace();
  const { accounts, pods } = within(name);
  await ask("POST", accounts, { metadata: { name: "agent" } });
  const request = (spec: object) =>
    ask("POST", `${accounts}/agent/token`, { spec: { audiences: [AUDIENCE], expirationSeconds: 600, ...spec } });
  return {
    request,
    pods,
    namespace: name,
    review: (token, audiences = [AUDIENCE]) =>
      ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token, ...(audiences.length > 0 && { audiences }) },
      }),
    issue: async (uid) => {
      const answer = await request({ boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "agent-1", uid } });
      assert.equal(answer.code, 201, answer.text);
      return String(at(answer, "body.status.token"));
    },
  };
}

const agentPod = (nodeName: string): object => aPod("agent-1", { serviceAccountName: "agent", nodeName });
const claimsOf = (token: string): unknown => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
const extra = (review: unknown, name: string): unknown => at(review, "body.status.user.extra", `authentication.kubernetes.io/${name}`);

async function podBound(subject: Subject): Promise<void> {
  const { ask } = subject;
  const { review, issue, pods, namespace } = await withAgent(subject);
  const nodeName = `node-${namespace}`;
  const nodeUid = at(await ask("POST", "/api/v1/nodes", { metadata: { name: nodeName } }), "body.metadata.uid");
  const uid = at(await ask("POST", pods, agentPod(nodeName)), "body.metadata.uid");
  const token = await issue(uid);
  const claims = (claimsOf(token) as Record<string, unknown>)["kubernetes.io"];
  assert.deepEqual(
    [at(claims, "namespace"), at(claims, "node"), at(claims, "pod")],
    [namespace, { name: nodeName, uid: nodeUid }, { name: "agent-1", uid }],
  );
  const good = await review(token);
  assert.equal(good.code, 201);
  assert.deepEqual(
    [at(good, "body.status.authenticated"), at(good, "body.status.audiences"), at(good, "body.status.user.username")],
    [true, [AUDIENCE], `system:serviceaccount:${namespace}:agent`],
  );
  assert.deepEqual(
    [extra(good, "node-name"), extra(good, "node-uid"), extra(good, "pod-name"), extra(good, "pod-uid")],
    [[nodeName], [nodeUid], ["agent-1"], [uid]],
  );
  assert.deepEqual(at(good, "body.status.user.groups"), [
    "system:serviceaccounts",
    `system:serviceaccounts:${namespace}`,
    "system:authenticated",
  ]);
  await ask("DELETE", `/api/v1/nodes/${nodeName}`);
  assert.equal(at(await review(token), "body.status.authenticated"), true, "it outlives its Node");
}

async function failures(subject: Subject): Promise<void> {
  const { review, issue, pods } = await withAgent(subject);
  const token = await issue(at(await subject.ask("POST", pods, agentPod("node-x")), "body.metadata.uid"));
  for (const answer of [
    await review(token, []),
    await review(token, ["other"]),
    await review("garbage"),
    await review(`${token.slice(0, -4)}AAAA`),
  ]) {
    assert.equal(answer.code, 201);
    assert.deepEqual([at(answer, "body.status.authenticated"), at(answer, "body.status.user.username")], [undefined, undefined]);
    assert.match(String(at(answer, "body.status.error")), /invalid bearer token/);
  }
  assert.deepEqual(refusal(await review("")).slice(0, 1), [400]);
}

async function requests(subject: Subject): Promise<void> {
  const { request, pods } = await withAgent(subject);
  await subject.ask("POST", pods, agentPod("node-x"));
  await subject.ask("POST", pods, aPod("other"));
  const bound = (name: string, uid?: string) => request({ boundObjectRef: { kind: "Pod", apiVersion: "v1", name, ...(uid && { uid }) } });
  assert.deepEqual(refusal(await request({ expirationSeconds: 599 })), [422, "Invalid", "spec.expirationSeconds"]);
  assert.deepEqual(refusal(await bound("agent-1", "00000000-0000-0000-0000-000000000000")), [409, "Conflict"]);
  assert.deepEqual(refusal(await bound("absent")), [404, "NotFound"]);
  assert.deepEqual(refusal(await bound("other")), [400, "BadRequest"]);
}

async function nodeClaims(subject: Subject): Promise<void> {
  const { review, issue, request, pods } = await withAgent(subject);
  const bound = await review(await issue(at(await subject.ask("POST", pods, agentPod("node-without-object")), "body.metadata.uid")));
  assert.deepEqual([extra(bound, "node-name"), extra(bound, "node-uid")], [["node-without-object"], undefined]);
  const unbound = await review(String(at(await request({}), "body.status.token")));
  assert.deepEqual(
    [at(unbound, "body.status.authenticated"), extra(unbound, "node-name"), extra(unbound, "pod-name")],
    [true, undefined, undefined],
  );
}

async function cache(subject: Subject): Promise<void> {
  const { ask } = subject;
  const { review, issue, pods } = await withAgent(subject);
  const token = await issue(at(await ask("POST", pods, agentPod("node-x")), "body.metadata.uid"));
  assert.equal(at(await review(token), "body.status.authenticated"), true);
  const reviewedAtMs = performance.now();
  await ask("DELETE", `${pods}/agent-1`);
  assert.equal(at(await review(token), "body.status.authenticated"), true, "while it terminates");
  await ask("DELETE", `${pods}/agent-1`, { gracePeriodSeconds: 0 });
  assert.equal(at(await review(token), "body.status.authenticated"), true, "from the cache");
  await sleep(reviewedAtMs + CACHE_MS + 500 - performance.now());
  const late = await review(token);
  assert.deepEqual([at(late, "body.status.authenticated"), /invalidated/.test(String(at(late, "body.status.error")))], [undefined, true]);
  await ask("POST", pods, agentPod("node-x"));
  assert.match(String(at(await review(token), "body.status.error")), /pod UID \(\S+\) does not match service account pod ref claim/);
}

async function credentials(subject: Subject): Promise<void> {
  const { ask } = subject;
  const { request, pods } = await withAgent(subject);
  const tokenFor = async (audiences: readonly string[]) => String(at(await request({ audiences }), "body.status.token"));
  assert.equal((await ask("GET", pods, undefined, { token: await tokenFor([AUDIENCE]) })).code, 401);
  assert.equal((await ask("GET", pods, undefined, { token: "unknown" })).code, 401);
  const own = await ask("GET", pods, undefined, { token: await tokenFor([]) });
  assert.equal(own.code, subject.server === "real" ? 403 : 200, "the embedded server knows no RBAC: whoever is known may do everything");
}
