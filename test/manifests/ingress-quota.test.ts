import assert from "node:assert/strict";
import { test } from "node:test";
import { manifestWorld } from "./world.ts";

const backend = { service: { name: "shop", port: { number: 80 } } };
/** The quota of rules of a listener is 50. */
const RULES = 52;

test("more rules than the quota allows: the rest is served, and what is too much is forecast and told", async () => {
  const world = await manifestWorld({ given: [], settings: {}, certificates: [] });
  const paths = Array.from({ length: RULES }, (_, index) => ({ path: `/p${index}`, pathType: "Prefix", backend }));
  await world.run(
    (async () => {
      world.start();
      await world.apply({
        kind: "Service",
        metadata: { name: "shop" },
        spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
      });
      await world.apply({
        kind: "Ingress",
        metadata: { name: "shop", annotations: { "ingress.cloud.tencent.com/direct-access": "true" } },
        spec: { ingressClassName: "qcloud", rules: [{ host: "a.example.com", http: { paths } }] },
      });
      await world.clock.sleep(120_000);
      const [listener] = world.cloud.state().loadBalancers[0]?.listeners ?? [];
      assert.equal(listener?.rules.length, 50);
      const told = world.store
        .list("events")
        .map((event) => `${String(Reflect.get(event, "reason"))} ${String(Reflect.get(event, "message"))}`);
      const about = (reason: string): string[] => told.filter((text) => text.startsWith(`${reason} `));
      assert.match(about("QuotaExceeded").join("\n"), /Ingress demo\/shop.*HTTP:80 needs 52, quota TOTAL_LISTENER_RULE_QUOTA is 50/);
      assert.match(about("WriteRefused").join("\n"), /a\.example\.com\/p\d+.*LimitExceeded/);
      await world.kill();
    })(),
  );
  await world.end();
});
