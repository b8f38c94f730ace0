import assert from "node:assert/strict";
import { test } from "node:test";
import { errorFromAnswer } from "../../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { serviceRef } from "../../../coordinator/domain/intent/service.ts";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import { ApiDenials } from "../../../coordinator/events/api-denials.ts";
import { aService } from "../../builders.ts";
import { aFakeClock, silentLog } from "../pods.ts";

const status = (message: string): string => JSON.stringify({ kind: "Status", reason: "Forbidden", message });
const rbac = (verb: string, resource: string): string =>
  `forbidden: User "system:serviceaccount:clb-direct:clb-direct-coordinator" cannot ${verb} resource "${resource}" in API group ""`;

/** An API server that refuses writes as `refusal` says; undefined: it takes them. */
function aWorld() {
  const clock = aFakeClock();
  const refusal: { is: string | undefined } = { is: undefined };
  const answer = async (request: string): Promise<never> => {
    if (refusal.is !== undefined) throw errorFromAnswer(request, 403, status(refusal.is));
    return await Promise.resolve({} as never);
  };
  const server: KubeClient = {
    server: "https://cluster.test",
    get: answer,
    list: answer,
    create: async (path) => await answer(`POST ${path}`),
    replace: async (path) => await answer(`PUT ${path}`),
    patch: async (path) => await answer(`PATCH ${path}`),
    delete: async (path) => await answer(`DELETE ${path}`),
    watch: () => Promise.resolve({ kind: "closed" }),
    close: () => Promise.resolve(),
  };
  const told: Problem[] = [];
  const counted: string[] = [];
  const denials = new ApiDenials({ clock, log: silentLog, onDenied: (...labels) => void counted.push(labels.join(" ")) });
  const owner = serviceRef(aService());
  const client = denials.heard(server, { tell: (problem) => void told.push(problem), ownersOf: (id) => (id === "lb-1" ? [owner] : []) });
  return { clock, refusal, told, counted, denials, client };
}

const WRITES = [
  { resource: "services/status", path: "/api/v1/namespaces/demo/services/web/status", on: "Service demo/web" },
  { resource: "pods/status", path: "/api/v1/namespaces/demo/pods/web-1/status", on: "Pod demo/web-1" },
  { resource: "configmaps", path: "/api/v1/namespaces/clb-direct/configmaps/clb-direct-record-lb-1-0", on: "Service demo/web" },
] as const;

for (const { resource, path, on } of WRITES)
  test(`a role that may not patch ${resource} is told on ${on}, counted, and a reason not to be ready until it may`, async () => {
    const { clock, refusal, told, counted, denials, client } = aWorld();
    const write = () => client.patch(path, { metadata: { uid: "u-1" } }, "strategic");
    refusal.is = rbac("patch", resource);
    for (let turn = 0; turn < 2; turn++) {
      await assert.rejects(write());
      await clock.advance(30_000);
    }
    assert.deepEqual([...new Set(told.map(({ object }) => `${object.kind} ${object.namespace}/${object.name}`))], [on]);
    assert.equal(new Set(told.map(({ message }) => message)).size, 1);
    const { reason, message } = told[0] ?? {};
    assert.equal(reason, "ApiAccessDenied");
    for (const part of [on, resource, "cannot patch resource", "deploy/install.yaml"]) assert.ok(message?.includes(part), message);
    assert.deepEqual(counted, [`patch ${resource}`, `patch ${resource}`]);
    assert.equal(denials.missing, `the coordinator's role lacks rights: it may not patch ${resource}`);
    refusal.is = undefined;
    await write();
    assert.equal(denials.missing, undefined);
  });

test("refusals of an API server that has not read its roles yet are no missing right, unless they last", async () => {
  const { clock, refusal, told, counted, denials, client } = aWorld();
  const { path } = WRITES[0];
  const write = () => client.patch(path, { metadata: { uid: "u-1" } }, "strategic");
  refusal.is = `${rbac("patch", "services/status")}: RBAC: clusterrole.rbac.authorization.k8s.io "clb-direct-coordinator" not found`;
  for (let turn = 0; turn < 3; turn++) {
    await assert.rejects(write());
    await clock.advance(3_000);
  }
  assert.deepEqual([denials.missing, told, counted], [undefined, [], []]);
  await clock.advance(3_000);
  await assert.rejects(write());
  assert.match(denials.missing ?? "", /may not patch services\/status/);
  refusal.is = undefined;
  await write();
  refusal.is = `${rbac("patch", "services/status")}: RBAC: clusterrole.rbac.authorization.k8s.io "clb-direct-coordinator" not found`;
  await assert.rejects(write());
  assert.equal(denials.missing, undefined, "another start of the server");
});

test("what a quota or a namespace that ends refuses is no missing right, and one that is not needed any more is forgotten", async () => {
  const { clock, refusal, told, denials, client } = aWorld();
  const write = () => client.create("/api/v1/namespaces/demo/events", {});
  refusal.is = "exceeded quota: pods";
  await assert.rejects(write());
  assert.deepEqual([denials.missing, told], [undefined, []]);
  refusal.is = rbac("create", "events");
  await assert.rejects(write());
  assert.notEqual(denials.missing, undefined);
  await clock.advance(100_000);
  assert.equal(denials.missing, undefined);
});

test("a quota or a policy that refuses the record is told on whoever waits for it, with its words, and blames no right", async () => {
  const { refusal, told, counted, denials, client } = aWorld();
  const write = () =>
    client.create("/api/v1/namespaces/clb-direct/configmaps", { metadata: { name: "clb-direct-record-lb-1-0" } }).catch(() => undefined);
  for (const words of [
    'configmaps "clb-direct-record-lb-1-0" is forbidden: exceeded quota: small, requested: count/configmaps=1, used: 5, limited: 5',
    'admission webhook "policy.example.com" denied the request: no team label',
  ]) {
    refusal.is = words;
    await write();
    const { object, reason, message } = told.at(-1) ?? {};
    assert.deepEqual([object?.kind, object?.name, reason], ["Service", "web", "ApiAccessDenied"]);
    assert.ok(message?.includes(words) && message.includes("No right is missing"), message);
    assert.ok(!message?.includes("deploy/install.yaml"), message);
  }
  assert.deepEqual([denials.missing, counted, told.length], [undefined, [], 2]);
  refusal.is = "unable to create new content in namespace clb-direct because it is being terminated";
  await write();
  assert.equal(told.length, 2);
});
