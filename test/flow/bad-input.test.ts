import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DIRECT_ACCESS } from "../../common/names.ts";
import { applyManifests } from "../cluster/manifests.ts";
import type { Pod } from "../cluster/simulated/objects.ts";
import { becomesIdle } from "./disturbed-rollout.ts";
import { assertNoOverlaps, gateOf, type Told } from "./look.ts";
import { aPod, aService, misfits, TOLD } from "./misfits.ts";
import { startWorld, until, type World } from "./world.ts";

const PODS = "/api/v1/namespaces/demo/pods";
const SERVICES = "/api/v1/namespaces/demo/services";
/** The first of node-a's addresses in every slot: what the cloud knows as attached. Pods on node-b cannot be bound. */
const ATTACHED = Array.from({ length: 124 }, (_, index) => [`10.244.${index + 1}.0/26`, `127.244.${index + 1}.0/26`]).flat();

test("each mistake of a user gives one Event that names the fix, once; the rest keeps working", { timeout: 180_000 }, async (t) => {
  const world = await startWorld(t, { cloud: { backendCidrs: ATTACHED } });
  const installation = await install(world);
  await t.test("what is right is bound", () => rightIsBound(installation));
  await t.test("a Service that worked keeps its last good state", (inner) => lastGoodState(inner, installation));
  await t.test("each is told once", () => toldOnce(world));
  await t.test("objects of other controllers are left alone", () => leftAlone(installation));
  await t.test("the Pods that are not bound say why", () => gatesSayWhy(world));
  await t.test("a restarted coordinator says nothing twice and goes on", async () => {
    const before = await warnings(world);
    await world.product.coordinator()?.stop();
    await world.product.startCoordinator();
    await applyManifests(world.client, [aPod("good-2", "good")]);
    await until("the good Service's new Pod is bound", () => installation.bound("good").length === 2);
    await sleep(3_000); // for whatever it might say again
    assert.deepEqual(await warnings(world), before);
    await rightIsBound(installation);
  });
  await becomesIdle(world, 20_000);
  assertNoOverlaps(world);
});

type Installation = {
  readonly world: World;
  readonly ids: ReadonlyMap<string, string>;
  /** "<port> <name of the Pod>" for each target of the load balancer made for that Service, sorted. */
  readonly bound: (service: string) => string[];
};

async function install(world: World): Promise<Installation> {
  const { cloud } = world.cloud;
  const ids = new Map<string, string>();
  const idOf = (service: string): string => {
    const id = ids.get(service) ?? cloud.addLoadBalancer({ name: service }).loadBalancerId;
    ids.set(service, id);
    return id;
  };
  await cloud.call("clb", "CreateListener", { LoadBalancerId: idOf("taken"), Ports: [80], Protocol: "TCP", ListenerNames: ["theirs"] });
  await applyManifests(world.client, misfits(idOf));
  await sleep(1_100); // creation times have whole seconds, and the younger one shall be younger
  await applyManifests(world.client, [aService("younger", idOf("shared")), aPod("younger-1", "younger")]);
  const nameOf = (ip: string): string => {
    return world.pods().find(({ status }) => status?.podIP === ip)?.metadata.name ?? ip;
  };
  const bound = (service: string): string[] => {
    const found = cloud.state().loadBalancers.find(({ id }) => id === ids.get(service));
    return (found?.listeners ?? []).flatMap(({ port, targets }) => targets.map(({ ip }) => `${port} ${nameOf(ip)}`)).sort();
  };
  return { world, ids, bound };
}

async function rightIsBound({ bound, world, ids }: Installation): Promise<void> {
  const expected: Record<string, string[]> = {
    named: ["80 named-well"],
    mixed: ["80 mixed-net"],
    refused: ["80 refused-not"],
    "half-configured": ["80 half-configured-1", "81 half-configured-1"],
    unconfigured: ["80 unconfigured-1"],
    taken: ["81 taken-1"],
    shared: ["80 older-1"],
    "no-selector": [],
    typo: [],
    "tke-finalized": [],
    "tke-identified": [],
  };
  const look = () => Object.fromEntries(Object.keys(expected).map((service) => [service, bound(service)]));
  await until(
    () => `what is right bound: ${JSON.stringify(look())}`,
    () => JSON.stringify(look()) === JSON.stringify(expected),
  );
  assert.ok(bound("good").includes("80 good-1"));
  const answer = await world.cloud.cloud.call("clb", "DescribeListeners", { LoadBalancerId: ids.get("half-configured") });
  const listeners = answer["Listeners"] as { Port: number; HealthCheck: { IntervalTime: number } }[]; // as the API documents it
  const intervals = Object.fromEntries(listeners.map(({ Port, HealthCheck }) => [Port, HealthCheck.IntervalTime]));
  assert.deepEqual(intervals, { 80: 5, 81: 3 }, "the good section applies, the bad one leaves the cloud's default");
}

