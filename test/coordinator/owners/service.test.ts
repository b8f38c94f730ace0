import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { blockerOf, intentOf, loadBalancerOf, type OwnerIntent } from "../../../coordinator/domain/intent/owner-intent.ts";
import { ownershipOf, readService, type ServiceRecord } from "../../../coordinator/domain/intent/service.ts";
import type { LoadBalancerFacts } from "../../../coordinator/domain/load-balancer.ts";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import { Orders } from "../../../coordinator/owners/orders.ts";
import { makeOwnerReconciler, type OwnerDeps } from "../../../coordinator/owners/reconcile.ts";
import { StatusContest } from "../../../coordinator/owners/status-contest.ts";
import { OPEN_ACCESS } from "../../../coordinator/state/access.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { OwnerRecords } from "../../../coordinator/state/owner-records.ts";
import { decodeService } from "../../../coordinator/state/watched-objects.ts";
import type { Outcome } from "../../../coordinator/workqueue/worker.ts";
import { aService, CLUSTER } from "../../builders.ts";
import type { CloudOptions } from "../../cloud/runtime/options.ts";
import { aKube } from "../kube.ts";
import { silentLog } from "../pods.ts";
import { aStage, memoryRecords, NO_CERTIFICATES, newListeners } from "../stage.ts";

const PATH = "/api/v1/namespaces/demo/services/web";
const ACCESS = "service.cloud.tencent.com/direct-access";
const EXISTING = "service.kubernetes.io/tke-existed-lbid";
const FINALIZER = "clb-direct.io/load-balancer";

/** What is known of an owner; undefined where it is not known itself. */
const found = <T>(owner: OwnerIntent | undefined, read: (owner: OwnerIntent) => T): T | undefined => owner && read(owner);

type Raw = {
  metadata: { uid: string; finalizers?: string[]; annotations?: Record<string, string> };
  status: { loadBalancer?: object; conditions?: { type: string; status: string; reason: string }[] };
};

/** One Service in a real API server, an emulated cloud, and the reconciler between them; `restart` forgets all that the process knew. */
async function aWorld(t: TestContext, annotations: Record<string, string> = {}, over: Partial<OwnerDeps> = {}, cloud: CloudOptions = {}) {
  const kube = await aKube(t);
  const stage = aStage(t, cloud);
  const manifest = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "demo", annotations: { [ACCESS]: "true", ...annotations } },
    spec: { type: "LoadBalancer", selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  };
  const { uid } = (await kube.client.create<Raw>("/api/v1/namespaces/demo/services", manifest)).metadata;
  const told: Problem[] = [];
  const pods = {
    waitingForGate: new Set<string>(),
    ending: new Set<string>(),
    inNamespace: () => [],
    byIp: () => undefined,
    follow: () => {},
    close: () => {},
  };
  const fresh = (other: Partial<OwnerDeps> = {}) => {
    const intents = new Intents({ clusterId: CLUSTER, pods, wishes: () => new Map() });
    const records = new Map<string, ServiceRecord>();
    const deps: OwnerDeps = {
      certificates: NO_CERTIFICATES,
      access: OPEN_ACCESS,
      client: kube.client,
      clock: stage.clock,
      api: stage.api,
      mirror: stage.mirror,
      addressClaims: stage.addressClaims,
      ownerRecords: new OwnerRecords(memoryRecords(), silentLog),
      intents,
      log: silentLog,
      clusterId: CLUSTER,
      ownershipOf: (object, served) => ("kind" in object ? { kind: "none" } : ownershipOf(object, "annotation", served)),
      unread: () => undefined,
      read: (object) => readService("kind" in object ? aService() : object),
      vpcId: undefined,
      synced: () => true,
      object: (key) => records.get(key) ?? (key === "other-uid" ? aService({ uid: key, name: "other" }) : undefined),
      tell: (problem) => void told.push(problem),
      orders: new Orders(stage.clock),
      contest: new StatusContest({ client: kube.client, clock: stage.clock, tell: (problem) => void told.push(problem) }),
      intentChanged: () => undefined,
      ...over,
      ...other,
    };
    return { intents, records, reconcile: makeOwnerReconciler(deps) };
  };
  let process = fresh();
  const read = () => kube.client.get<Raw>(PATH);
  /** One pass over the Service as the API server has it. */
  const pass = async (): Promise<Outcome> => {
    const raw = await read().catch(() => undefined);
    process.records.clear();
    if (raw !== undefined) process.records.set(uid, decodeService(raw));
    return await stage.finish(process.reconcile(uid, stage.signal));
  };
  /** Passes until the Service has its load balancer. */
  const settle = async (): Promise<string> => {
    for (let passes = 0; passes < 5; passes++) {
      const outcome = await pass().catch(() => undefined); // a failure rests for a second
      if (outcome?.kind === "done") break;
      await stage.clock.advance(1_000);
    }
    return found(process.intents.get(uid), loadBalancerOf) ?? "";
  };
  /** What the load balancer's pass does: its listeners are there, and known. */
  const listen = async (id: string, name = `cd-${CLUSTER}-${uid.replaceAll("-", "").slice(0, 12)}-tcp80`): Promise<void> => {
    await stage.finish(
      stage.api.createListeners(id, newListeners({ listeners: [{ name, port: name.startsWith("cd-") ? 80 : 81 }] }), stage.signal),
    );
    await stage.fill(id);
  };
  const change = (metadata: object) => kube.client.patch(PATH, { metadata }, "merge");
  const restart = (other: Partial<OwnerDeps> = {}): void => {
    for (const id of stage.mirror.ids) stage.mirror.drop(id);
    process = fresh(other);
  };
  const reasons = (): string[] => [...new Set(told.map(({ reason }) => reason))];
  return { kube, stage, uid, told, reasons, pass, settle, listen, read, change, restart, intents: () => process.intents };
}
const orders = ({ calls }: ReturnType<typeof aStage>): number => calls.filter(({ action }) => action === "CreateLoadBalancer").length;

