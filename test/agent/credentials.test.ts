import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { after, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { makeCredentials } from "../../agent/credentials.ts";
import { issueAuthority } from "../../coordinator/tls/certificate.ts";
import { NodeStreamServiceClient } from "../../proto/gen/clb/direct/v1/node_stream.ts";

const { certPem } = await issueAuthority(Date.now());
const credentials = makeCredentials();

/** A call on a channel of its own, which tries again soon where it is refused. */
function call(port: number) {
  const client = new NodeStreamServiceClient(`127.0.0.1:${port}`, credentials(Buffer.from(certPem)), {
    "grpc.initial_reconnect_backoff_ms": 20,
    "grpc.use_local_subchannel_pool": 1,
  });
  const stream = client.connect(new Metadata());
  const failed = new Promise<void>((resolve) => stream.on("error", () => resolve()));
  return { client, failed };
}

async function listening(port = 0): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer().listen(port, "127.0.0.1");
  after(() => server.close());
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

const connection = async (server: Server): Promise<Socket> => {
  const [socket] = (await once(server, "connection")) as [Socket];
  after(() => socket.destroy());
  return socket.on("error", () => undefined);
};

test("a channel that is closed while it shakes hands leaves no connection behind", { timeout: 10_000 }, async () => {
  const { server, port } = await listening();
  const { client } = call(port);
  const socket = await connection(server);
  await once(socket, "data");
  client.close();
  await once(socket, "close");
});

test("a channel that was refused and is closed shakes no hands when the port is there", { timeout: 10_000 }, async () => {
  const { server, port } = await listening();
  await new Promise((resolve) => server.close(resolve));
  const { client, failed } = call(port);
  await failed;
  client.close();
  const socket = await connection((await listening(port)).server);
  socket.resume();
  await once(socket, "close");
  assert.equal(socket.bytesRead, 0);
});
