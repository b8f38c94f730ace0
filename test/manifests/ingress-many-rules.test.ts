/** One Pod behind 50 rules, as many as the quota allows: bound in each, one gate for all, one drain; and all 50 paths changed at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { type ManifestWorld, manifestWorld } from "./world.ts";

const RULES = 50;
const backend = { service: { name: "shop", port: { number: 80 } } };
const ingress = (prefix: string) => ({
  kind: "Ingress",
  metadata: { name: "shop", annotations: { "ingress.cloud.tencent.com/direct-access": "true" } },
  spec: {
    ingressClassName: "qcloud",
    rules: [
      {
        host: "a.example.com",
        http: { paths: Array.from({ length: RULES }, (_, at) => ({ path: `/${prefix}${at}`, pathType: "Prefix", backend })) },
      },
    ],
  },
});
const SERVICE = {
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
  ports: [{ containerPort: 8080 }],
});

const rulesOf = ({ cloud }: ManifestWorld) => cloud.state().loadBalancers[0]?.listeners[0]?.rules ?? [];
/** In how many rules the address is bound with traffic. */
const boundOf = (world: ManifestWorld, ip: string): number =>
  rulesOf(world).filter(({ targets }) => targets.some((target) => target.ip === ip && target.weight > 0)).length;
const gateOf = ({ store }: ManifestWorld, name: string): { readonly status?: string; readonly message?: string } => {
  const conditions: unknown = Object(store.get("pods", "demo", name)).status?.conditions;
  return Object((Array.isArray(conditions) ? conditions : []).find(({ type }) => type === DEFAULT_GATE_TYPE));
};

async function inWorld(cloud: Parameters<typeof manifestWorld>[0]["cloud"], story: (world: ManifestWorld) => Promise<void>) {
  const world = await manifestWorld({ given: [], settings: {}, certificates: [], ...(cloud && { cloud }) });
  await world.run(
    (async () => {
      world.start();
      await world.apply(SERVICE);
      await world.apply(ingress("p"));
      await story(world);
      await world.kill();
    })(),
  );
  await world.end();
}

test("a Pod behind 50 rules is bound in each, and its gate waits for the last one to find it healthy", async () => {
  let isLastWell = false;
  const probe = async ({ check }: { readonly check: { readonly HttpCheckPath?: string | null } }) =>
    isLastWell || check.HttpCheckPath !== "/p49";
  await inWorld({ probe }, async (world) => {
    // What tells the rules apart for a probe is the path that its check asks for.
    await world.apply({
      kind: "TkeServiceConfig",
      metadata: { name: "tuned" },
      spec: {
        loadBalancer: {
          l7Listeners: [
            {
              protocol: "HTTP",
              port: 80,
              domains: [{ domain: "a.example.com", rules: [{ url: "/p49", healthCheck: { enable: true, httpCheckPath: "/p49" } }] }],
            },
          ],
        },
      },
    });
    await world.apply({
      kind: "Ingress",
      metadata: { name: "shop", annotations: { "ingress.cloud.tencent.com/tke-service-config": "tuned" } },
    });
    await world.applyPod(pod("web-1"), 0);
    await world.clock.sleep(90_000);
    assert.equal(boundOf(world, "10.244.1.1"), RULES);
    assert.equal(gateOf(world, "web-1").status, "False");
    assert.match(gateOf(world, "web-1").message ?? "", /HTTP:80 a\.example\.com\/p49/);
    isLastWell = true;
    await world.clock.sleep(90_000);
    assert.equal(gateOf(world, "web-1").status, "True");
  });
});

test("it leaves all 50 in full calls, and only after the other Pod serves in each", async () => {
  await inWorld(undefined, async (world) => {
    await world.applyPod(pod("web-1"), 0);
    await world.settle();
    await world.applyPod(pod("web-2"), 1);
    await world.settle();
    assert.equal(boundOf(world, "10.244.1.2"), RULES);
    const before = world.cloud.journal.of("call").length;
    await world.remove("Pod/web-1");
    await world.settle();
    assert.deepEqual([boundOf(world, "10.244.1.1"), boundOf(world, "10.244.1.2")], [0, RULES]);
    const writes = world.cloud.journal
      .of("call")
      .slice(before)
      .flatMap(({ action }) => (action.startsWith("Describe") ? [] : action));
    assert.ok(writes.length <= 2, writes.join());
  });
});

test("all 50 paths are changed at once: no former rule loses its weight or goes before every new one serves", async () => {
  await inWorld({ limits: { rulesPerListener: 2 * RULES } }, async (world) => {
    await world.applyPod(pod("web-1"), 0);
    await world.settle();
    const before = world.cloud.journal.of("call").length;
    await world.apply(ingress("new"));
    await world.settle();
    assert.deepEqual(
      rulesOf(world)
        .map(({ url }) => url)
        .sort(),
      Array.from({ length: RULES }, (_, at) => `/new${at}`).sort(),
    );
    const writes = world.cloud.journal
      .of("call")
      .slice(before)
      .flatMap(({ action }) => (action.startsWith("Describe") ? [] : action));
    const lastBind = writes.lastIndexOf("BatchRegisterTargets");
    const firstLoss = writes.findIndex((action) => /Weight|Deregister|Delete/.test(action));
    assert.ok(lastBind >= 0 && lastBind < firstLoss, writes.join());
  });
});