test("sets the finalizer before it creates the load balancer, and publishes the address when it listens", async (t) => {
  const { stage, read, pass, settle, listen, reasons } = await aWorld(t);
  stage.intercept.by = (action) => {
    if (action === "CreateLoadBalancer") finalizersAtOrder = lastRead?.metadata.finalizers;
  };
  let finalizersAtOrder: string[] | undefined;
  let lastRead: Raw | undefined;
  stage.cloud.faults.add({ kind: "error", code: "InternalError", action: "CreateLoadBalancer", count: 1 });
  await assert.rejects(pass());
  lastRead = await read();
  const id = await settle();
  assert.deepEqual(finalizersAtOrder, [FINALIZER]);
  await pass();
  assert.deepEqual((await read()).status.loadBalancer, {}); // nothing listens yet
  await listen(id);
  await pass();
  const { status, metadata } = await read();
  assert.deepEqual(status.loadBalancer, { ingress: [{ ip: "198.18.0.1", ipMode: "VIP" }] });
  assert.equal(metadata.annotations?.["service.kubernetes.io/loadbalance-id"], id);
  assert.deepEqual(reasons(), ["EnsureServiceSuccess"]);
});

test("a pass that finds nothing new wakes nobody, neither load balancer nor gates", async (t) => {
  const news: string[] = [];
  const { pass, settle, listen, change } = await aWorld(t, {}, { intentChanged: ({ state }) => void news.push(state) });
  await listen(await settle());
  await pass();
  news.length = 0;
  await change({ labels: { team: "a" } });
  await pass();
  assert.deepEqual(news, []);
  await change({ annotations: { "service.cloud.tencent.com/tke-service-config": "checks" } });
  await pass();
  assert.deepEqual([news.length > 0, new Set(news)], [true, new Set(["served"])]);
});

test("writes the status only when it changes", async (t) => {
  const { kube, pass, settle, listen } = await aWorld(t);
  await listen(await settle());
  await pass();
  const before = kube.written.length;
  for (let passes = 0; passes < 3; passes++) await pass();
  assert.equal(kube.written.length, before);
  await kube.client.patch(`${PATH}/status`, { status: { loadBalancer: { ingress: null } } }, "merge");
  await pass();
  assert.equal(kube.written.length, before + 2);
});

