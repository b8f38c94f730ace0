/** Secrets of type kubernetes.io/tls through the whole product: what is served, changed, refused and told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { aCertificate } from "../certificates.ts";
import { type ManifestWorld, manifestWorld } from "./world.ts";

const HOST = "shop.example.com";
const SERVICE = {
  kind: "Service",
  metadata: { name: "shop" },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
};
const INGRESS = {
  kind: "Ingress",
  metadata: { name: "shop", annotations: { "ingress.cloud.tencent.com/direct-access": "true" } },
  spec: {
    ingressClassName: "qcloud",
    tls: [{ secretName: "shop", hosts: [HOST] }],
    rules: [
      { host: HOST, http: { paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "shop", port: { number: 80 } } } }] } },
    ],
  },
};
const secret = (cert: string, key: string) => ({
  kind: "Secret",
  type: "kubernetes.io/tls",
  metadata: { name: "shop" },
  stringData: { "tls.crt": cert, "tls.key": key },
});

const uploads = ({ cloud }: ManifestWorld) => cloud.journal.of("call").filter(({ action }) => action === "UploadCertificate");
const told = ({ store }: ManifestWorld): string =>
  store
    .list("events")
    .map((event) => `${String(Reflect.get(event, "reason"))} ${String(Reflect.get(event, "message"))}`)
    .join("\n");
/** The certificate that the host is served with, in PEM. */
async function served({ cloud }: ManifestWorld): Promise<string | undefined> {
  const call = async <R>(service: "clb" | "ssl", action: string, request: object): Promise<R> =>
    (await cloud.call(service, action, request, { name: "the test" })) as R; // the SDK's own shapes, as far as they are asked for here
  const { LoadBalancerSet } = await call<{ LoadBalancerSet: { LoadBalancerId: string }[] }>("clb", "DescribeLoadBalancers", {});
  const [lb] = LoadBalancerSet;
  if (lb === undefined) return undefined;
  const { Listeners } = await call<{ Listeners: { Rules?: { Certificate?: { CertId?: string } }[] }[] }>("clb", "DescribeListeners", {
    LoadBalancerId: lb.LoadBalancerId,
  });
  const CertificateId = Listeners[0]?.Rules?.[0]?.Certificate?.CertId;
  if (CertificateId === undefined) return undefined;
  const detail = await call<{ CertificatePublicKey: string }>("ssl", "DescribeCertificateDetail", { CertificateId });
  return detail.CertificatePublicKey;
}

async function inWorld(work: (world: ManifestWorld) => Promise<void>, settings: Record<string, unknown> = {}): Promise<void> {
  const world = await manifestWorld({ given: [], settings, certificates: [] });
  await world.run(
    (async () => {
      world.start();
      await world.apply(SERVICE);
      await work(world);
      await world.kill();
    })(),
  );
  await world.end();
}

test("the certificate of the Secret is brought to the account once, and again when it is changed; a new leader brings none anew", async () => {
  const [first, second] = await Promise.all([aCertificate("one", HOST), aCertificate("two", HOST)]);
  await inWorld(async (world) => {
    await world.apply(secret(first.certPem, first.keyPem));
    await world.apply(INGRESS);
    await world.settle();
    assert.equal((await served(world))?.trim(), first.certPem.trim());
    assert.equal(uploads(world).length, 1);
    await world.apply(secret(second.certPem, second.keyPem));
    await world.settle();
    assert.equal((await served(world))?.trim(), second.certPem.trim());
    assert.deepEqual([uploads(world).length, uploads(world).every(({ code }) => code === "OK")], [2, true]);
    await world.kill();
    world.start();
    await world.settle();
    assert.equal((await served(world))?.trim(), second.certPem.trim());
    assert.doesNotMatch(told(world), /Warning|CertificateUnavailable/);
  });
});

test("a certificate that the service refuses is told with its words, what is served stays, and it is tried again", async () => {
  const [good, other] = await Promise.all([aCertificate("one", HOST), aCertificate("two", HOST)]);
  await inWorld(async (world) => {
    await world.apply(secret(good.certPem, good.keyPem));
    await world.apply(INGRESS);
    await world.settle();
    await world.apply(secret(other.certPem, good.keyPem)); // the key of another one
    await world.clock.sleep(100_000);
    assert.match(
      told(world),
      /CertificateUnavailable .*E4035.*Secret demo\/shop could not be brought to the certificate service.*CertificateInvalid/,
    );
    assert.equal((await served(world))?.trim(), good.certPem.trim());
    const tries = uploads(world).filter(({ code }) => code !== "OK").length;
    assert.ok(tries >= 2 && tries <= 5, `${tries} tries in 100 s`);
    await world.apply(secret(other.certPem, other.keyPem));
    await world.clock.sleep(60_000);
    assert.equal((await served(world))?.trim(), other.certPem.trim());
  });
});

test("a key that may not upload is told which right it lacks", async () => {
  const good = await aCertificate("one", HOST);
  await inWorld(async (world) => {
    world.cloud.faults.add({ kind: "error", code: "UnauthorizedOperation", action: ["UploadCertificate"] });
    await world.apply(secret(good.certPem, good.keyPem));
    await world.apply(INGRESS);
    await world.clock.sleep(60_000);
    assert.match(told(world), /CertificateUnavailable .*E4007.*Allow ssl:UploadCertificate/);
  });
});

test("a Secret without a key is named, and nothing is uploaded where nothing may be written", async () => {
  const good = await aCertificate("one", HOST);
  await inWorld(async (world) => {
    await world.apply(secret(good.certPem, ""));
    await world.apply(INGRESS);
    await world.settle();
    assert.match(told(world), /E4011.*Secret demo\/shop has no tls\.key/);
    assert.equal(uploads(world).length, 0);
  });
  await inWorld(
    async (world) => {
      await world.apply(secret(good.certPem, good.keyPem));
      await world.apply(INGRESS);
      await world.clock.sleep(60_000);
      assert.equal(uploads(world).length, 0);
    },
    { policy: "observe" },
  );
});
