/** Ingresses whose IngressClass was made anew for another controller: what the chart's policy allows no write of is not written, and nothing is made for them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE, FINALIZER } from "../../common/names.ts";
import { type ManifestWorld, manifestWorld } from "./world.ts";

const INGRESS = {
  kind: "Ingress",
  metadata: { name: "shop", annotations: { "ingress.cloud.tencent.com/direct-access": "true" } },
  spec: {
    ingressClassName: "direct",
    rules: [
      {
        host: "shop.example.com",
        http: { paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "shop", port: { number: 80 } } } }] },
      },
    ],
  },
};
const classOf = (world: ManifestWorld, controller: string): Promise<void> =>
  world.apply({ kind: "IngressClass", metadata: { name: "direct" }, spec: { controller } });
const pod = (name: string) => ({
  name,
  labels: { app: "web" },
  annotations: {},
  ready: true,
  hostNetwork: false,
  ports: [{ containerPort: 8080 }],
});

const metadataOf = ({ store }: ManifestWorld): { readonly finalizers?: readonly string[] } =>
  Object(store.get("ingresses", "demo", "shop")).metadata;
const boundOf = ({ cloud }: ManifestWorld): readonly string[] =>
  (cloud.state().loadBalancers[0]?.listeners[0]?.rules ?? []).flatMap(({ targets }) => [...targets.values()].map(({ ip }) => ip));
function gateOf({ store }: ManifestWorld, name: string): unknown {
  const conditions: unknown = Object(store.get("pods", "demo", name)).status?.conditions;
  return Object((Array.isArray(conditions) ? conditions : []).find(({ type }) => type === DEFAULT_GATE_TYPE)).status;
}

async function givenAway(story: (world: ManifestWorld) => Promise<void>): Promise<void> {
  const world = await manifestWorld({ given: [], settings: {}, certificates: [] });
  await world.run(
    (async () => {
      world.start();
      await classOf(world, "clb-direct.io/ingress");
      const ports = [{ name: "http", port: 80, targetPort: 8080 }];
      await world.apply({ kind: "Service", metadata: { name: "shop" }, spec: { selector: { app: "web" }, ports } });
      await world.apply(INGRESS);
      await world.applyPod(pod("web-1"), 0);
      await world.settle();
      assert.deepEqual(boundOf(world), ["10.244.1.1"]);
      await world.remove("IngressClass/direct");
      await classOf(world, "k8s.io/ingress-nginx");
      await world.settle();
      await story(world);
      await world.kill();
    })(),
  );
  await world.end();
}

test("a finalizer that was taken off by hand is not claimed again: what it has serves on, also under the next leader", async () => {
  await givenAway(async (world) => {
    await world.apply({ kind: "Ingress", metadata: { name: "shop", finalizers: [] } });
    await world.applyPod(pod("web-2"), 1);
    await world.settle();
    assert.ok(metadataOf(world).finalizers?.includes(FINALIZER) !== true, "the policy denies that, again and again");
    await world.kill();
    world.start();
    await world.applyPod(pod("web-3"), 2);
    await world.settle();
    assert.ok(metadataOf(world).finalizers?.includes(FINALIZER) !== true);
    assert.deepEqual(boundOf(world), ["10.244.1.1", "10.244.1.2", "10.244.1.3"]);
    assert.equal(gateOf(world, "web-3"), "True");
  });
});

test("a load balancer that is deleted by hand is not made anew, and no Pod waits for it; the Ingress can go", async () => {
  await givenAway(async (world) => {
    const id = world.cloud.state().loadBalancers[0]?.id;
    await world.cloud.call("clb", "DeleteLoadBalancer", { LoadBalancerIds: [id] }, { name: "the user" });
    await world.clock.sleep(150_000); // a re-read
    await world.applyPod(pod("web-2"), 1);
    await world.settle();
    assert.deepEqual(world.cloud.state().loadBalancers, []);
    assert.equal(gateOf(world, "web-2"), "True");
    await world.remove("Ingress/shop");
    await world.settle();
    assert.equal(world.store.get("ingresses", "demo", "shop"), undefined);
  });
});

test("the class is given back: it is served as before, with a load balancer of its own", async () => {
  await givenAway(async (world) => {
    const id = world.cloud.state().loadBalancers[0]?.id;
    await world.cloud.call("clb", "DeleteLoadBalancer", { LoadBalancerIds: [id] }, { name: "the user" });
    await world.clock.sleep(150_000);
    await world.remove("IngressClass/direct");
    await classOf(world, "clb-direct.io/ingress");
    await world.settle();
    assert.deepEqual(boundOf(world), ["10.244.1.1"]);
  });
});

test("given another class and without our finalizer it is let go at the load balancer, and no write of it is tried that the policy denies", async () => {
  const world = await manifestWorld({ given: [], settings: {}, certificates: [] });
  await world.run(
    (async () => {
      world.start();
      await classOf(world, "clb-direct.io/ingress");
      await world.apply({ kind: "IngressClass", metadata: { name: "nginx" }, spec: { controller: "k8s.io/ingress-nginx" } });
      const ports = [{ name: "http", port: 80, targetPort: 8080 }];
      await world.apply({ kind: "Service", metadata: { name: "shop" }, spec: { selector: { app: "web" }, ports } });
      await world.apply(INGRESS);
      await world.applyPod(pod("web-1"), 0);
      await world.settle();
      const status: unknown = Object(world.store.get("ingresses", "demo", "shop")).status;
      await world.apply({ kind: "Ingress", metadata: { name: "shop", finalizers: [] }, spec: { ingressClassName: "nginx" } });
      const before = world.writes().filter((write) => write.endsWith("ingresses/shop")).length;
      await world.settle();
      assert.equal(world.writes().filter((write) => write.endsWith("ingresses/shop")).length, before);
      assert.deepEqual(Object(world.store.get("ingresses", "demo", "shop")).status, status);
      assert.deepEqual(world.cloud.state().loadBalancers, []);
      assert.equal(gateOf(world, "web-1"), "True");
      await world.kill();
    })(),
  );
  await world.end();
});
