/** What Services ask for, seen by clients: through the emulated cloud's open ports to servers that stand for Pods, twenty times as fast. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { eventually, hurried, VIPS } from "../contract/cloud/fixture.ts";
import { ask, dial } from "../contract/cloud/traffic-fixture.ts";
import { manifestWorld } from "./world.ts";

const NET = `127.231.${process.pid % 256}`;
const PODS = [`${NET}.1`, `${NET}.2`] as const;
/** Of the Pods and of the listeners; the fixture's clients ask there. */
const PORT = 8000;
const data = (id: string) => ({ qcloud_cert_id: Buffer.from(id).toString("base64") });

/** Servers at the Pods' addresses: HTTP, bytes or datagrams, each answers with its address, who asked, and what. */
const SERVERS = {
  http: (ip: string) =>
    createHttpServer((request, response) => response.end(`${ip} ${String(request.headers["x-forwarded-for"])}`)).listen(PORT, ip),
  tcp: (ip: string) =>
    createServer((socket) =>
      socket.on("error", () => undefined).on("data", (said) => socket.write(`${ip} ${socket.remoteAddress} ${said.toString()}`)),
    ).listen(PORT, ip),
} as const;

async function served(
  t: TestContext,
  service: { readonly annotations?: Record<string, string>; readonly protocol?: string },
  { kind = "http", weights = [], config }: { kind?: keyof typeof SERVERS; weights?: readonly string[]; config?: object } = {},
) {
  for (const ip of PODS) {
    const server = SERVERS[kind](ip);
    await once(server, "listening");
    t.after(() => {
      if ("closeAllConnections" in server) server.closeAllConnections();
      server.close();
    });
  }
  const what = { given: [], settings: {}, certificates: ["cert-a", "cert-b", "rsa-a"] };
  const world = await manifestWorld(what, { clock: hurried(), vipCidr: VIPS });
  t.after(async () => {
    await world.kill();
    await world.end();
  });
  world.start();
  for (const [name, id] of [
    ["a", "cert-a"],
    ["b", "cert-b"],
    ["both", "rsa-a,cert-a"],
  ] as const)
    await world.apply({ kind: "Secret", metadata: { name }, data: data(id) });
  if (config !== undefined) await world.apply({ kind: "TkeServiceConfig", metadata: { name: "tuned" }, spec: { loadBalancer: config } });
  const apply = (name: string, annotations: Record<string, string>) =>
    world.apply({
      kind: "Service",
      metadata: { name, annotations: { "service.cloud.tencent.com/direct-access": "true", ...annotations } },
      spec: {
        type: "LoadBalancer",
        selector: { app: "web" },
        ports: [{ name: "it", port: PORT, protocol: service.protocol ?? "TCP", targetPort: PORT }],
      },
    });
  await apply("web", { ...service.annotations, ...(config && { "service.cloud.tencent.com/tke-service-config": "tuned" }) });
  const pod = { labels: { app: "web" }, ready: true, hostNetwork: false, ports: [{ containerPort: PORT }], ipv6: undefined };
  for (const [at, ip] of PODS.entries()) {
    const annotations = weights[at] === undefined ? {} : { "service.cloud.tencent.com/custom-weight": weights[at] };
    await world.applyPod({ ...pod, name: `web-${at}`, ip, annotations }, at);
  }
  const isOpen = (name: string): boolean => {
    const conditions: unknown = Object(world.store.get("pods", "demo", name)).status?.conditions;
    return (
      Array.isArray(conditions) &&
      conditions.some((one: { type: string; status: string }) => /backendgroup/.test(one.type) && one.status === "True")
    );
  };
  await eventually("both Pods serve", () => isOpen("web-0") && isOpen("web-1"));
  const vip = (name = "web"): string => Object(world.store.get("services", "demo", name)).status?.loadBalancer?.ingress?.[0]?.ip ?? "";
  await eventually("the address is known", () => vip() !== "");
  return { world, vip, apply };
}
const specify = (wish: object) => ({ "service.cloud.tencent.com/specify-protocol": JSON.stringify({ [PORT]: wish }) });