async function lastGoodState(t: TestContext, { world, bound }: Installation): Promise<void> {
  await until("the Service's Pod is bound", () => bound("turned").join() === "80 turned-1");
  const annotate = (value: string) =>
    world.client.patch(`${SERVICES}/turned`, { metadata: { annotations: { [DIRECT_ACCESS]: value } } }, "merge");
  await annotate("yes");
  await until("the mistake is told", async () => (await warnings(world)).includes("Service/turned InvalidDirectAccess 1"));
  await t.test("a new Pod is bound", async () => {
    await applyManifests(world.client, [aPod("turned-2", "turned")]);
    await until("the new Pod is bound", () => bound("turned").join() === "80 turned-1,80 turned-2");
  });
  await t.test("an old Pod is drained", async () => {
    await world.client.delete(`${PODS}/turned-1`);
    await until("the old Pod is unbound", () => bound("turned").join() === "80 turned-2");
  });
}

/** E.g. "Service/typo InvalidDirectAccess 1": object, reason, count; one for each Event object, sorted. */
async function warnings(world: World): Promise<string[]> {
  const told = await allEvents(world);
  return told.map(({ involvedObject: { kind, name }, reason, count }) => `${kind}/${name} ${reason} ${count}`).sort();
}

/** Without those of Kubernetes itself, e.g. ClusterIPNotAllocated of an API server that puts its own records right. */
async function allEvents(world: World): Promise<readonly Told[]> {
  const { items } = await world.client.list<Told>("/api/v1/namespaces/demo/events");
  return items.filter(({ type, reportingComponent = "" }) => type === "Warning" && reportingComponent.startsWith("clb-direct"));
}

async function toldOnce(world: World): Promise<void> {
  const expected = TOLD.map(([object, reason]) => `${object} ${reason} 1`);
  let seen: readonly string[] = [];
  await until(
    () => `all is told; missing: ${expected.filter((one) => !seen.includes(one)).join(", ")}`,
    async () => (seen = await warnings(world)).length >= expected.length,
  );
  await sleep(2_000);
  assert.deepEqual(await warnings(world), expected);
  const events = await allEvents(world);
  for (const [object, reason, fix] of TOLD) {
    const event = events.find(({ involvedObject: { kind, name }, ...told }) => told.reason === reason && `${kind}/${name}` === object);
    assert.match(event?.message ?? "", fix, `${object} ${reason}`);
  }
}

type ServiceObject = {
  readonly metadata: { readonly finalizers?: readonly string[] };
  readonly status?: { readonly loadBalancer?: object };
};

async function leftAlone({ world }: Installation): Promise<void> {
  for (const name of ["tke-finalized", "tke-identified"]) {
    const { metadata, status } = await world.client.get<ServiceObject>(`${SERVICES}/${name}`);
    assert.ok(!metadata.finalizers?.some((finalizer) => finalizer.startsWith("clb-direct.io/")), `${name} got our finalizer`);
    assert.deepEqual(status?.loadBalancer ?? {}, {});
  }
  const created = world.cloud.cloud.journal.of("call").filter(({ action }) => action === "CreateLoadBalancer");
  assert.deepEqual(created, [], "nobody asked for a new load balancer");
}

async function gatesSayWhy(world: World): Promise<void> {
  const reasons: Record<string, string> = {
    "mixed-host": "PodHostNetwork",
    "named-badly": "PortNotDeclared",
    "refused-one": "BindRefused",
    "typo-1": "InvalidDirectAccess",
    "younger-1": "ListenerPortTaken",
  };
  for (const [name, reason] of Object.entries(reasons)) {
    const gate = gateOf(await world.client.get<Pod>(`${PODS}/${name}`));
    assert.deepEqual({ name, status: gate?.status, reason: gate?.reason }, { name, status: "False", reason });
  }
}
