/** A man in the middle of one agent's stream, who can swallow a message: TLS on both sides, with the installation's own authority. */
import { ChannelCredentials, Metadata, Server, ServerCredentials, type ServerDuplexStream, status } from "@grpc/grpc-js";
import { CA_SECRET, COORDINATOR_SERVICE, DEFAULT_NAMESPACE, STREAM_PORT } from "../../common/names.ts";
import { issueServing } from "../../coordinator/tls/certificate.ts";
import {
  type ConnectRequest,
  type ConnectResponse,
  NodeStreamServiceClient,
  NodeStreamServiceService,
} from "../../proto/gen/clb/direct/v1/node_stream.ts";
import type { World } from "./world.ts";

type Body = NonNullable<ConnectRequest["body"]>;

export type DroppingProxy = {
  /** For `startAgent`'s `address`. */
  readonly address: string;
  /** Swallows the next message of an agent that `matches`, one only. */
  dropNext(matches: (body: Body) => boolean): void;
  /** What was swallowed. */
  readonly dropped: readonly Body[];
  stop(): void;
};

const NAME = `${COORDINATOR_SERVICE}.${DEFAULT_NAMESPACE}.svc`;

/** Listens where a second replica would. Needs a started coordinator: it takes the authority that it published. */
export async function startDroppingProxy(world: World): Promise<DroppingProxy> {
  const secret = await world.client.get<{ data: Record<string, string> }>(`/api/v1/namespaces/${DEFAULT_NAMESPACE}/secrets/${CA_SECRET}`);
  const decoded = (key: string): string => Buffer.from(secret.data[key] ?? "", "base64").toString();
  const authority = { certPem: decoded("tls.crt"), keyPem: decoded("tls.key") };
  const leaf = await issueServing(authority, [NAME], [], Date.now());
  const upstream = new NodeStreamServiceClient(
    `${world.plan.coordinator}:${STREAM_PORT}`,
    ChannelCredentials.createSsl(Buffer.from(authority.certPem)),
    { "grpc.ssl_target_name_override": NAME, "grpc.default_authority": NAME },
  );
  const dropped: Body[] = [];
  let wanted: ((body: Body) => boolean) | undefined;
  const server = new Server();
  server.addService(NodeStreamServiceService, {
    connect: (agent: ServerDuplexStream<ConnectRequest, ConnectResponse>) => {
      const metadata = new Metadata();
      for (const value of agent.metadata.get("authorization")) metadata.add("authorization", value);
      const coordinator = upstream.connect(metadata);
      agent.on("data", (request: ConnectRequest) => {
        if (request.body !== undefined && wanted?.(request.body) === true) {
          wanted = undefined;
          dropped.push(request.body);
        } else coordinator.write(request);
      });
      agent.on("end", () => coordinator.end()).on("cancelled", () => coordinator.cancel());
      coordinator.on("data", (response) => agent.write(response)).on("end", () => agent.end());
      coordinator.on("error", (error) => agent.emit("error", Object.assign(error, { code: status.UNAVAILABLE })));
    },
  });
  const credentials = ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(leaf.certPem), private_key: Buffer.from(leaf.keyPem) }]);
  const address = `${world.plan.standby}:${STREAM_PORT}`;
  await new Promise<void>((resolve, reject) => server.bindAsync(address, credentials, (error) => (error ? reject(error) : resolve())));
  return {
    address,
    dropped,
    dropNext: (matches) => {
      wanted = matches;
    },
    stop: () => {
      server.forceShutdown();
      upstream.close();
    },
  };
}