/** For whom the certificate is, and what comes back. */
async function overTls(host: string, servername: string, text: string, can: ConnectionOptions = {}): Promise<string> {
  const socket = connectTls({ host, port: PORT, servername, rejectUnauthorized: false, ...can });
  await once(socket, "secureConnect");
  const name = socket.getPeerCertificate().subjectaltname ?? "";
  socket.write(text);
  const [said] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return `${name} ${said.toString()}`;
}

async function datagram(host: string, text: string, address: string): Promise<string> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => void socket.bind({ address, port: 0 }, resolve));
  const answered = once(socket, "message").then(([said]) => String(said));
  socket.send(text, PORT, host);
  const answer = await Promise.race([answered, delay(2_000, "nothing")]);
  socket.close();
  return answer;
}

test("HTTPS: each host has its certificate, and the Pods learn of the client by X-Forwarded-For", async (t) => {
  const { vip } = await served(t, {
    annotations: specify({ protocol: ["HTTPS"], hosts: { "a.example.com": { tls: "a" }, "b.example.com": { tls: "b" } } }),
  });
  const request = (host: string) => `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  for (const [host, id] of [
    ["a.example.com", "cert-a"],
    ["b.example.com", "cert-b"],
  ] as const)
    assert.match(await overTls(vip(), host, request(host)), new RegExp(`^DNS:${id}\\.example\\.com HTTP/1\\.1 200`));
  const { body, status } = await ask(vip(), { tls: "a.example.com", headers: { host: "a.example.com" }, localAddress: "127.9.0.7" });
  assert.deepEqual([status, body.split(" ")[1]], [200, "127.9.0.7"]);
  assert.equal(
    (await ask(vip(), { tls: "a.example.com", headers: { host: "c.example.com" } })).status,
    200,
    "the default domain serves the rest",
  );
});

test("TCP_SSL: TLS ends at the load balancer; a Secret that is edited counts from the next handshake on", async (t) => {
  const { world, vip } = await served(t, { annotations: specify({ protocol: ["TCP_SSL"], tls: "a" }) }, { kind: "tcp" });
  assert.match(await overTls(vip(), "x", "hello"), new RegExp(`^DNS:cert-a\\.example\\.com ${NET}\\.\\d 127\\.0\\.0\\.1 hello$`));
  await world.apply({ kind: "Secret", metadata: { name: "a" }, data: data("cert-b") });
  await eventually("the new certificate is shown", async () => (await overTls(vip(), "x", "hello")).startsWith("DNS:cert-b."));
});

/** What clients of a certain kind can: old ones know TLS 1.2 and one kind of key only. */
const KINDS: readonly (readonly [what: string, can: ConnectionOptions, certificate: string])[] = [
  ["TLS 1.2, RSA only", { maxVersion: "TLSv1.2", ciphers: "ECDHE-RSA-AES128-GCM-SHA256" }, "rsa-a"],
  ["TLS 1.2, ECC only", { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }, "cert-a"],
  ["TLS 1.3, RSA only", { minVersion: "TLSv1.3", sigalgs: "rsa_pss_rsae_sha256" }, "rsa-a"],
  ["TLS 1.3, ECC only", { minVersion: "TLSv1.3", sigalgs: "ecdsa_secp256r1_sha256" }, "cert-a"],
];

test("two certificates in one Secret, one of RSA and one of ECC: each client is shown the one that it can check", async (t) => {
  const { vip } = await served(t, { annotations: specify({ protocol: ["TCP_SSL"], tls: "both" }) }, { kind: "tcp" });
  for (const [what, can, certificate] of KINDS)
    assert.match(await overTls(vip(), "x", "hello", can), new RegExp(`^DNS:${certificate}\\.example\\.com ${NET}\\.\\d .*hello$`), what);
});

test("the same by SNI: one host of an HTTPS listener has both, its neighbour one", async (t) => {
  const hosts = { "a.example.com": { tls: "both" }, "b.example.com": { tls: "b" } };
  const { vip } = await served(t, { annotations: specify({ protocol: ["HTTPS"], hosts }) });
  const request = (host: string) => `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  for (const [what, can, certificate] of KINDS)
    assert.match(
      await overTls(vip(), "a.example.com", request("a.example.com"), can),
      new RegExp(`^DNS:${certificate}\\.example\\.com HTTP/1\\.1 200`),
      what,
    );
  assert.match(await overTls(vip(), "b.example.com", request("b.example.com")), /^DNS:cert-b\.example\.com HTTP\/1\.1 200/);
});

