/** An agent's arrival as grpc-js alone has it: a snapshot over a stream of its own, decoded and acknowledged. */
import { ChannelCredentials, type ClientDuplexStream, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import type { Material } from "../../coordinator/tls/certificate.ts";
import {
  type ConnectRequest,
  type ConnectResponse,
  NodeStreamServiceClient,
  NodeStreamServiceService,
} from "../../proto/gen/clb/direct/v1/node_stream.ts";

/** Listens, and does nothing with what it is told. Resolves with the port. */
export async function acknowledge({ certPem, keyPem }: Material): Promise<number> {
  const server = new Server({ "grpc.enable_channelz": 0 });
  const connect = (call: ServerDuplexStream<ConnectRequest, ConnectResponse>): void => {
    call.on("data", ({ body }: ConnectRequest) => {
      if (body?.$case === "snapshot") call.write({ body: { $case: "ack", value: { sequence: body.value.sequence } } });
    });
  };
  server.addService(NodeStreamServiceService, { connect });
  const pair = { cert_chain: Buffer.from(certPem), private_key: Buffer.from(keyPem) };
  return await new Promise((resolve, reject) => {
    const credentials = ServerCredentials.createSsl(null, [pair]);
    server.bindAsync("127.0.0.1:0", credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
  });
}

/** Tells a snapshot of so many Pods, as an agent of the benchmark does; resolves when it is acknowledged. The connection stays. */
export async function tell(pods: number) {
  const { snapshotOf } = await import("./objects.ts");
  return async (index: number, port: number, caPem: string): Promise<void> => {
    const client = new NodeStreamServiceClient(`127.0.0.1:${port}`, ChannelCredentials.createSsl(Buffer.from(caPem)), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.ssl_target_name_override": "localhost",
    });
    const call: ClientDuplexStream<ConnectRequest, ConnectResponse> = client.connect();
    await new Promise<void>((resolve, reject) => {
      call.on("data", () => resolve()).on("error", reject);
      call.write({ body: { $case: "snapshot", value: { sequence: 1n, pods: snapshotOf(index, pods), more: false } } });
    });
  };
}
