/** What the check meets at the webhook's Service, over real TLS: which faults are the certificate's, and which those of the way there. */
import "reflect-metadata";
import assert from "node:assert/strict";
import { createServer as createPlain, type Server } from "node:net";
import { test } from "node:test";
import { createServer } from "node:tls";
import { dialTls } from "../../../coordinator/admission/check.ts";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
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