test("TCP: the Pod sees the client's address; connections split by the Pods' weights", async (t) => {
  const { vip } = await served(t, {}, { kind: "tcp", weights: ["30", "10"] });
  const counts: Record<string, number> = {};
  for (let turn = 0; turn < 20; turn++) {
    const client = dial(vip(), PORT, "127.9.0.8");
    const [pod = "", seen] = (await client.say("x")).split(" ");
    client.socket.destroy();
    assert.equal(seen, "127.9.0.8");
    counts[pod] = (counts[pod] ?? 0) + 1;
  }
  assert.deepEqual([counts[PODS[0]], counts[PODS[1]]], [15, 5]);
});

test("sessions stick on layer 4 by the client's address", async (t) => {
  const l4 = await served(
    t,
    {},
    { kind: "tcp", config: { l4Listeners: [{ protocol: "TCP", port: PORT, session: { enable: true, sessionExpireTime: 3600 } }] } },
  );
  const asked = async (address: string): Promise<string> => {
    const client = dial(l4.vip(), PORT, address);
    const answer = await client.say("x");
    client.socket.destroy();
    return answer.split(" ")[0] ?? "";
  };
  const clients = Array.from({ length: 4 }, (_, at) => `127.9.1.${at + 1}`);
  const first = await Promise.all(clients.map(asked));
  assert.equal(new Set(first).size, 2, "both Pods serve");
  for (let turn = 0; turn < 3; turn++) assert.deepEqual(await Promise.all(clients.map(asked)), first);
});

test("sessions stick on layer 7 by cookie", async (t) => {
  const rules = [{ url: "/", session: { enable: true, sessionExpireTime: 3600 } }];
  const config = { l7Listeners: [{ protocol: "HTTP", port: PORT, domains: [{ domain: "e.com", rules }] }] };
  const { vip } = await served(t, { annotations: specify({ protocol: ["HTTP"], hosts: { "e.com": {} } }) }, { config });
  const first = await ask(vip());
  const cookie = String(first.headers["set-cookie"]).split(";")[0] ?? "";
  for (let turn = 0; turn < 5; turn++) assert.equal((await ask(vip(), { headers: { host: "e.com", cookie } })).body, first.body);
  const others = await Promise.all(Array.from({ length: 4 }, async () => (await ask(vip())).body));
  assert.equal(new Set(others).size, 2, "without the cookie both Pods serve");
});

test("UDP reaches the Pods, with the client's address", async (t) => {
  for (const ip of PODS) {
    const socket = createSocket("udp4");
    socket.on("message", (said, { address, port }) => socket.send(`${ip} ${address} ${said.toString()}`, port, address));
    await new Promise<void>((resolve) => void socket.bind({ address: ip, port: PORT }, resolve));
    t.after(() => socket.close());
  }
  const { vip } = await served(t, { protocol: "UDP" }, { kind: "tcp" });
  assert.match(await datagram(vip(), "hello", "127.9.0.9"), new RegExp(`^${NET}\\.\\d 127\\.9\\.0\\.9 hello$`));
});

test("QUIC reaches the Pods by TCP", async (t) => {
  const { vip } = await served(t, { annotations: specify({ protocol: ["QUIC"], tls: "a" }) }, { kind: "tcp" });
  assert.match(await datagram(vip(), "hello", "127.9.0.9"), new RegExp(`^${NET}\\.\\d \\S+ hello$`));
});

test("a retained load balancer survives its Service, and another one takes it up with its address", async (t) => {
  const { world, vip, apply } = await served(t, { annotations: { "service.cloud.tencent.com/loadbalance-retain": "true" } });
  const address = vip();
  const id = String(Object(world.store.get("services", "demo", "web")).metadata.annotations["service.kubernetes.io/loadbalance-id"]);
  assert.equal((await ask(address)).status, 200);
  await world.remove("Service/web");
  await eventually("the Service is gone", () => world.store.get("services", "demo", "web") === undefined);
  await assert.rejects(ask(address), "nobody listens any more");
  await apply("next", { "service.kubernetes.io/tke-existed-lbid": id });
  await eventually("it serves again", () =>
    ask(address).then(
      ({ status }) => status === 200,
      () => false,
    ),
  );
  assert.equal(vip("next"), address);
});
