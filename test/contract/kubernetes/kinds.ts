/** What single kinds do: Pod, Service, EndpointSlice, Lease, Event, Secret. */
import assert from "node:assert/strict";
import { aPod, aService, at, type Behaviours, GATE, refusal, type Subject, versionOf, within } from "./suite.ts";

export function registerKinds({ both }: Behaviours): void {
  both("a Pod's spec is fixed, readiness gates too; its image is not", fixedSpec);
  both("a Pod of an unknown ServiceAccount or without containers is refused, a bound one names its node", podRules);
  both("binding gives an unbound Pod its node, once", binding);
  both("loadBalancerClass cannot change while the type stays, is wiped with it, and is for LoadBalancers only", loadBalancerClass);
  both("status.loadBalancer is cleared with the type, and takes addresses only", loadBalancerStatus);
  both("a Service gets its defaults; one without ports is refused", serviceDefaults);
  both("an EndpointSlice refuses loopback addresses", loopback);
  both("a Lease: PUT creates it, a stale PUT is a conflict, one without resourceVersion is refused", leases);
  both("of parallel writers of a Lease one wins", leaseRaces);
  both("MicroTime wants six digits", microTime);
  both("an Event belongs to the namespace of its object, and is counted by a patch", events);
  both("a Secret's stringData becomes data", secrets);
}

async function fixedSpec({ ask, namespace }: Subject): Promise<void> {
  const { pods } = within(await namespace());
  await ask("POST", pods, aPod("p", { readinessGates: [{ conditionType: GATE }, { conditionType: GATE }] }));
  const path = `${pods}/p`;
  for (const spec of [
    { readinessGates: null },
    { readinessGates: [{ conditionType: "a.io/b" }] },
    { nodeName: "node-y" },
    { terminationGracePeriodSeconds: 5 },
  ]) {
    assert.deepEqual(refusal(await ask("PATCH", path, { spec }, { type: "merge" })), [422, "Invalid", "spec"], JSON.stringify(spec));
  }
  const image = { spec: { containers: [{ name: "app", image: "app:2" }] } };
  assert.equal(at(await ask("PATCH", path, image, { type: "strategic" }), "body.spec.containers.0.image"), "app:2");
}

async function podRules({ ask, namespace }: Subject): Promise<void> {
  const { pods } = within(await namespace());
  assert.deepEqual(refusal(await ask("POST", pods, aPod("p", { serviceAccountName: "absent" }))), [403, "Forbidden"]);
  assert.deepEqual(refusal(await ask("POST", pods, aPod("p", { containers: [] }))), [422, "Invalid", "spec.containers"]);
  assert.deepEqual(refusal(await ask("POST", pods, { kind: "Service", apiVersion: "v1", metadata: { name: "p" } })), [400, "BadRequest"]);
  const { body } = await ask("POST", pods, aPod("p"));
  const { nodeName, serviceAccountName, terminationGracePeriodSeconds, restartPolicy } = at(body, "spec") as Record<string, unknown>;
  assert.deepEqual([nodeName, serviceAccountName, terminationGracePeriodSeconds, restartPolicy], ["node-x", "default", 30, "Always"]);
  assert.equal(at(body, "status.phase"), "Pending");
}

async function binding({ ask, namespace }: Subject): Promise<void> {
  const { pods } = within(await namespace());
  await ask("POST", pods, aPod("p", { nodeName: undefined, schedulerName: "nobody" }));
  const bind = (node: string) =>
    ask("POST", `${pods}/p/binding`, { apiVersion: "v1", kind: "Binding", metadata: { name: "p" }, target: { kind: "Node", name: node } });
  assert.deepEqual([(await bind("node-a")).code, at(await ask("GET", `${pods}/p`), "body.spec.nodeName")], [201, "node-a"]);
  assert.deepEqual(refusal(await bind("node-b")), [409, "Conflict"]);
}

async function loadBalancerClass({ ask, namespace }: Subject): Promise<void> {
  const { services } = within(await namespace());
  const field = "spec.loadBalancerClass";
  const change = (spec: object) => ask("PATCH", `${services}/s`, { spec }, { type: "merge" });
  assert.deepEqual(refusal(await ask("POST", services, aService("x", { loadBalancerClass: "a.io/b" }))), [422, "Invalid", field]);
  await ask("POST", services, aService("s", { type: "LoadBalancer", loadBalancerClass: "clb-direct.io/clb" }));
  assert.deepEqual(refusal(await change({ loadBalancerClass: "a.io/b" })), [422, "Invalid", field]);
  assert.deepEqual(refusal(await change({ loadBalancerClass: null })), [422, "Invalid", field]);
  const plain = await change({ type: "ClusterIP" });
  assert.deepEqual([plain.code, at(plain, `body.${field}`)], [200, undefined]);
  assert.equal(at(await change({ type: "LoadBalancer", loadBalancerClass: "a.io/b" }), `body.${field}`), "a.io/b");
}

