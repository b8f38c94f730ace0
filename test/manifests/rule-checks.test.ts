import assert from "node:assert/strict";
import { test } from "node:test";
import { manifestWorld } from "./world.ts";

const ingress = (host: string | undefined) => ({
  kind: "Ingress",
  metadata: { name: "shop", annotations: { "ingress.cloud.tencent.com/direct-access": "true" } },
  spec: {
    ingressClassName: "qcloud",
    rules: [
      {
        ...(host !== undefined && { host }),
        http: { paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "shop", port: { number: 80 } } } }] },
      },
    ],
  },
});
const SHOP = {
  kind: "Service",
  metadata: { name: "shop" },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
};
const pod = (name: string) => ({
  name,
  labels: { app: "web" },
  annotations: {},
  ready: true,
  hostNetwork: false,
  ports: [{ name: "http", containerPort: 8080 }],
});

type Shown = {
  readonly ListenerId: string;
  readonly Rules: readonly { readonly LocationId: string; readonly HealthCheck: { readonly HealthSwitch: number } }[];
};

for (const host of ["shop.example.com", undefined])
  test(`a check of a rule that somebody switches off by hand is switched on again: ${host ?? "no host"}`, async () => {
    const world = await manifestWorld({ given: [], settings: {}, certificates: [] });
    const { clock, cloud, store } = world;
    const call = async (action: string, request: object): Promise<unknown> => {
      const LoadBalancerId = cloud.state().loadBalancers[0]?.id;
      return await cloud.call("clb", action, { LoadBalancerId, ...request }, { name: "the user" });
    };
    const shown = async (): Promise<Shown | undefined> => Object(await call("DescribeListeners", {})).Listeners[0];
    const gateOf = (name: string): unknown => {
      const conditions: { readonly type: string; readonly status: string }[] = Object(store.get("pods", "demo", name)?.status).conditions;
      return conditions.find(({ type }) => type.endsWith("load-balancer-backendgroup-ready"))?.status;
    };
    await world.run(
      (async () => {
        world.start();
        for (const object of [SHOP, ingress(host)]) await world.apply(object);
        await world.applyPod(pod("web-1"), 0);
        await world.settle();
        const listener = await shown();
        const LocationId = listener?.Rules[0]?.LocationId;
        await call("ModifyRule", { ListenerId: listener?.ListenerId, LocationId, HealthCheck: { HealthSwitch: 0 } });
        await world.kill();
        world.start(); // a leader that never saw it on
        await clock.sleep(90_000);
        assert.equal((await shown())?.Rules[0]?.HealthCheck.HealthSwitch, 1);
        await world.applyPod(pod("web-2"), 1);
        await world.settle();
        assert.equal(gateOf("web-2"), "True");
        await world.kill();
      })(),
    );
    await world.end();
  });
