import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { FINALIZER } from "../../../common/names.ts";
import { blockerOf, loadBalancerOf } from "../../../coordinator/domain/intent/owner-intent.ts";
import type { ServiceRecord } from "../../../coordinator/domain/intent/service.ts";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import { makeOwnersController } from "../../../coordinator/owners/controller.ts";
import { OPEN_ACCESS } from "../../../coordinator/state/access.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { NO_MISFITS } from "../../../coordinator/state/misfit-namespaces.ts";
import { OwnerRecords } from "../../../coordinator/state/owner-records.ts";
import { aService, CLUSTER } from "../../builders.ts";
import { silentLog } from "../pods.ts";
import { aStage, memoryRecords, NO_CERTIFICATES, NO_ENDPOINT_SLICES, NO_SWITCHES } from "../stage.ts";

const ARREARS = { kind: "error", code: "FailedOperation.InsufficientBalance", message: "the account is in arrears" } as const;

/** Many Services that wait for a load balancer each, and the controller of owners on the emulated cloud. */
function someOwners(t: TestContext, count: number) {
  const stage = aStage(t);
  const { clock, api, mirror, addressClaims } = stage;
  const pods = {
    waitingForGate: new Set<string>(),
    ending: new Set<string>(),
    inNamespace: () => [],
    byIp: () => undefined,
    follow: () => {},
    close: () => {},
  };
  const intents = new Intents({ clusterId: CLUSTER, pods, wishes: () => new Map() });
  const records = new Map<string, ServiceRecord>();
  const told: Problem[] = [];
  const services = { synced: true, records, lastByteAtMs: 0, run: () => Promise.resolve() };
  const empty = { ...services, records: new Map() };
  const objects = {
    services,
    configs: empty,
    ingresses: empty,
    ingressClasses: empty,
    nodes: empty,
    certificates: NO_CERTIFICATES,
    endpointSlices: NO_ENDPOINT_SLICES,
    tkeSwitches: NO_SWITCHES,
    misfitNamespaces: NO_MISFITS,
    access: OPEN_ACCESS,
    ownersListed: true,
    synced: true,
    watchAgeSeconds: {},
    configsVersion: 0,
    config: () => undefined,
    run: () => Promise.resolve(),
  };
  const { queue } = makeOwnersController({
    client: { list: () => Promise.resolve({ items: [], resourceVersion: "1" }), patch: <T>() => Promise.resolve({} as T) },
    api,
    state: {
      mirror,
      addressClaims,
      ownerRecords: new OwnerRecords(memoryRecords(), silentLog),
      intents,
      objects,
      certificates: NO_CERTIFICATES,
      ready: true,
      object: (uid) => records.get(uid),
      serviceNamed: () => undefined,
    },
    clusterId: CLUSTER,
    ownership: "annotation",
    vpcId: undefined,
    clock,
    log: silentLog,
    tell: (problem) => void told.push(problem),
    intentChanged: () => undefined,
    onRead: () => undefined,
    onOutcome: () => undefined,
  });
  const add = (n: number): void => {
    const uid = `5e21c0ff-ee${String(n).padStart(2, "0")}-0000-0000-000000000000`;
    records.set(uid, aService({ uid, name: `web-${n}`, finalizers: [FINALIZER] }));
    queue.add(uid);
  };
  for (let n = 0; n < count; n++) add(n);
  const stop = new AbortController();
  t.after(() => stop.abort());
  void queue.run(stop.signal, stop.signal);
  /** Calls of an action while so much time passes. */
  const during = async (ms: number, action: string): Promise<number> => {
    const before = stage.calls.length;
    for (let passed = 0; passed < ms; passed += 100) await clock.advance(100);
    return stage.calls.slice(before).filter((call) => call.action === action).length;
  };
  const served = (): number => [...intents.all].filter((owner) => loadBalancerOf(owner) !== undefined).length;
  return { stage, told, intents, records, queue, add, during, served };
}

