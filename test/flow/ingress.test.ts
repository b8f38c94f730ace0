/** Redirects and Secrets of type kubernetes.io/tls through whole processes: what clients see. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { aCertificate } from "../certificates.ts";
import { changedExample, rollOut } from "./examples.ts";
import { converged, isGone, loadBalancer } from "./look.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

const HOST = "shop.example.com";
const INGRESSES = "/apis/networking.k8s.io/v1/namespaces/demo/ingresses";
const PATH = `${INGRESSES}/shop`;
const ASK_MS = 10_000;

type Answer = { readonly status: number | undefined; readonly location: string | undefined; readonly fingerprint: string | undefined };

/** One request for the host at the address; undefined: no answer. */
async function ask(address: string, protocol: "http" | "https", path: string): Promise<Answer | undefined> {
  const options = { host: address, path, headers: { host: HOST }, agent: false, timeout: ASK_MS } as const;
  const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
  const onAnswer = (response: IncomingMessage): void => {
    response.resume();
    const { fingerprint256: fingerprint } = "getPeerCertificate" in response.socket ? peerOf(response.socket as TLSSocket) : {};
    resolve({ status: response.statusCode, location: response.headers.location, fingerprint });
  };
  const asked =
    protocol === "http"
      ? httpRequest({ ...options, port: 80 }, onAnswer)
      : httpsRequest({ ...options, port: 443, servername: HOST, rejectUnauthorized: false }, onAnswer); // which certificate it is is compared
  asked.on("error", () => resolve(undefined)).on("timeout", () => asked.destroy());
  asked.end();
  return await promise;
}

const peerOf = (socket: TLSSocket) => socket.getPeerX509Certificate() ?? { fingerprint256: undefined };

/** A new certificate in the Secret; its fingerprint. */
async function giveCertificate({ client }: World, isFirst: boolean): Promise<string> {
  const { certPem, keyPem } = await aCertificate("unused", HOST);
  const stringData = { "tls.crt": certPem, "tls.key": keyPem };
  const secrets = "/api/v1/namespaces/demo/secrets";
  const metadata = { name: "shop-tls", namespace: "demo" };
  if (isFirst) await client.create(secrets, { apiVersion: "v1", kind: "Secret", type: "kubernetes.io/tls", metadata, stringData });
  else await client.patch(`${secrets}/shop-tls`, { stringData }, "merge");
  return new X509Certificate(certPem).fingerprint256;
}

async function makeIngress({ client }: World): Promise<string> {
  await client.create(INGRESSES, {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: {
      name: "shop",
      namespace: "demo",
      annotations: {
        "kubernetes.io/ingress.class": "qcloud",
        "ingress.cloud.tencent.com/direct-access": "true",
        "ingress.cloud.tencent.com/auto-rewrite": "true",
      },
    },
    spec: {
      tls: [{ secretName: "shop-tls", hosts: [HOST] }],
      rules: [
        { host: HOST, http: { paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "web", port: { number: 80 } } } }] } },
      ],
    },
  });
  type Served = { readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] } } };
  return await until("the Ingress' address", async () => (await client.get<Served>(PATH)).status?.loadBalancer?.ingress?.[0]?.ip ?? false);
}

test("an Ingress with a Secret of type kubernetes.io/tls and auto-rewrite, seen by clients", {
  timeout: 240_000,
}, async (t: TestContext) => {
  const world = await startWorld(t, { coordinatorEnv: { RESYNC_MS: "1000", HEALTH_IDLE_MS: "1000" } });
  if (world.plan.kind !== "namespace") return t.skip("needs ports 80 and 443");
  await applyExample(world, changedExample({ replicas: 2 }));
  await converged(world, { count: 2 });
  const { id } = loadBalancer(world); // that of the Service of the same Pods
  const first = await giveCertificate(world, true);
  const address = await makeIngress(world);

  await t.test("HTTPS shows the Secret's certificate, HTTP redirects there with path and query", async () => {
    await until("HTTPS served", async () => (await ask(address, "https", "/"))?.status === 200, 60_000);
    await until("HTTP redirected", async () => (await ask(address, "http", "/a?b=c"))?.status === 301, 60_000);
    assert.equal((await ask(address, "http", "/a?b=c"))?.location, `https://${HOST}/a?b=c`);
    assert.equal((await ask(address, "https", "/"))?.fingerprint, first);
  });

  await t.test("another certificate in the Secret is shown; a rollout meanwhile loses nothing at either port", async () => {
    const lost: string[] = [];
    const ended = new AbortController();
    const load = (async () => {
      while (!ended.signal.aborted) {
        if ((await ask(address, "https", "/"))?.status !== 200) lost.push("https");
        if ((await ask(address, "http", "/"))?.status !== 301) lost.push("http");
        await sleep(50);
      }
    })();
    const second = await giveCertificate(world, false);
    assert.notEqual(second, first);
    await rollOut(world, "with another certificate");
    await until("the new certificate shown", async () => (await ask(address, "https", "/"))?.fingerprint === second, 60_000);
    await converged(world, { count: 2, id, limitMs: 90_000 });
    ended.abort();
    await load;
    assert.deepEqual(lost, []);
  });

  await t.test("it goes with its redirects", async () => {
    await world.client.delete(PATH);
    await until("the Ingress gone", () => isGone(world, PATH), 60_000);
    assert.deepEqual(
      world.cloud.cloud.state().loadBalancers.map((one) => one.id),
      [id],
    );
  });
});