test("two controllers that write the same status do not write for ever", async (t) => {
  const { kube, stage, pass, settle, listen, told } = await aWorld(t);
  await listen(await settle());
  await pass();
  const theirs = { status: { loadBalancer: { ingress: [{ ip: "203.0.113.7" }] } } };
  const before = kube.written.length;
  for (let n = 0; n < 120; n++) {
    await kube.client.patch(`${PATH}/status`, theirs, "merge");
    await pass();
    await stage.clock.advance(500);
  }
  const ours = kube.written.length - before - 120;
  assert.ok(ours <= 8, `${ours} writes in a minute`);
  const messages = told.filter(({ reason }) => reason === "StatusContested").map(({ message }) => message);
  assert.equal(messages.length, 1);
  assert.match(messages[0] ?? "", /it is 203\.0\.113\.7 instead of 198\.18\.0\.1/);
});

test("the condition says what holds although somebody else writes the status", async (t) => {
  const { kube, stage, pass, settle, listen, change, read } = await aWorld(t);
  await listen(await settle());
  await pass();
  const theirs = { status: { loadBalancer: { ingress: [{ ip: "203.0.113.7" }] } } };
  const contest = async (): Promise<void> => {
    await kube.client.patch(`${PATH}/status`, theirs, "merge");
    await pass();
  };
  for (let n = 0; n < 40; n++) {
    await contest();
    await stage.clock.advance(500);
  }
  await change({ annotations: { [ACCESS]: "maybe" } });
  await pass();
  assert.equal((await read()).status.conditions?.[0]?.status, "False");
  await change({ annotations: { [ACCESS]: "true" } });
  await contest();
  const { conditions, loadBalancer } = (await read()).status;
  assert.deepEqual([conditions?.[0]?.status, JSON.stringify(loadBalancer).includes("203.0.113.7")], ["True", true]);
});

test("a crash at any moment of the creation leaves one load balancer", async (t) => {
  const { stage, pass, settle, restart } = await aWorld(t);
  stage.cloud.faults.add({ kind: "lost-response", action: "CreateLoadBalancer", count: 1 });
  await assert.rejects(pass()); // ordered, the answer was lost
  restart();
  const id = await settle(); // the order is repeated by its token
  restart();
  assert.equal(await settle(), id); // found by its tag, although nothing is remembered
  assert.equal(stage.cloud.state().loadBalancers.length, 1);
  assert.equal(stage.cloud.state().loadBalancers[0]?.tags["clb-direct.io/cluster"], CLUSTER);
});

test("an order that came to nothing is followed by another one", async (t) => {
  const { stage, pass, settle } = await aWorld(t);
  stage.cloud.faults.add({ kind: "task-failed", action: "CreateLoadBalancer", message: "sold out", count: 1 });
  await assert.rejects(pass());
  assert.notEqual(await settle(), "");
  assert.equal(stage.cloud.state().loadBalancers.length, 1);
});

test("a load balancer that was deleted by hand is made anew, although the order's token still stands for it", async (t) => {
  const { stage, settle } = await aWorld(t);
  const first = await settle();
  await stage.fill(first);
  await stage.finish(stage.api.deleteLoadBalancer(first, stage.signal));
  stage.mirror.forget(first); // the load balancer's pass has looked
  await stage.clock.advance(60_000); // until then a read may be older than the load balancer
  const second = await settle();
  assert.notEqual(second, first);
  assert.deepEqual(
    stage.cloud.state().loadBalancers.map(({ id }) => id),
    [second],
  );
  assert.ok(orders(stage) <= 4, `${orders(stage)} orders`);
});

for (const underCreation of ["shown", "hidden"] as const)
  test(`a load balancer under creation, ${underCreation} by the cloud, is waited for and ordered once`, async (t) => {
    const { stage, pass, settle, restart, listen, read } = await aWorld(t, {}, {}, { underCreation });
    stage.cloud.faults.add({ kind: "lost-response", action: "CreateLoadBalancer", count: 1 });
    await assert.rejects(pass()); // ordered; the answer was lost
    restart();
    const ordered = orders(stage);
    const outcome = await pass();
    assert.equal(outcome.kind, "again");
    // Seen with Status 0 it is ours, and no order is repeated; hidden, the order is repeated by its token.
    assert.equal(orders(stage) - ordered, underCreation === "shown" ? 0 : 1);
    const id = await settle();
    assert.equal(stage.cloud.state().loadBalancers.length, 1);
    await listen(id);
    await pass();
    assert.deepEqual((await read()).status.loadBalancer, { ingress: [{ ip: "198.18.0.1", ipMode: "VIP" }] });
  });

