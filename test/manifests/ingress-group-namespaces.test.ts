/** Members of one group in two Namespaces, in which everything has the same names and labels: each has what is in its own Namespace. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { aCertificate } from "../certificates.ts";
import { MEMBER, memberPod } from "./group.ts";
import { type ManifestWorld, manifestWorld } from "./world.ts";

const NAMESPACES = ["demo", "press"] as const;
type Namespace = (typeof NAMESPACES)[number];

const service = (namespace: Namespace) => ({
  kind: "Service",
  metadata: { name: "web", namespace },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
});
const pod = (at: number) => memberPod(`web-${at}`, "web");
const secret = (namespace: Namespace, { certPem, keyPem }: { readonly certPem: string; readonly keyPem: string }) => ({
  kind: "Secret",
  type: "kubernetes.io/tls",
  metadata: { name: "web", namespace },
  stringData: { "tls.crt": certPem, "tls.key": keyPem },
});
/** `hosts`: with path "/" each. */
const ingress = (namespace: Namespace, hosts: readonly string[], isTls = false) => ({
  kind: "Ingress",
  metadata: {
    name: "web",
    namespace,
    annotations: MEMBER,
  },
  spec: {
    ingressClassName: "qcloud",
    ...(isTls && { tls: [{ secretName: "web" }] }),
    rules: hosts.map((host) => ({
      host,
      http: { paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "web", port: { number: 80 } } } }] },
    })),
  },
});
const addressAt = (namespace: Namespace, at: number): number => 100 * NAMESPACES.indexOf(namespace) + at;
const ips = (namespace: Namespace, count: number): string[] =>
  Array.from({ length: count }, (_, at) => `10.244.1.${addressAt(namespace, at) + 1}`).sort();

/** By host what serves there. */
const serving = ({ cloud }: ManifestWorld): Record<string, readonly string[]> =>
  Object.fromEntries(
    (cloud.state().loadBalancers[0]?.listeners ?? [])
      .flatMap(({ rules }) => rules)
      .map(({ domains, targets }) => [domains.join(), targets.flatMap(({ ip, weight }) => (weight > 0 ? ip : [])).sort()]),
  );
const told = ({ store }: ManifestWorld, namespace: Namespace): string =>
  store
    .list("events", namespace)
    .map((event) => `${String(Reflect.get(event, "reason"))} ${String(Reflect.get(event, "message"))}`)
    .join("\n");
function isOpen({ store }: ManifestWorld, namespace: Namespace, at: number): boolean {
  const conditions: unknown = Object(store.get("pods", namespace, `web-${at}`)).status?.conditions;
  return (Array.isArray(conditions) ? conditions : []).some(({ type, status }) => type === DEFAULT_GATE_TYPE && status === "True");
}

/** `pods`: of each Namespace. */
async function inGroup(pods: Readonly<Record<Namespace, number>>, story: (world: ManifestWorld) => Promise<void>): Promise<void> {
  const world = await manifestWorld({ given: [{ id: "lb-user", vip: "198.18.0.50" }], settings: {}, certificates: [] });
  await world.run(
    (async () => {
      world.start();
      for (const namespace of NAMESPACES) {
        await world.apply(service(namespace));
        for (let at = 0; at < pods[namespace]; at++) await world.applyPod(pod(at), addressAt(namespace, at), namespace);
      }
      await story(world);
      await world.kill();
    })(),
  );
  await world.end();
}

test("each host is served by the Pods and with the certificate of its own Namespace; one goes, the other stays", async () => {
  const [demo, press, later] = await Promise.all(
    ["demo.example.com", "press.example.com", "press.example.com"].map((host) => aCertificate(host, host)),
  );
  await inGroup({ demo: 3, press: 2 }, async (world) => {
    assert.ok(demo && press && later);
    await world.apply(secret("demo", demo));
    await world.apply(secret("press", press));
    await world.apply(ingress("demo", ["demo.example.com"], true));
    await world.apply(ingress("press", ["press.example.com"], true));
    await world.settle();
    const all = { "demo.example.com": ips("demo", 3), "press.example.com": ips("press", 2) };
    assert.deepEqual(serving(world), all);
    assert.equal(world.cloud.state().loadBalancers[0]?.listeners.length, 1);
    for (const namespace of NAMESPACES) assert.ok(isOpen(world, namespace, 0) && isOpen(world, namespace, 1));
    assert.deepEqual(await certificates(world), { "demo.example.com": demo.certPem.trim(), "press.example.com": press.certPem.trim() });
    await world.apply(secret("press", later));
    await world.kill();
    world.start();
    await world.settle();
    assert.deepEqual(await certificates(world), { "demo.example.com": demo.certPem.trim(), "press.example.com": later.certPem.trim() });
    assert.deepEqual(serving(world), all);
    await world.remove("Ingress/web", "demo");
    await world.settle();
    assert.deepEqual(serving(world), { "press.example.com": ips("press", 2) });
    await world.remove("Ingress/web", "press");
    await world.settle();
    assert.deepEqual(world.cloud.state().loadBalancers[0]?.listeners, []);
    for (const namespace of NAMESPACES) assert.equal(world.store.get("ingresses", namespace, "web"), undefined);
  });
});

test("a host that both ask for is the older one's, the other one is told whose, and takes it over with its own Pods", async () => {
  await inGroup({ demo: 8, press: 1 }, async (world) => {
    await world.apply(ingress("demo", ["www.example.com"]));
    await world.clock.sleep(1_100); // creation times have whole seconds
    await world.apply(ingress("press", ["www.example.com", "press.example.com"]));
    await world.settle();
    assert.deepEqual(serving(world), { "www.example.com": ips("demo", 8), "press.example.com": ips("press", 1) });
    assert.match(told(world, "press"), /RuleConflict .*E4406.*host www\.example\.com path \/ .*Ingress demo\/web/);
    assert.doesNotMatch(told(world, "demo"), /RuleConflict/);
    await world.kill();
    world.start();
    await world.settle();
    await world.remove("Ingress/web", "demo");
    await world.settle();
    assert.deepEqual(serving(world), { "www.example.com": ips("press", 1), "press.example.com": ips("press", 1) });
    for (const namespace of NAMESPACES) assert.doesNotMatch(told(world, namespace), /RemovalParked/);
  });
});

/** By host what it is served with, in PEM. */
async function certificates({ cloud }: ManifestWorld): Promise<Record<string, string>> {
  const call = async <R>(product: "clb" | "ssl", action: string, request: object): Promise<R> =>
    (await cloud.call(product, action, request, { name: "the test" })) as R; // the SDK's own shapes, as far as they are asked for here
  type Rules = { readonly Domain: string; readonly Certificate: { readonly CertId: string } }[];
  const { Listeners } = await call<{ Listeners: { Rules: Rules }[] }>("clb", "DescribeListeners", { LoadBalancerId: "lb-user" });
  const entries = Listeners.flatMap(({ Rules }) => Rules).map(async ({ Domain, Certificate: { CertId: CertificateId } }) => {
    const { CertificatePublicKey: pem } = await call<{ CertificatePublicKey: string }>("ssl", "DescribeCertificateDetail", {
      CertificateId,
    });
    return [Domain, pem.trim()] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}
