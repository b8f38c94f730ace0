import "reflect-metadata";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpsServer } from "node:https";
import { createServer } from "node:net";
import { suite, test } from "node:test";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { X509CertificateGenerator } from "@peculiar/x509";
import type { CertificateInput } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { issueAuthority, issueServing, type Material } from "../../../coordinator/tls/certificate.ts";
import { echoBackend } from "./fixture.ts";
import { ask, dial, httpBackend, layer4, layer7, portOf } from "./traffic-fixture.ts";

const ONE = "127.244.4.1";
const authority = await issueAuthority(Date.now());
const certificateOf = (name: string): Promise<Material> => issueServing(authority, [name], [], Date.now());

/** As it is uploaded. */
const upload = ({ certPem, keyPem }: Material, name: string): CertificateInput => ({
  CertName: name,
  CertContent: certPem,
  CertKey: keyPem,
});
const [first, second] = await Promise.all([certificateOf("a.com"), certificateOf("b.com")]);
const FIRST = upload(first, "first");
const SECOND = upload(second, "second");

/** A client's own; what the authority issues is for servers only. */
async function selfSigned(): Promise<Material> {
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({ name: "CN=client", keys });
  const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return { certPem: certificate.toString("pem"), keyPem: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n` };
}

/** A finished handshake; rejects if there is none. */
async function handshake(vip: string, options: ConnectionOptions & { readonly localAddress?: string } = {}): Promise<TLSSocket> {
  const socket = connect({ host: vip, port: 8000, rejectUnauthorized: false, ...options });
  await once(socket, "secureConnect");
  return socket;
}

/** For whom the certificate is that a client gets, e.g. "DNS:a.com". */
async function nameFor(vip: string, servername?: string): Promise<string | undefined> {
  const socket = await handshake(vip, servername === undefined ? {} : { servername });
  const { subjectaltname } = socket.getPeerCertificate();
  socket.destroy();
  return subjectaltname;
}

suite("TCP_SSL", () => {
  test("TLS ends at the load balancer: the backend gets the bytes, both ways", async (t) => {
    const { vip, bind } = await layer4(t, { Protocol: "TCP_SSL", Certificate: FIRST });
    await bind(await echoBackend(t, ONE));
    const socket = await handshake(vip, { ca: authority.certPem, rejectUnauthorized: true, servername: "a.com" });
    socket.write("hello");
    assert.equal(String((await once(socket, "data"))[0]), `${ONE} hello`);
    socket.destroy();
  });

  test("with ProxyProtocol the backend is told the client's address first", async (t) => {
    const { vip, bind } = await layer4(t, { Protocol: "TCP_SSL", Certificate: FIRST, ProxyProtocol: true });
    const got: Buffer[] = [];
    const backend = createServer((socket) => {
      socket
        .on("error", () => undefined)
        .on("data", (data) => {
          got.push(data);
          if (Buffer.concat(got).toString().endsWith("hello")) socket.end("bye");
        });
    });
    await new Promise<void>((resolve) => void backend.listen(0, ONE, resolve));
    t.after(() => backend.close());
    await bind({ ip: ONE, port: portOf(backend) });
    const socket = await handshake(vip, { localAddress: "127.9.0.1" });
    socket.write("hello");
    assert.equal(String((await once(socket, "data"))[0]), "bye");
    assert.equal(Buffer.concat(got).toString(), `PROXY TCP4 127.9.0.1 ${vip} ${socket.localPort} 8000\r\nhello`);
    socket.destroy();
  });

  test("a backend that does not accept is passed over", async (t) => {
    const { vip, bind, cloud } = await layer4(t, { Protocol: "TCP_SSL", Certificate: FIRST });
    const [gone, well] = await Promise.all([echoBackend(t, ONE), echoBackend(t, "127.244.4.2")]);
    await bind(gone, well);
    await gone.stop();
    for (let turn = 0; turn < 4; turn++) {
      const socket = await handshake(vip);
      socket.write("x");
      assert.equal(String((await once(socket, "data"))[0]), "127.244.4.2 x");
      socket.destroy();
    }
    assert.equal(cloud.journal.of("data-plane")[0]?.cause, "refused");
  });

  test("in mode MUTUAL a client needs a certificate of that authority", async (t) => {
    const client = await selfSigned();
    const mutual = { ...FIRST, SSLMode: "MUTUAL", CertCaName: "clients", CertCaContent: client.certPem };
    const { vip, bind } = await layer4(t, { Protocol: "TCP_SSL", Certificate: mutual });
    await bind(await echoBackend(t, ONE));
    const outcome = async (options: ConnectionOptions): Promise<string> => {
      const socket = await handshake(vip, options);
      const refused = new Promise<string>((resolve) => void socket.on("error", () => undefined).once("close", () => resolve("refused")));
      const answered = new Promise<string>((resolve) => void socket.once("data", (data) => resolve(String(data))));
      socket.write("x");
      return Promise.race([answered, refused]).finally(() => socket.destroy());
    };
    assert.equal(await outcome({ cert: client.certPem, key: client.keyPem }), `${ONE} x`);
    assert.equal(await outcome({}), "refused");
  });
});

suite("HTTPS", () => {
  test("requests are routed as with HTTP, and the backend learns of the TLS", async (t) => {
    const { vip, bind } = await layer7(t, { listener: { Protocol: "HTTPS", Certificate: FIRST } });
    const backend = await httpBackend(t, ONE);
    await bind(backend);
    assert.equal((await ask(vip, { tls: "e.com" })).body, ONE);
    assert.equal(backend.seen[0]?.headers["x-client-proto"], "https");
  });

  test("a certificate that is changed counts from the next handshake on, with and without a name", async (t) => {
    const { vip, sdk, done, LoadBalancerId, ListenerId } = await layer7(t, { listener: { Protocol: "HTTPS", Certificate: FIRST } });
    assert.deepEqual([await nameFor(vip), await nameFor(vip, "x.com")], ["DNS:a.com", "DNS:a.com"]);
    await done(await sdk.ModifyListener({ LoadBalancerId, ListenerId, Certificate: SECOND }));
    assert.deepEqual([await nameFor(vip), await nameFor(vip, "x.com")], ["DNS:b.com", "DNS:b.com"]);
  });

  test("with SNI each domain has its certificate; who names none of them gets that of the default domain", async (t) => {
    const { vip } = await layer7(t, {
      listener: { Protocol: "HTTPS", SniSwitch: 1 },
      rules: [
        { Domain: "a.com", Url: "/", Certificate: FIRST },
        { Domain: "*.b.com", Url: "/", Certificate: SECOND, HealthCheck: { HealthSwitch: 0 } },
      ],
    });
    const names = [await nameFor(vip, "a.com"), await nameFor(vip, "x.b.com"), await nameFor(vip, "c.com"), await nameFor(vip)];
    assert.deepEqual(names, ["DNS:a.com", "DNS:b.com", "DNS:a.com", "DNS:a.com"]);
  });

  test("with forward type HTTPS the backend is asked over TLS", async (t) => {
    const rules = [{ Domain: "e.com", Url: "/", ForwardType: "HTTPS" }];
    const { vip, bind } = await layer7(t, { listener: { Protocol: "HTTPS", Certificate: FIRST }, rules });
    const backend = createHttpsServer({ cert: second.certPem, key: second.keyPem }, (_request, response) => void response.end("inside"));
    await new Promise<void>((resolve) => void backend.listen(0, ONE, resolve));
    t.after(() => backend.close());
    await bind({ ip: ONE, port: portOf(backend) });
    assert.equal((await ask(vip, { tls: "e.com" })).body, "inside");
  });

  test("deleting the listener ends connections, also one whose handshake never came", async (t) => {
    const { vip, sdk, done, LoadBalancerId, ListenerId } = await layer7(t, { listener: { Protocol: "HTTPS", Certificate: FIRST } });
    const socket = await handshake(vip);
    const { socket: silent } = dial(vip);
    await once(silent, "connect");
    await done(await sdk.DeleteListener({ LoadBalancerId, ListenerId }));
    for (const one of [socket, silent]) if (!one.closed) await once(one, "close");
  });
});