test("a load balancer that the Service names while it is being created is waited for", async (t) => {
  const { stage, pass, settle, told, change } = await aWorld(t);
  const accepted = await stage.finish(stage.cloud.call("clb", "CreateLoadBalancer", { LoadBalancerType: "OPEN" }));
  const [id] = [accepted["LoadBalancerIds"]].flat();
  await change({ annotations: { [EXISTING]: id } });
  const outcome = await pass();
  assert.deepEqual([outcome.kind, told], ["again", []]);
  assert.equal(await settle(), id);
});

test("a load balancer that runs before it has an address gets its listeners, is asked about ever more rarely and told after a minute, and its address is published when it comes", async (t) => {
  const { stage, pass, settle, listen, read, told } = await aWorld(t);
  const { loadBalancer, ownLoadBalancers } = stage.api;
  let late = true;
  const without = <F extends LoadBalancerFacts>(facts: F): F => (late ? { ...facts, vips: [] } : facts);
  stage.api.loadBalancer = async (id, signal) => {
    const facts = await loadBalancer(id, signal);
    return facts && without(facts);
  };
  stage.api.ownLoadBalancers = async (clusterId, signal) => (await ownLoadBalancers(clusterId, signal)).map(without);
  const id = await settle();
  await listen(id);
  const waitMs = async (): Promise<number> => {
    const outcome = await pass();
    return outcome.kind === "again" && outcome.because === "the load balancer has no address yet" ? outcome.afterMs : 0;
  };
  const firstMs = await waitMs();
  assert.deepEqual((await read()).status.loadBalancer, {});
  await stage.clock.advance(40_000);
  const laterMs = await waitMs();
  assert.ok(500 <= firstMs && firstMs < 4_000 && 4_000 < laterMs && laterMs <= 10_000, `${firstMs}, ${laterMs}`);
  assert.equal(told.length, 0);
  await stage.clock.advance(25_000);
  assert.equal(await waitMs(), 30_000);
  const message = `ServiceErrorCode{Code:"E4000",Message:"Service demo/web: load balancer ${id} has run for more than a minute without an address: look at it in the console",Retry:true}`;
  assert.deepEqual(
    told.map((one) => [one.reason, one.message]),
    [["LoadBalancerNotCreated", message]],
  );
  assert.equal((await read()).status.conditions?.find(({ type }) => type === "Ready")?.reason, "E4000");
  late = false;
  assert.equal((await pass()).kind, "done");
  assert.deepEqual((await read()).status.loadBalancer, { ingress: [{ ip: "198.18.0.1", ipMode: "VIP" }] });
});

test("uses the load balancer that the Service names, and leaves it as it is", async (t) => {
  const world = await aWorld(t);
  const { loadBalancerId } = world.stage.cloud.addLoadBalancer({ tags: { team: "web" } });
  await world.change({ annotations: { [EXISTING]: loadBalancerId } });
  assert.equal(await world.settle(), loadBalancerId);
  assert.deepEqual(
    world.stage.cloud.state().loadBalancers.map(({ tags }) => tags),
    [{ team: "web" }],
  );
});

test("tells of a load balancer that does not exist, reads again later, and finds it then", async (t) => {
  const { stage, pass, settle, told, uid, intents, change } = await aWorld(t, { [EXISTING]: "lb-nowhere" });
  const outcome = await pass();
  assert.deepEqual(outcome, { kind: "again", afterMs: 30_000, because: "LoadBalancerNotFound" });
  const message = told[0]?.message ?? "";
  for (const part of ["E4018", "Service demo/web", "lb-nowhere", EXISTING]) assert.ok(message.includes(part), part);
  assert.deepEqual(
    [found(intents().get(uid), blockerOf)?.reason, found(intents().get(uid), loadBalancerOf)],
    ["LoadBalancerNotFound", undefined],
  );
  const { loadBalancerId } = stage.cloud.addLoadBalancer();
  await change({ annotations: { [EXISTING]: loadBalancerId } });
  assert.equal(await settle(), loadBalancerId);
  assert.equal(found(intents().get(uid), blockerOf), undefined);
});

