import assert from "node:assert/strict";
import { test } from "node:test";
import { manifestWorld } from "./world.ts";

const INGRESS = {
  kind: "Ingress",
  metadata: {
    name: "shop",
    annotations: { "ingress.cloud.tencent.com/direct-access": "true", "kubernetes.io/ingress.existLbId": "lb-user" },
  },
  spec: {
    ingressClassName: "qcloud",
    rules: [
      {
        host: "a.example.com",
        http: { paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "shop", port: { number: 80 } } } }] },
      },
    ],
  },
};

test("a listener of the user that has the port stays, which is told by TKE's code; its end lets ours come", async () => {
  const world = await manifestWorld({ given: [{ id: "lb-user", vip: "198.18.0.50" }], settings: {}, certificates: [] });
  const { clock, cloud, store } = world;
  const listeners = () => cloud.state().loadBalancers[0]?.listeners.map(({ protocol, name }) => `${protocol} ${name.slice(0, 3)}`);
  const call = async (action: string, request: object): Promise<void> =>
    void (await cloud.call("clb", action, { LoadBalancerId: "lb-user", ...request }, { name: "the user" }));
  await world.run(
    (async () => {
      await call("CreateListener", { Ports: [80], Protocol: "TCP", ListenerNames: ["mine"] });
      await clock.sleep(10_000);
      world.start();
      await world.apply({
        kind: "Service",
        metadata: { name: "shop" },
        spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
      });
      await world.apply(INGRESS);
      await world.settle();
      const told = store.list("events").map((event) => `${String(Reflect.get(event, "reason"))} ${String(Reflect.get(event, "message"))}`);
      assert.match(told.join("\n"), /ListenerPortTaken IngressErrorCode\{Code:"E4021",.*HTTP:80 is taken by foreign listener/);
      assert.deepEqual(listeners(), ["TCP min"]);
      await call("DeleteLoadBalancerListeners", {}); // all of them
      await clock.sleep(120_000);
      assert.deepEqual(listeners(), ["HTTP cd-"]);
      await world.kill();
    })(),
  );
  await world.end();
});
