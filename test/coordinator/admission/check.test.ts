/** What the check finds of the certificate: at the webhook's Service over real TLS, which faults are its own and which those of the way there; and by whose clock. */
import "reflect-metadata";
import assert from "node:assert/strict";
import { createServer as createPlain, type Server } from "node:net";
import { test } from "node:test";
import { createServer } from "node:tls";
import { DEFAULT_GATE_TYPE } from "../../../common/names.ts";
import { dialTls, makeAdmissionCheck } from "../../../coordinator/admission/check.ts";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";
import { silentLog } from "../pods.ts";

const HOST = "127.0.0.1";
const NAME = "clb-direct-webhook.clb-direct.svc";
const AWAY_MS = 400 * 86_400_000;

const portOf = (server: Server): Promise<number> =>
  new Promise((resolve) => server.listen(0, HOST, () => resolve(Number(Reflect.get(Object(server.address()), "port")))));

test("what is met at the webhook's Service is told apart: trusted, a certificate that is not, nobody who answers", async (t) => {
  const now = Date.now();
  const [ours, stranger, old] = await Promise.all([issueAuthority(now), issueAuthority(now), issueAuthority(now - AWAY_MS)]);
  const ca = ours.certPem + old.certPem;
  const leaves = {
    trusted: await issueServing(ours, [NAME], [], now),
    strangers: await issueServing(stranger, [NAME], [], now),
    expired: await issueServing(old, [NAME], [], now - AWAY_MS),
    "of another name": await issueServing(ours, ["other.example"], [], now),
  };
  const met: Record<string, string> = {};
  const dial = async (name: string, server: Server): Promise<void> => {
    const port = await portOf(server);
    met[name] = await dialTls({ host: HOST, port, servername: NAME, ca }, silentLog, 200);
    await new Promise((resolve) => server.close(resolve));
    if (name === "trusted") met["refused"] = await dialTls({ host: HOST, port, servername: NAME, ca }, silentLog, 200);
  };
  for (const [name, { certPem, keyPem }] of Object.entries(leaves)) {
    const server = createServer({ cert: certPem, key: keyPem });
    server.on("tlsClientError", () => undefined);
    await dial(name, server);
  }
  await dial(
    "no TLS",
    createPlain((socket) => socket.on("error", () => undefined).once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))),
  );
  await dial(
    "cut",
    createPlain((socket) => socket.on("error", () => undefined).destroy()),
  );
  await dial(
    "silent",
    createPlain((socket) => socket.on("error", () => undefined).resume()),
  );
  t.diagnostic(JSON.stringify(met));
  assert.deepEqual(met, {
    trusted: "ok",
    refused: "unreachable",
    strangers: "tls",
    expired: "tls",
    "of another name": "tls",
    "no TLS": "tls",
    cut: "unreachable",
    silent: "unreachable",
  });
});

const DAY_MS = 86_400_000;
const ISSUED_MS = 1_700_000_000_000;
for (const { name, apiServerDays, ownDays, told: expected } of [
  { name: "it is valid", apiServerDays: 1, ownDays: 1, told: /\(unknown\)/ },
  { name: "it was not renewed", apiServerDays: 91, ownDays: 91, told: /\(tls\).* has expired; the coordinator renews it/ },
  {
    name: "our clock is behind",
    apiServerDays: 400,
    ownDays: 1,
    told: /\(tls\).* has expired; .*own is 574560 minutes behind: put the clocks/,
  },
  {
    name: "our clock is ahead",
    apiServerDays: -10,
    ownDays: 1,
    told: /\(tls\).* is not valid yet; .*own is 15840 minutes ahead: put the clocks/,
  },
])
  test(`the check judges our certificate by the API server's clock: ${name}`, async () => {
    const authority = await issueAuthority(ISSUED_MS);
    const leaf = await issueServing(authority, [], ["127.0.0.1"], ISSUED_MS);
    const clock = makeVirtualClock(ISSUED_MS);
    const told: string[] = [];
    const creationTimestamp = new Date(ISSUED_MS + apiServerDays * DAY_MS).toISOString();
    const check = makeAdmissionCheck({
      client: {
        create: async <T>() => (await Promise.resolve({ metadata: { creationTimestamp }, spec: {} })) as T,
        list: async () => await Promise.resolve({ items: [], resourceVersion: "1" }),
      },
      keeper: {
        faults: [],
        lacksTrustOnly: false,
        clusterIp: "10.96.0.1",
        object: { kind: "Service", namespace: "clb-direct", name: "clb-direct-webhook", uid: "1" },
      },
      serving: { current: { ...leaf, caBundlePem: authority.certPem }, subscribe: () => () => undefined },
      namespace: "clb-direct",
      gateType: DEFAULT_GATE_TYPE,
      clock,
      wallClock: { now: () => clock.now() + ownDays * DAY_MS },
      log: silentLog,
      tell: ({ message }) => void told.push(message),
      onResult: () => undefined,
      dial: () => Promise.resolve("ok"),
    });
    const stop = new AbortController();
    await clock.run(Promise.all([check.run(stop.signal), clock.sleep(20_000).then(() => stop.abort())]));
    assert.match(told[0] ?? "nothing", expected);
    assert.equal(new Set(told).size, 1, "the same words each time, or each is an Event of its own");
  });