test("takes the address back when the load balancer that the Service names is deleted", async (t) => {
  const world = await aWorld(t);
  const { stage, kube, uid } = world;
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  await world.change({ annotations: { [EXISTING]: id } });
  await world.settle();
  await world.listen(id);
  await world.pass();
  assert.notDeepEqual((await world.read()).status.loadBalancer, {});
  await stage.clock.advance(1_000);
  await stage.finish(stage.api.deleteLoadBalancer(id, stage.signal));
  stage.mirror.forget(id); // the load balancer's pass has looked
  await world.pass();
  const { status, metadata } = await world.read();
  assert.deepEqual([status.loadBalancer, metadata.annotations?.["service.kubernetes.io/loadbalance-id"]], [{}, undefined]);
  assert.ok(world.reasons().includes("LoadBalancerNotFound"));
  const before = kube.written.length;
  await world.pass();
  assert.deepEqual([kube.written.length, found(world.intents().get(uid), blockerOf)?.reason], [before, "LoadBalancerNotFound"]);
});

const FOREIGN: readonly (readonly [title: string, tags: Record<string, string>, says: string])[] = [
  ["TKE made", { "tke-createdBy-flag": "yes" }, "by TKE"],
  ["another cluster made", { "clb-direct.io/cluster": "0123abcd", "clb-direct.io/owner": "x" }, "cluster 0123abcd"],
  ["we made for another Service", { "clb-direct.io/cluster": CLUSTER, "clb-direct.io/owner": "other-uid" }, "Service other-uid"],
];

for (const [title, tags, says] of FOREIGN)
  test(`leaves a load balancer alone that ${title}`, async (t) => {
    const world = await aWorld(t);
    const { loadBalancerId } = world.stage.cloud.addLoadBalancer({ tags });
    await world.change({ annotations: { [EXISTING]: loadBalancerId } });
    assert.equal((await world.pass()).kind, "again");
    assert.deepEqual([world.reasons(), found(world.intents().get(world.uid), loadBalancerOf)], [["ForeignController"], undefined]);
    assert.ok(world.told[0]?.message.includes(says), world.told[0]?.message);
  });

test("leaves a Service alone that another controller has, and says so", async (t) => {
  const { pass, reasons, kube, uid, intents } = await aWorld(t, { "service.kubernetes.io/loadbalance-id": "lb-theirs" });
  const before = kube.written.length;
  assert.deepEqual(await pass(), { kind: "done" });
  assert.deepEqual([reasons(), intents().get(uid), kube.written.length], [["ForeignController"], undefined, before]);
});

test("keeps its load balancer when another one is named, and says that it cannot change", async (t) => {
  const { stage, settle, pass, change, listen, reasons, told, uid, intents } = await aWorld(t);
  const id = await settle();
  await listen(id);
  await change({ annotations: { [EXISTING]: stage.cloud.addLoadBalancer().loadBalancerId } });
  await pass();
  assert.equal(found(intents().get(uid), loadBalancerOf), id);
  assert.ok(reasons().includes("LoadBalancerChangeRefused"));
  assert.ok(told.find(({ reason }) => reason === "LoadBalancerChangeRefused")?.message.includes(id));
});

test("a Service that cannot be read any more keeps what it has", async (t) => {
  const { settle, listen, change, pass, uid, intents, told } = await aWorld(t);
  const id = await settle();
  await listen(id);
  await change({ annotations: { [ACCESS]: "maybe" } });
  await pass();
  assert.deepEqual(
    [found(intents().get(uid), loadBalancerOf), found(intents().get(uid), intentOf)?.ports.length, told[0]?.reason],
    [id, 1, "InvalidDirectAccess"],
  );
});