async function loadBalancerStatus({ ask, namespace }: Subject): Promise<void> {
  const { services } = within(await namespace());
  await ask("POST", services, aService("s", { type: "LoadBalancer" }));
  const status = (ingress: object[]) => ask("PATCH", `${services}/s/status`, { status: { loadBalancer: { ingress } } }, { type: "merge" });
  for (const wrong of [{ ip: "198.18.0" }, { ip: "198.18.0.1", ipMode: "Other" }, { hostname: "a.io", ipMode: "VIP" }]) {
    assert.deepEqual(refusal(await status([wrong])).slice(0, 2), [422, "Invalid"], JSON.stringify(wrong));
  }
  await status([{ ip: "198.18.0.1" }]);
  const plain = await ask("PATCH", `${services}/s`, { spec: { type: "ClusterIP" } }, { type: "merge" });
  assert.deepEqual([plain.code, at(plain, "body.status.loadBalancer")], [200, {}]);
}

async function serviceDefaults({ ask, namespace }: Subject): Promise<void> {
  const { services } = within(await namespace());
  const { body } = await ask("POST", services, aService("s", { type: "LoadBalancer" }));
  const { type, sessionAffinity, internalTrafficPolicy, externalTrafficPolicy, allocateLoadBalancerNodePorts, ports } = at(
    body,
    "spec",
  ) as {
    [field: string]: unknown;
    ports: { port: number; protocol: string; targetPort: number }[];
  };
  assert.deepEqual([type, sessionAffinity, internalTrafficPolicy, externalTrafficPolicy], ["LoadBalancer", "None", "Cluster", "Cluster"]);
  assert.equal(allocateLoadBalancerNodePorts, true);
  const [{ port, protocol, targetPort } = {}] = ports as [Partial<(typeof ports)[number]>?];
  assert.deepEqual([port, protocol, targetPort], [80, "TCP", 80]);
  assert.deepEqual(refusal(await ask("POST", services, { metadata: { name: "x" }, spec: {} })), [422, "Invalid", "spec.ports"]);
  assert.equal((await ask("POST", services, { metadata: { name: "h" }, spec: { clusterIP: "None" } })).code, 201, "headless: none needed");
  const moved = await ask("PATCH", `${services}/s`, { spec: { ports: [{ port: 80, targetPort: 8080 }] } }, { type: "strategic" });
  assert.deepEqual([at(moved, "body.spec.ports.0.targetPort"), at(moved, "body.spec.ports.length")], [8080, 1]);
}

async function loopback({ ask, namespace }: Subject): Promise<void> {
  const { slices } = within(await namespace());
  const slice = (address: string) => ({ metadata: { name: "e" }, addressType: "IPv4", endpoints: [{ addresses: [address] }], ports: [] });
  const refused = await ask("POST", slices, slice("127.0.0.1"));
  assert.deepEqual(refusal(refused), [422, "Invalid", "endpoints[0].addresses[0]"]);
  assert.match(String(at(refused, "body.message")), /may not be in the loopback range \(127\.0\.0\.0\/8, ::1\/128\)/);
  assert.equal((await ask("POST", slices, slice("10.0.0.1"))).code, 201);
}

