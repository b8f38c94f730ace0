import assert from "node:assert/strict";
import { test } from "node:test";
import type { DesiredLoadBalancer } from "../../../coordinator/domain/intent/desired-load-balancer.ts";
import { DEFAULT_HEALTH_CHECK, type LoadBalancer } from "../../../coordinator/domain/load-balancer.ts";
import { ListenerRecorder } from "../../../coordinator/load-balancers/listener-recorder.ts";
import { ListenerIdentity } from "../../../coordinator/state/listener-identity.ts";
import { OwnerRecords } from "../../../coordinator/state/owner-records.ts";
import {
  aBackend,
  aDesired,
  aListener,
  aLoadBalancer,
  anIntent,
  anOwner,
  aTarget,
  aWantedHttpListener,
  CLUSTER,
  LISTENER_NAME,
  SERVICE_UID,
} from "../../builders.ts";
import { idle } from "../../virtual-clock.ts";
import { aFakeClock, silentLog } from "../pods.ts";
import { memoryRecords } from "../stage.ts";

const { signal } = new AbortController();
const { rules: _, ...wanted } = aWantedHttpListener({ name: LISTENER_NAME, protocol: "TCP", backends: [aBackend()] });

/** One Service with a record; `pass` says what is on record of its listener, and whether anybody looked. */
async function aWorld() {
  const ownerRecords = new OwnerRecords(memoryRecords(), silentLog);
  const clock = aFakeClock();
  const { ref, order } = anOwner();
  await ownerRecords.update("lb-1", SERVICE_UID, () => ({ ref, order, intent: anIntent(), formerSelectors: [], listeners: {} }), signal);
  const identity = new ListenerIdentity({ ownerRecords, clusterId: CLUSTER, clock });
  const intents = { of: () => [], remove: () => undefined };
  const mirror = { markStale: () => undefined };
  let looked = 0;
  const updateAll = ownerRecords.updateAll.bind(ownerRecords);
  ownerRecords.updateAll = (...from) => {
    looked += 1;
    return updateAll(...from);
  };
  const told = { onRenamed: () => undefined, due: () => undefined };
  const recorder = new ListenerRecorder({ ownerRecords, identity, intents, mirror, clusterId: CLUSTER, clock, log: silentLog, ...told });
  const world: { desired: DesiredLoadBalancer; actual: LoadBalancer } = {
    desired: aDesired({ listeners: [wanted] }),
    actual: aLoadBalancer({ listeners: [aListener({ targets: [aTarget()] })] }),
  };
  const pass = async () => {
    looked = 0;
    recorder.keep(world.desired, world.actual, signal);
    await idle();
    const { "TCP/80": listener } = ownerRecords.get("lb-1", SERVICE_UID)?.listeners ?? {};
    return { id: listener?.id, scheduler: listener?.scheduler, interval: listener?.healthCheck.intervalSeconds, looked };
  };
  const settle = async (): Promise<void> => {
    await pass();
    await pass();
    assert.equal((await pass()).looked, 0);
  };
  return { world, ownerRecords, pass, settle };
}

test("looks at nothing while only Pods come and go", async () => {
  const { world, pass, settle } = await aWorld();
  await settle();
  world.desired = { ...world.desired, listeners: [{ ...wanted, backends: [] }] };
  assert.equal((await pass()).looked, 0);
  world.actual = { ...world.actual, listeners: world.actual.listeners.map((one) => ({ ...one, targets: [] })) };
  assert.deepEqual(await pass(), { id: "lbl-1", scheduler: "WRR", interval: DEFAULT_HEALTH_CHECK.intervalSeconds, looked: 0 });
});

test("records how a listener is set as soon as that is another thing", async () => {
  const { world, pass, settle } = await aWorld();
  await settle();
  const check = { ...DEFAULT_HEALTH_CHECK, intervalSeconds: 77 };
  world.actual = { ...world.actual, listeners: world.actual.listeners.map((one) => ({ ...one, healthCheck: check })) };
  assert.equal((await pass()).interval, 77);
  world.desired = { ...world.desired, listeners: [{ ...wanted, scheduler: "LEAST_CONN" }] };
  world.actual = { ...world.actual, listeners: world.actual.listeners.map((one) => ({ ...one, scheduler: "LEAST_CONN" as const })) };
  assert.equal((await pass()).scheduler, "LEAST_CONN");
});

test("records another listener in place of one that is gone", async () => {
  const { world, pass, settle } = await aWorld();
  await settle();
  world.actual = aLoadBalancer({ listeners: [aListener({ listenerId: "lbl-9" })] });
  assert.equal((await pass()).id, "lbl-9");
});

test("looks again when something on record was changed by somebody else", async () => {
  const { ownerRecords, pass, settle } = await aWorld();
  await settle();
  await ownerRecords.update("lb-1", SERVICE_UID, (known) => known && { ...known, listeners: {} }, signal);
  assert.equal((await pass()).id, "lbl-1");
});

test("looks each time where rules were left, for that depends on time and targets", async () => {
  const { ownerRecords, pass } = await aWorld();
  await ownerRecords.update(
    "lb-1",
    SERVICE_UID,
    (known) => known && { ...known, leftRules: { "HTTP/80": { "shop.example.com /": Number.MAX_SAFE_INTEGER } } },
    signal,
  );
  await pass();
  await pass();
  assert.ok((await pass()).looked > 0);
});