test("a Service whose record was lost keeps the load balancer that it has, whatever it names by now", async (t) => {
  const { stage, settle, listen, change, pass, restart, reasons, uid, intents } = await aWorld(t);
  const named = stage.cloud.addLoadBalancer().loadBalancerId;
  const other = stage.cloud.addLoadBalancer().loadBalancerId;
  await change({ annotations: { [EXISTING]: named } });
  await settle();
  await listen(named);
  await pass();
  for (const wish of [other, null]) {
    await change({ annotations: { [EXISTING]: wish } });
    restart();
    await pass();
    assert.deepEqual([found(intents().get(uid), loadBalancerOf), orders(stage)], [named, 0]);
  }
  assert.ok(reasons().includes("LoadBalancerChangeRefused"));
});

test("a Service whose record was lost and that cannot be read says so in its condition", async (t) => {
  const { settle, listen, change, pass, restart, read } = await aWorld(t);
  await listen(await settle());
  await pass();
  assert.equal((await read()).status.conditions?.[0]?.status, "True");
  await change({ annotations: { [ACCESS]: "maybe" } });
  restart();
  await pass();
  const [condition] = (await read()).status.conditions ?? [];
  assert.deepEqual([condition?.status, condition?.reason], ["False", "E4037"]);
});

test("a Service that could never be read has its fault as the reason that its Pods wait", async (t) => {
  const { pass, uid, intents, told } = await aWorld(t, { [ACCESS]: "maybe" });
  await pass();
  assert.deepEqual(found(intents().get(uid), blockerOf), { reason: "InvalidDirectAccess", message: told[0]?.message });
});

test("a Service of which nothing can be served gets no load balancer, and keeps what it has", async (t) => {
  const { kube, stage, uid, pass, settle, listen, intents } = await aWorld(t);
  const ports = (protocol: string) => [{ op: "replace", path: "/spec/ports", value: [{ name: "x", protocol, port: 132 }] }];
  await kube.client.patch(PATH, ports("SCTP"), "json");
  await pass();
  assert.deepEqual([orders(stage), found(intents().get(uid), blockerOf)?.reason], [0, "NotServed"]);
  await kube.client.patch(PATH, ports("TCP"), "json");
  const id = await settle();
  await listen(id);
  await kube.client.patch(PATH, ports("SCTP"), "json");
  await pass();
  assert.deepEqual([found(intents().get(uid), loadBalancerOf), found(intents().get(uid), intentOf)?.ports[0]?.protocol], [id, "TCP"]);
});

test("a role that may not write the status is the reason that the Service's Pods wait", async (t) => {
  const denied = new KubeApiError("PATCH /api/v1/namespaces/demo/services/web/status", "denied", "cannot patch resource", { code: 403 });
  const client = { patch: async () => await Promise.reject(denied) };
  const { pass, uid, intents, told } = await aWorld(t, {}, { client });
  await assert.rejects(pass());
  assert.equal(found(intents().get(uid), blockerOf)?.reason, "ApiAccessDenied");
  assert.match(told[0]?.message ?? "", /^Service demo\/web: the coordinator may not patch services\/status: /);
});

test("a private load balancer needs the VPC's id", async (t) => {
  const { pass, told, reasons } = await aWorld(t, { "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid": "subnet-1" });
  await pass();
  assert.deepEqual(reasons(), ["VpcUnknown"]);
  assert.ok(told[0]?.message.includes("set VPC_ID"));
});

test("a deletion waits until its listeners are gone, and takes the finalizer away last", async (t) => {
  const world = await aWorld(t);
  const { loadBalancerId: id } = world.stage.cloud.addLoadBalancer();
  await world.change({ annotations: { [EXISTING]: id } });
  await world.settle();
  await world.listen(id);
  await world.kube.client.delete(PATH);
  await world.pass();
  assert.deepEqual([(await world.read()).metadata.finalizers, world.intents().get(world.uid)?.state], [[FINALIZER], "deleted"]);
  const listeners = world.stage.mirror.read(id)?.listeners.map(({ listenerId }) => listenerId) ?? [];
  await world.stage.finish(world.stage.api.deleteListeners(id, listeners, world.stage.signal));
  await world.stage.fill(id);
  await world.pass();
  await assert.rejects(world.read(), /404/);
  assert.deepEqual(
    [world.intents().get(world.uid), world.stage.mirror.ids, world.stage.cloud.state().loadBalancers.length],
    [undefined, [], 1],
  );
});

