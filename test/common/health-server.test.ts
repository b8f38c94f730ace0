import assert from "node:assert/strict";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { credentials, makeGenericClientConstructor, Server, ServerCredentials, type ServiceError } from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { makeHealthServer } from "../../common/health-server.ts";
import { pause } from "../agent/until.ts";

const HealthClient = makeGenericClientConstructor(service, "grpc.health.v1.Health");

/** "SERVING", "NOT_SERVING", or the number of the gRPC status. */
async function check(port: number, name: string): Promise<unknown> {
  const client = new HealthClient(`127.0.0.1:${port}`, credentials.createInsecure());
  try {
    return await new Promise((resolve) => {
      const ask = client["check"];
      assert.ok(ask);
      ask.call(client, { service: name }, (error: ServiceError | null, answer: { status: string }) =>
        resolve(error?.code ?? answer.status),
      );
    });
  } finally {
    client.close();
  }
}

test("answers what was set, on its own port and on a server that it was added to", async (t) => {
  const server = makeHealthServer({ host: "127.0.0.1", port: 0, names: ["", "ready"] });
  const port = await server.start();
  t.after(() => server.stop());
  const other = new Server();
  server.health.addToServer(other);
  const otherPort = await new Promise<number>((resolve) => {
    other.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_, bound) => resolve(bound));
  });
  t.after(() => other.forceShutdown());

  assert.equal(await check(port, ""), "NOT_SERVING");
  server.health.setStatus("", "SERVING");
  for (const at of [port, otherPort]) {
    assert.equal(await check(at, ""), "SERVING");
    assert.equal(await check(at, "ready"), "NOT_SERVING");
    assert.equal(await check(at, "nobody"), 5);
  }
});

test("stops at once, also while somebody watches", async () => {
  const server = makeHealthServer({ host: "127.0.0.1", port: 0, names: [""] });
  const client = new HealthClient(`127.0.0.1:${await server.start()}`, credentials.createInsecure());
  const watch = client["watch"];
  assert.ok(watch);
  const call: Readable = watch.call(client, { service: "" });
  await once(call, "data");
  const ended = once(call, "error");
  server.stop();
  assert.equal(await Promise.race([ended.then(() => "ended"), pause(1_000)]), "ended");
  client.close();
});

test("rejects where the port is taken", async (t) => {
  const first = makeHealthServer({ host: "127.0.0.1", port: 0, names: [""] });
  const port = await first.start();
  t.after(() => first.stop());
  const second = makeHealthServer({ host: "127.0.0.1", port, names: [""] });
  await assert.rejects(second.start(), /EADDRINUSE/);
  second.stop();
});
