/** What RBAC, flow control and policies of a real control plane do; the embedded server has none of them. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { until } from "../../cluster/process.ts";
import { type Answer, type Ask, at, type Behaviours, makeAsk, type OnEmbedded, type OnReal, refusal, within } from "./suite.ts";

const RBAC = "/apis/rbac.authorization.k8s.io/v1";
const FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1";

export function registerAccess({ real, embedded }: Behaviours): void {
  real("resourceNames: server-side apply and a Lease's PUT create that object, POST and other names are refused", byName);
  real("resourceNames: list and watch work with the field selector of that name only", listByName);
  real("pods/status: patch alone suffices for the gate", gateOnly);
  real("a 429 is plain text with Retry-After", throttledReal);
  embedded("a 429 is plain text with Retry-After", throttledEmbedded);
}

/** Requests as a new user who has only these rules in a new namespace. */
async function withRules(
  { client, cluster, namespace }: OnReal,
  t: TestContext,
  rules: readonly object[],
): Promise<{ ask: Ask; name: string }> {
  const name = await namespace();
  const path = `${RBAC}/namespaces/${name}`;
  await client.create(`${path}/roles`, { metadata: { name: "r" }, rules });
  await client.create(`${path}/rolebindings`, {
    metadata: { name: "r" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "r" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: `user-of-${name}` }],
  });
  return { name, ask: await askAs(cluster, t, `user-of-${name}`) };
}

async function askAs(cluster: OnReal["cluster"], t: TestContext, name: string): Promise<Ask> {
  const steps: (() => Promise<unknown>)[] = [];
  t.after(async () => void (await Promise.all(steps.map((step) => step()))));
  return await makeAsk(await cluster.kubeconfigFile({ name, groups: [] }), steps);
}

async function byName(subject: OnReal, t: TestContext): Promise<void> {
  const { ask, name } = await withRules(subject, t, [
    { apiGroups: [""], resources: ["secrets"], resourceNames: ["ours"], verbs: ["get", "patch", "create"] },
    { apiGroups: ["coordination.k8s.io"], resources: ["leases"], resourceNames: ["ours"], verbs: ["get", "update", "create"] },
  ]);
  const { secrets, leases } = within(name);
  const secret = (called: string) => ({ apiVersion: "v1", kind: "Secret", metadata: { name: called } });
  const apply = (called: string) =>
    ask("PATCH", `${secrets}/${called}`, secret(called), { type: "apply", query: { fieldManager: "us", force: true } });
  await until("the rules are known", async () => (await ask("GET", `${secrets}/ours`)).code === 404, 5_000);
  assert.deepEqual(refusal(await ask("POST", secrets, secret("ours"))), [403, "Forbidden"]);
  assert.equal((await apply("ours")).code, 201);
  assert.equal((await apply("ours")).code, 200);
  assert.deepEqual(refusal(await apply("theirs")), [403, "Forbidden"]);
  const put = (called: string) => ask("PUT", `${leases}/${called}`, { metadata: { name: called }, spec: { holderIdentity: "a" } });
  assert.equal((await put("ours")).code, 201);
  assert.deepEqual(refusal(await put("theirs")), [403, "Forbidden"]);
}

async function listByName(subject: OnReal, t: TestContext): Promise<void> {
  const rule = { apiGroups: [""], resources: ["configmaps"], resourceNames: ["ours"], verbs: ["list", "watch"] };
  const { ask, name } = await withRules(subject, t, [rule]);
  const { configMaps } = within(name);
  await subject.client.create(configMaps, { metadata: { name: "ours" } });
  const list = (fieldSelector?: string, more: object = {}) => ask("GET", configMaps, undefined, { query: { fieldSelector, ...more } });
  await until("the rules are known", async () => (await list("metadata.name=ours")).code === 200, 5_000);
  assert.equal(at(await list("metadata.name=ours"), "body.items.length"), 1);
  assert.equal((await list("metadata.name=ours", { watch: true, timeoutSeconds: 1 })).code, 200);
  for (const refused of [await list(), await list("metadata.name=theirs"), await list(undefined, { watch: true, timeoutSeconds: 1 })]) {
    assert.deepEqual(refusal(refused), [403, "Forbidden"]);
  }
}

async function gateOnly(subject: OnReal, t: TestContext): Promise<void> {
  const { ask, name } = await withRules(subject, t, [{ apiGroups: [""], resources: ["pods/status"], verbs: ["patch"] }]);
  const { pods } = within(name);
  const pod = await subject.client.create<object>(pods, {
    metadata: { name: "p" },
    spec: { nodeName: "node-x", containers: [{ name: "a", image: "a:1" }] },
  });
  const gate = { metadata: { uid: at(pod, "metadata.uid") }, status: { conditions: [{ type: "a.io/gate", status: "True" }] } };
  await until("the rules are known", async () => (await ask("PATCH", `${pods}/p/status`, gate, { type: "strategic" })).code === 200, 5_000);
  for (const refused of [
    await ask("GET", `${pods}/p`),
    await ask("GET", `${pods}/p/status`),
    await ask("PATCH", `${pods}/p`, gate, { type: "strategic" }),
  ]) {
    assert.deepEqual(refusal(refused), [403, "Forbidden"]);
  }
}

function isThrottled({ code, retryAfter, text }: Answer): void {
  assert.deepEqual([code, retryAfter, text], [429, "1", "Too many requests, please try again later.\n"]);
}

/** A priority level without seats lets in one request at a time, and refuses the others whom its FlowSchema sends there. */
async function throttledReal(subject: OnReal, t: TestContext): Promise<void> {
  const { client, cluster } = subject;
  const limited = { nominalConcurrencyShares: 0, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: { type: "Reject" } };
  await client.create(`${FLOW}/prioritylevelconfigurations`, { metadata: { name: "no-seats" }, spec: { type: "Limited", limited } });
  const rule = { verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"], clusterScope: true };
  await client.create(`${FLOW}/flowschemas`, {
    metadata: { name: "no-seats" },
    spec: {
      priorityLevelConfiguration: { name: "no-seats" },
      matchingPrecedence: 10,
      rules: [{ subjects: [{ kind: "User", user: { name: "throttled" } }], resourceRules: [rule] }],
    },
  });
  const ask = await askAs(cluster, t, "throttled");
  const refused = await until("one of 40 requests at once is refused", async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask("GET", "/api/v1/pods")));
    return answers.find(({ code }) => code === 429);
  });
  isThrottled(refused);
}

async function throttledEmbedded({ namespace, cluster, ask }: OnEmbedded): Promise<void> {
  const { secrets } = within(await namespace());
  cluster.faults.inject({ kind: "fail", code: 429, times: 1, resource: "secrets", verb: "list" });
  isThrottled(await ask("GET", secrets));
  assert.equal((await ask("GET", secrets)).code, 200);
}
