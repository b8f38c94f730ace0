/** A Service without selector while nobody knows its EndpointSlices: what it has stays, and no gate opens by mistake. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { manifestWorld } from "./world.ts";

const SERVICE = {
  kind: "Service",
  metadata: { name: "db", annotations: { "service.cloud.tencent.com/direct-access": "true" } },
  spec: { type: "LoadBalancer", ports: [{ port: 3306 }] },
};
const slice = (...addresses: readonly string[]) => ({
  kind: "EndpointSlice",
  metadata: { name: "db-1", labels: { "kubernetes.io/service-name": "db" } },
  addressType: "IPv4",
  endpoints: addresses.map((address) => ({ addresses: [address] })),
  ports: [{ port: 5432 }],
});
const pod = (name: string) => ({ name, labels: {}, annotations: {}, ready: true, hostNetwork: false, ports: [] });

test("the coordinator may no longer read EndpointSlices: a new leader leaves what is bound, says why, and goes on when it may again", async () => {
  const world = await manifestWorld({ given: [], settings: {}, certificates: [] });
  const { store, cloud } = world;
  const targets = (): string[] =>
    (cloud.state().loadBalancers[0]?.listeners[0]?.targets ?? []).map(({ ip, weight }) => `${ip}=${weight}`).sort();
  const gate = (name: string): unknown => {
    const conditions: readonly { type: string; status: string }[] = Object(store.get("pods", "demo", name)).status?.conditions ?? [];
    return conditions.find(({ type }) => type === DEFAULT_GATE_TYPE)?.status;
  };
  const told = (): string[] => store.list("events").map((event) => String(Reflect.get(event, "reason")));
  await world.run(
    (async () => {
      world.start();
      await world.apply(SERVICE);
      await world.apply(slice("10.244.1.1", "10.244.1.2"));
      await world.applyPod(pod("one"), 0);
      await world.applyPod(pod("two"), 1);
      await world.settle();
      assert.deepEqual(targets(), ["10.244.1.1=10", "10.244.1.2=10"]);
      await world.kill();

      world.forbidden.add("endpointslices");
      world.start();
      await world.apply(slice("10.244.1.1", "10.244.1.2", "10.244.1.3"));
      await world.settle();
      assert.deepEqual(targets(), ["10.244.1.1=10", "10.244.1.2=10"]);
      assert.deepEqual(told().sort(), ["ApiAccessDenied", "EnsureServiceSuccess"]);
      const [condition] = Object(store.get("services", "demo", "db")).status.conditions;
      assert.deepEqual([condition.status, condition.reason], ["False", "ApiAccessDenied"]);
      await world.remove("Pod/two"); // its end is its own word, whoever named it
      await world.settle();
      assert.deepEqual(targets(), ["10.244.1.1=10"]);

      world.forbidden.clear();
      await world.applyPod(pod("three"), 2);
      await world.settle();
      assert.deepEqual(targets(), ["10.244.1.1=10", "10.244.1.3=10"]);
      assert.equal(gate("three"), "True");
      await world.kill();
    })(),
  );
  await world.end();
});

test("a Pod that waits is not let through because a new leader has not read the slices that name it yet", async () => {
  const world = await manifestWorld({ given: [], settings: {}, certificates: [] });
  const { store } = world;
  const gates = new Set<string>();
  store.subscribe(({ plural, object }) => {
    if (plural !== "pods") return;
    const conditions: readonly { type: string; status: string; reason: string }[] = Object(object).status?.conditions ?? [];
    for (const { type, status, reason } of conditions) if (type === DEFAULT_GATE_TYPE) gates.add(`${status} ${reason}`);
  });
  await world.run(
    (async () => {
      world.start();
      await world.apply({ ...SERVICE, spec: { ...SERVICE.spec, ports: [{ name: "sql", port: 3306 }] } });
      await world.apply(slice("10.244.1.1")); // without a port of that name
      await world.applyPod(pod("one"), 0);
      await world.settle();
      await world.kill();
      world.start();
      await world.settle();
      await world.kill();
    })(),
  );
  await world.end();
  assert.deepEqual(
    [...gates].filter((one) => !one.endsWith("PortNotDeclared")),
    [],
  );
});

test("an address that is added to a slice and is no Pod's is told soon, also where no re-read is near", async () => {
  const world = await manifestWorld({ given: [], settings: { resyncMs: 3_600_000 }, certificates: [] });
  const { store, clock } = world;
  await world.run(
    (async () => {
      world.start();
      await world.apply(SERVICE);
      await world.apply(slice("10.244.1.1"));
      await world.applyPod(pod("one"), 0);
      await world.settle();
      await world.apply(slice("10.244.1.1", "203.0.113.9"));
      await clock.sleep(15_000);
      const told = store.list("events").filter((event) => Reflect.get(event, "reason") === "EndpointNotBound");
      assert.match(
        told.map((event) => String(Reflect.get(event, "message"))).join(),
        /^Service demo\/db: 203\.0\.113\.9 of EndpointSlice db-1/,
      );
      await world.kill();
    })(),
  );
  await world.end();
});
