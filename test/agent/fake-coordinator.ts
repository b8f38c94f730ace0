import { Metadata, Server, ServerCredentials, type ServerDuplexStream, type status } from "@grpc/grpc-js";
import { issueAuthority, issueServing, type Material } from "../../coordinator/tls/certificate.ts";
import { type ConnectRequest, type ConnectResponse, NodeStreamServiceService } from "../../proto/gen/clb/direct/v1/node_stream.ts";

export const SERVER_NAME = "coordinator.test";

export type Body = NonNullable<ConnectRequest["body"]>;
type Answer = NonNullable<ConnectResponse["body"]>;
type Kind = Body["$case"];
type ValueOf<K extends Kind> = Extract<Body, { $case: K }>["value"];

/** One stream as the coordinator sees it. */
export class FakeStream {
  readonly heard: Body[] = [];
  readonly authorization: string;
  /** The longest message that it says to take; 0: as a coordinator of the former version. */
  readonly maxMessageBytes: number;
  /** Address and port of the connection that it came by. */
  readonly peer: string;
  readonly #call: ServerDuplexStream<ConnectRequest, ConnectResponse>;

  constructor(call: ServerDuplexStream<ConnectRequest, ConnectResponse>, maxMessageBytes: number) {
    this.#call = call;
    this.maxMessageBytes = maxMessageBytes;
    this.peer = call.getPeer();
    this.authorization = String(call.metadata.get("authorization")[0]);
  }
  get kinds(): readonly Kind[] {
    return this.heard.map(({ $case }) => $case);
  }
  /** Messages of one kind, e.g. of("difference"). */
  of<K extends Kind>(kind: K): readonly ValueOf<K>[] {
    return this.heard.flatMap((body) => (body.$case === kind ? [body.value as ValueOf<K>] : [])); // TypeScript does not narrow by K
  }
  say(body: Answer): void {
    this.#call.write({ body });
  }
  resend(): void {
    this.say({ $case: "resend", value: { reason: "test" } });
  }
  /** Ends the stream with this status; `pushback` is what a server says of the time to come again, e.g. "50". */
  fail(code: status, pushback?: string): void {
    const metadata = new Metadata();
    if (pushback !== undefined) metadata.set("grpc-retry-pushback-ms", pushback);
    this.#call.emit("error", Object.assign(new Error("test"), { code, details: "test", metadata }));
  }
  /** The answer of a coordinator that has nothing to complain about. */
  answer(body: Body): void {
    if (body.$case === "hello")
      this.say({ $case: "welcome", value: { protocolVersion: 1, replica: "test", maxMessageBytes: this.maxMessageBytes } });
    if (body.$case === "snapshot" || body.$case === "difference") this.say({ $case: "ack", value: { sequence: body.value.sequence } });
  }
}

/** What to do with a message that was heard; `index` counts those of the stream from 0. */
export type Behaviour = (stream: FakeStream, body: Body, index: number) => void;

/** A coordinator over real gRPC and TLS that does what the test says. `reads: false` never takes a message off the wire. */
export class FakeCoordinator {
  readonly streams: FakeStream[] = [];
  behaviour: Behaviour = (stream, body) => stream.answer(body);
  reads = true;
  maxMessageBytes = 0;
  #server: Server | undefined;

  /** Resolves with the port. */
  async start(authority: Material, port = 0): Promise<number> {
    const { certPem, keyPem } = await issueServing(authority, [SERVER_NAME], [], Date.now());
    const server = new Server();
    server.addService(NodeStreamServiceService, {
      connect: (call: ServerDuplexStream<ConnectRequest, ConnectResponse>) => this.#serve(call),
    });
    this.#server = server;
    const credentials = ServerCredentials.createSsl(null, [{ private_key: Buffer.from(keyPem), cert_chain: Buffer.from(certPem) }]);
    return await new Promise((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
    });
  }
  /** Cuts every stream. */
  stop(): void {
    this.#server?.forceShutdown();
  }
  get last(): FakeStream | undefined {
    return this.streams.at(-1);
  }
  #serve(call: ServerDuplexStream<ConnectRequest, ConnectResponse>): void {
    const stream = new FakeStream(call, this.maxMessageBytes);
    this.streams.push(stream);
    call.on("error", () => undefined);
    if (!this.reads) return stream.say({ $case: "welcome", value: { protocolVersion: 1, replica: "test", maxMessageBytes: 0 } });
    call.on("data", ({ body }: ConnectRequest) => {
      if (body === undefined) return;
      stream.heard.push(body);
      this.behaviour(stream, body, stream.heard.length - 1);
    });
  }
}

export const anAuthority = (): Promise<Material> => issueAuthority(Date.now());