async function leases({ ask, namespace }: Subject): Promise<void> {
  const { leases: collection } = within(await namespace());
  const path = `${collection}/l`;
  const lease = (holderIdentity: string) => ({ metadata: { name: "l" }, spec: { holderIdentity, leaseDurationSeconds: 4 } });
  const created = await ask("PUT", path, lease("a"));
  assert.deepEqual([created.code, at(created, "body.spec.holderIdentity")], [201, "a"]);
  const held = (body: unknown, holderIdentity: string) => ({ ...(body as object), spec: { holderIdentity, leaseDurationSeconds: 4 } });
  assert.equal((await ask("PUT", path, held(created.body, "b"))).code, 200);
  assert.deepEqual(refusal(await ask("PUT", path, held(created.body, "c"))), [409, "Conflict"]);
  assert.deepEqual(refusal(await ask("PUT", path, lease("d"))), [422, "Invalid", "metadata.resourceVersion"]);
  const fields = { holderIdentity: "", leaseDurationSeconds: 1 };
  assert.equal(at(await ask("PATCH", path, { spec: fields }, { type: "merge" }), "body.spec.holderIdentity"), "");
  const zero = await ask("PATCH", path, { spec: { leaseDurationSeconds: 0 } }, { type: "merge" });
  assert.deepEqual(refusal(zero), [422, "Invalid", "spec.leaseDurationSeconds"]);
  await ask("DELETE", path);
  assert.deepEqual(refusal(await ask("PUT", path, held(created.body, "e"))).slice(0, 1), [409], "one that was read and deleted meanwhile");
  const { name, resourceVersion } = at(created, "body.metadata") as { name: string; resourceVersion: string };
  const anew = await ask("PUT", path, { ...lease("f"), metadata: { name, resourceVersion } });
  assert.deepEqual(
    [anew.code, at(anew, "body.spec.holderIdentity")],
    [201, "f"],
    "without its UID it is made anew, whatever version is named",
  );
}

async function leaseRaces({ ask, namespace }: Subject): Promise<void> {
  const { leases: collection } = within(await namespace());
  const lease = { metadata: { name: "l" }, spec: { holderIdentity: "x" } };
  const codes = async (requests: Promise<{ code: number }>[]) =>
    (await Promise.all(requests)).map(({ code }) => code).sort((one, other) => one - other);
  assert.deepEqual(await codes([1, 2, 3].map(() => ask("POST", collection, lease))), [201, 409, 409]);
  const { body } = await ask("GET", `${collection}/l`);
  const held = (holderIdentity: string) => ({ ...(body as object), spec: { holderIdentity } });
  assert.deepEqual(await codes(["a", "b", "c"].map((holder) => ask("PUT", `${collection}/l`, held(holder)))), [200, 409, 409]);
}

async function microTime({ ask, namespace }: Subject): Promise<void> {
  const { leases: collection } = within(await namespace());
  const put = (renewTime: string) => ask("PUT", `${collection}/l`, { metadata: { name: "l" }, spec: { renewTime } });
  for (const wrong of ["2026-01-01T00:00:00.821Z", "2026-01-01T00:00:00Z", "soon"]) {
    assert.deepEqual(refusal(await put(wrong)), [400, "BadRequest"], wrong);
  }
  assert.match(String(at(await put("2026-01-01T00:00:00.821Z"), "body.message")), /cannot parse "\.821Z" as "\.000000"/);
  assert.equal(at(await put("2026-01-01T00:00:00.821001Z"), "body.spec.renewTime"), "2026-01-01T00:00:00.821001Z");
}

async function events({ ask, namespace }: Subject): Promise<void> {
  const name = await namespace();
  const { events: collection } = within(name);
  const event = (home: string) => ({
    metadata: { name: "e" },
    involvedObject: { kind: "Pod", namespace: home, name: "p" },
    reason: "Bound",
    type: "Normal",
    count: 1,
  });
  assert.deepEqual(refusal(await ask("POST", collection, event("kube-system"))), [422, "Invalid", "involvedObject.namespace"]);
  assert.equal((await ask("POST", collection, event(name))).code, 201);
  assert.deepEqual(refusal(await ask("POST", collection, event(name))), [409, "AlreadyExists"]);
  const again = { count: 2, lastTimestamp: "2026-01-01T00:00:01Z", message: "once more" };
  const patched = await ask("PATCH", `${collection}/e`, again, { type: "strategic" });
  assert.deepEqual([at(patched, "body.count"), at(patched, "body.message")], [2, "once more"]);
  const absent = await ask("PATCH", `${collection}/absent`, again, { type: "strategic" });
  assert.deepEqual(refusal(absent), [404, "NotFound"]);
  const found = await ask("GET", collection, undefined, { query: { fieldSelector: "involvedObject.name=p,reason=Bound" } });
  assert.equal(at(found, "body.items.length"), 1);
}

async function secrets({ ask, namespace }: Subject): Promise<void> {
  const { secrets: collection } = within(await namespace());
  const { body } = await ask("POST", collection, { metadata: { name: "s" }, stringData: { a: "text" } });
  assert.deepEqual([at(body, "data"), at(body, "stringData"), at(body, "type")], [{ a: "dGV4dA==" }, undefined, "Opaque"]);
  const stale = { ...(body as object), metadata: { name: "s", resourceVersion: "1" } };
  assert.equal((await ask("PUT", `${collection}/s`, stale)).code, 409);
  assert.match(versionOf(body), /^\d+$/);
}