test("under no-unbind a Service that is deleted stays, and says what holds it", async (t) => {
  const world = await aWorld(t, {}, { policy: "no-unbind" });
  const id = await world.settle();
  await world.listen(id);
  await world.pass();
  await world.kube.client.delete(PATH);
  await world.pass();
  assert.deepEqual((await world.read()).metadata.finalizers, [FINALIZER]);
  const message = world.told.find(({ reason }) => reason === "KeptByPolicy")?.message ?? "";
  assert.match(message, /^Service demo\/web goes, but .* POLICY of the coordinator is no-unbind: set it to enforce/);
});

test("retired with its traffic kept, a Service loses our finalizer, alive or deleted, and its load balancer stays as it is", async (t) => {
  for (const isDeleted of [false, true]) {
    const world = await aWorld(t);
    const id = await world.settle();
    await world.listen(id);
    await world.pass();
    world.restart({ retire: "keep-traffic", policy: "no-unbind" });
    if (isDeleted) await world.kube.client.delete(PATH);
    await world.pass();
    const after = await world.kube.client.get<Raw>(PATH).catch(() => undefined);
    assert.deepEqual(after?.metadata.finalizers ?? [], []);
    if (isDeleted) assert.equal(after, undefined, "nothing holds it any more");
    assert.equal(world.stage.cloud.state().loadBalancers[0]?.listeners.length, 1);
  }
});

test("believes that nothing is left only after a current read", async (t) => {
  const world = await aWorld(t);
  const { loadBalancerId: id } = world.stage.cloud.addLoadBalancer();
  await world.change({ annotations: { [EXISTING]: id } });
  await world.settle();
  await world.stage.fill(id);
  world.stage.mirror.markStale(id, "structure ended in doubt"); // a listener may have been created
  await world.kube.client.delete(PATH);
  await world.pass();
  assert.deepEqual((await world.read()).metadata.finalizers, [FINALIZER]);
});

test("a deletion keeps a load balancer of ours that has another's listener, and says so", async (t) => {
  const { stage, settle, listen, kube, pass, read, reasons } = await aWorld(t);
  const id = await settle();
  await listen(id, "by hand");
  await kube.client.delete(PATH);
  await pass();
  await assert.rejects(read(), /404/);
  assert.ok(reasons().includes("LoadBalancerKept"));
  assert.deepEqual(
    stage.cloud.state().loadBalancers.map((one) => one.id),
    [id],
  );
});

/** Load balancers with the tags of a Service that is deleted; `listeners`: by load balancer, the names of those that it has. */
async function withSurplus(t: TestContext, listeners: (uid: string) => readonly (string | undefined)[]) {
  const world = await aWorld(t);
  const { stage, uid, settle, kube, listen, pass } = world;
  const id = await settle();
  await stage.fill(id);
  const surplus: string[] = [];
  for (const name of listeners(uid)) {
    const tags = { "clb-direct.io/cluster": CLUSTER, "clb-direct.io/owner": uid };
    const { loadBalancerId } = stage.cloud.addLoadBalancer({ tags });
    surplus.push(loadBalancerId);
    if (name !== undefined) await listen(loadBalancerId, name);
    stage.mirror.drop(loadBalancerId);
  }
  await kube.client.delete(PATH);
  await pass();
  await stage.finish(stage.api.deleteLoadBalancer(id, stage.signal)); // as the load balancer's pass does
  stage.mirror.forget(id);
  const left = (): readonly string[] => stage.cloud.state().loadBalancers.map((one) => one.id);
  const kept = (): readonly string[] => world.told.filter(({ reason }) => reason === "LoadBalancerKept").map(({ message }) => message);
  return { ...world, surplus, left, kept };
}
const ownListener = (uid: string): string => `cd-${CLUSTER}-${uid.replaceAll("-", "").slice(0, 12)}-tcp80`;