test("an account in arrears is asked once for all Services, ever more rarely; each of them says why it waits", async (t) => {
  const { stage, told, intents, during, served } = someOwners(t, 20);
  stage.cloud.faults.add({ ...ARREARS, action: "CreateLoadBalancer" });
  await during(60_000, "CreateLoadBalancer");
  const creations = await during(120_000, "CreateLoadBalancer");
  assert.ok(creations >= 3 && creations <= 5, `${creations} creations in two minutes`);
  const reads = await during(60_000, "DescribeLoadBalancers");
  assert.ok(reads <= 4, `${reads} reads in a minute`);
  assert.equal(new Set(told.map(({ object }) => object.uid)).size, 20);
  assert.equal(new Set(told.map(({ message }) => message)).size, 20);
  assert.match(told[0]?.message ?? "", /^ServiceErrorCode\{Code:"E4027",Message:"Service demo\/web-\d+: .*the account is in arrears/);
  assert.deepEqual(new Set([...intents.all].map((owner) => blockerOf(owner)?.reason)), new Set(["LoadBalancerNotCreated"]));

  stage.cloud.faults.clear();
  await during(90_000, "CreateLoadBalancer");
  assert.equal(served(), 20);
});

test("a creation that fails for its owner alone waits ever longer, and the others are created meanwhile", async (t) => {
  const { stage, during, served } = someOwners(t, 3);
  stage.intercept.by = (action, request) => {
    if (action === "CreateLoadBalancer" && JSON.stringify(request).includes("web-0"))
      throw Object.assign(new Error("no address is left"), { code: "ResourceInsufficient" });
  };
  await during(60_000, "CreateLoadBalancer");
  assert.equal(served(), 2);
  const creations = await during(120_000, "CreateLoadBalancer");
  assert.ok(creations >= 3 && creations <= 4, `${creations} creations in two minutes`);
});

for (const code of ["LimitExceeded", "UnauthorizedOperation"])
  for (const lateMs of [20_000, 100_000, 103_000])
    test(`${code} of four Services, which may be about what only they ask for: one that comes ${lateMs} ms later gets its try`, async (t) => {
      const { stage, during, add, served } = someOwners(t, 4);
      stage.intercept.by = (action, request) => {
        if (action === "CreateLoadBalancer" && !JSON.stringify(request).includes("web-4"))
          throw Object.assign(new Error("no more public load balancers"), { code });
      };
      await during(lateMs, "CreateLoadBalancer");
      add(4);
      await during(200_000, "CreateLoadBalancer");
      assert.equal(served(), 1);
      const creations = await during(120_000, "CreateLoadBalancer");
      assert.ok(creations <= 5, `${creations} creations in two minutes`);
    });

test("a Service that asks for another load balancer than the refused one need not wait", async (t) => {
  const { stage, records, queue, during, served } = someOwners(t, 1);
  stage.intercept.by = (action) => {
    if (action === "CreateLoadBalancer") throw Object.assign(new Error("no address is left"), { code: "ResourceInsufficient" });
  };
  await during(120_000, "CreateLoadBalancer");
  const { loadBalancerId } = stage.cloud.addLoadBalancer();
  for (const [uid, record] of records) {
    records.set(uid, { ...record, annotations: { ...record.annotations, "service.kubernetes.io/tke-existed-lbid": loadBalancerId } });
    queue.add(uid);
  }
  await during(1_000, "CreateLoadBalancer");
  assert.equal(served(), 1);
});

test("a key that may not create says so once on each Service, by TKE's code, without what differs from call to call", async (t) => {
  const { stage, told, intents, during, served } = someOwners(t, 3);
  let calls = 0;
  stage.intercept.by = (action) => {
    const words = `[request id:6c915c06-53e0-4717-9358-0000000000${10 + (calls++ % 90)}]you are not authorized to perform operation`;
    if (action === "CreateLoadBalancer") throw Object.assign(new Error(words), { code: "UnauthorizedOperation", requestId: "req-1" });
  };
  await during(180_000, "CreateLoadBalancer");
  const said = new Set(told.map(({ message }) => message));
  assert.equal(said.size, 3, [...said].join("\n"));
  const [first = ""] = said;
  assert.match(
    first,
    /Code:"E4007",Message:"Service demo\/web-\d: the cloud denies clb:CreateLoadBalancer: UnauthorizedOperation: you are not/,
  );
  assert.deepEqual(new Set([...intents.all].map((owner) => blockerOf(owner)?.reason)), new Set(["CloudAccessDenied"]));
  stage.intercept.by = () => undefined;
  await during(90_000, "CreateLoadBalancer");
  assert.equal(served(), 3);
});

for (const age of ["5s", "10s", "20s"] as const)
  test(`a load balancer that reads show ${age} late is ordered once`, async (t) => {
    const { stage, intents, during, served } = someOwners(t, 1);
    stage.cloud.faults.add({ kind: "stale", age, action: "DescribeLoadBalancers" });
    await during(60_000, "CreateLoadBalancer");
    assert.equal(served(), 1);
    const [made, ...others] = stage.cloud.state().loadBalancers;
    assert.deepEqual([others.length, [...intents.all].map(loadBalancerOf)], [0, [made?.id]]);
  });

test("a load balancer that is never shown is ordered anew after minutes", async (t) => {
  const { stage, during, served } = someOwners(t, 1);
  stage.cloud.faults.add({ kind: "stale", age: "10m", action: "DescribeLoadBalancers", for: "7m" });
  assert.equal(await during(240_000, "CreateLoadBalancer"), 1);
  assert.equal(await during(120_000, "CreateLoadBalancer"), 1);
  await during(120_000, "CreateLoadBalancer");
  assert.equal(served(), 1);
});

test("load balancers that are never shown are ordered ever more rarely, and that is told", async (t) => {
  const { stage, intents, during } = someOwners(t, 1);
  stage.cloud.faults.add({ kind: "stale", age: "300h", action: "DescribeLoadBalancers" });
  assert.equal(await during(900_000, "CreateLoadBalancer"), 2, "the first, and one more");
  assert.deepEqual(
    [...intents.all].map((owner) => blockerOf(owner)?.reason),
    ["LoadBalancerNotCreated"],
  );
  assert.equal(await during(3_000_000, "CreateLoadBalancer"), 0);
  assert.equal(await during(1_200_000, "CreateLoadBalancer"), 1);
});