test("the deletion of a Service deletes the load balancers that it was shown too late, and tells of what else has its tags", async (t) => {
  const world = await withSurplus(t, (uid) => [ownListener(uid), "by hand", undefined]);
  const [, byHand = "", empty = ""] = world.surplus;
  await world.pass();
  await assert.rejects(world.read(), /404/);
  assert.deepEqual(world.left(), [byHand, empty]);
  const keptAll = world.kept();
  const why = (id: string): string => keptAll.find((message) => message.includes(id)) ?? "";
  for (const part of ["(by hand)", "Delete it by hand", "take the tags off"]) assert.ok(why(byHand).includes(part), why(byHand));
  assert.match(why(empty), /tags, which can be copied/);
});

test("a surplus load balancer that another Service uses is kept with its Service", async (t) => {
  const world = await withSurplus(t, (uid) => [ownListener(uid)]);
  const [shared = ""] = world.surplus;
  const ref = { kind: "Service", apiVersion: "v1", namespace: "demo", name: "other", uid: "other" } as const;
  world.intents().set({ ref, order: "1", selector: {}, state: "deleted", intent: undefined, loadBalancerId: shared });
  await world.pass();
  await assert.rejects(world.read(), /404/);
  assert.deepEqual(world.left(), [shared]);
  assert.match(world.kept()[0] ?? "", /Service demo\/other uses it/);
});

test("a surplus load balancer that the cloud refuses to delete is told, and keeps no Service", async (t) => {
  const world = await withSurplus(t, (uid) => [ownListener(uid)]);
  world.stage.intercept.by = (action) => {
    if (action === "DeleteLoadBalancer") throw Object.assign(new Error("it is protected"), { code: "FailedOperation" });
  };
  await world.pass();
  await assert.rejects(world.read(), /404/);
  assert.match(world.kept()[0] ?? "", /the cloud refuses to delete it: FailedOperation: it is protected/);
});

test("a surplus load balancer that is busy is deleted later, and the Service waits", async (t) => {
  const world = await withSurplus(t, (uid) => [ownListener(uid)]);
  world.stage.intercept.by = (action) => {
    if (action === "DeleteLoadBalancer") throw Object.assign(new Error("busy"), { code: "FailedOperation.ResourceInOperating" });
  };
  await assert.rejects(world.pass(), /busy/);
  assert.ok(await world.read());
  world.stage.intercept.by = () => undefined;
  await world.pass();
  await assert.rejects(world.read(), /404/);
  assert.deepEqual([world.left(), world.kept()], [[], []]);
});

test("the deletion of a Service waits until the load balancer that we created for it is deleted", async (t) => {
  const { stage, settle, kube, pass, read } = await aWorld(t);
  const id = await settle();
  await stage.fill(id);
  await kube.client.delete(PATH);
  await pass();
  assert.deepEqual((await read()).metadata.finalizers, [FINALIZER]);
  stage.mirror.forget(id); // the load balancer's pass has deleted it
  await pass();
  await assert.rejects(read(), /404/);
});

test("after a restart, a deletion cleans up also for a Service that cannot be read any more", async (t) => {
  const world = await aWorld(t);
  const { loadBalancerId: id } = world.stage.cloud.addLoadBalancer();
  await world.change({ annotations: { [EXISTING]: id } });
  await world.settle();
  await world.listen(id);
  await world.change({ annotations: { [ACCESS]: "maybe" } });
  world.restart();
  await world.pass();
  assert.equal(found(world.intents().get(world.uid), loadBalancerOf), id); // held as it is
  await world.kube.client.delete(PATH);
  world.restart();
  await world.pass();
  assert.deepEqual((await world.read()).metadata.finalizers, [FINALIZER]);
  assert.equal(found(world.intents().get(world.uid), loadBalancerOf), id);
});

test("decides nothing before every watch has synced", async (t) => {
  const { pass, stage, kube, uid, intents } = await aWorld(t, {}, { synced: () => false });
  const before = kube.written.length;
  assert.equal((await pass()).kind, "again");
  assert.deepEqual([stage.calls, kube.written.length, intents().get(uid)], [[], before, undefined]);
});
