import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { type Server, type ServerDuplexStream, status } from "@grpc/grpc-js";
import { HealthService } from "../proto/gen/grpc/health/v1/health.ts";
import { after, type Clock } from "./clock.ts";

/**
 * Bytes of a call's headers, counted as RFC 9113, section 6.5.2, does. A projected token has 1 to 2 kB, the longest that is reviewed 8 kB. gRPC's own
 * servers refuse above that as well (`grpc.absolute_max_metadata_size`).
 */
const MOST_HEADER_BYTES = 16_384;
/** Headers that anybody reads; the others are not kept. */
const READ: ReadonlySet<string> = new Set([":method", ":path", "content-type", "grpc-timeout", "grpc-encoding", "authorization"]);
/** Of a request for a health status, which needs no token: it has the name of a service. Own choice. */
const MOST_BODY_BYTES = 4_096;
/** It comes at once, with its end. */
const BODY_MS = 10_000;
/** Published by Node.js when a call's headers have come, before its server hears of the call. */
const CREATED = "http2.server.stream.created";
/** Where calls end up that have too many headers; nobody can call it. */
const REFUSED_PATH = "refused: too many headers";
const BYTES_HEADER = "clb-direct-bytes";

type Created = { readonly stream: ServerHttp2Stream; readonly headers: IncomingHttpHeaders };

/**
 * Bounds what a call makes this server keep, whoever sends it. grpc-js has no such bound, and that of HTTP/2 (SETTINGS_MAX_HEADER_LIST_SIZE) holds only for
 * who acknowledges it: 60 kB of commas in one header become 2 MB in grpc-js, 100 bytes that refer to an earlier header 400 kB. `port`: where the server
 * listens. Returns the way to end it.
 */
export function boundCalls(server: Server, port: () => number | undefined, clock: Clock): () => void {
  const asIs = (bytes: Buffer): Buffer => bytes;
  server.register(REFUSED_PATH, refuse, asIs, asIs, "bidi");
  const health = new Set<unknown>(Object.values(HealthService).map(({ path }) => path));
  const created = (message: unknown): void => {
    if (!isCreated(message) || message.stream.session?.socket.localPort !== port()) return;
    const { stream, headers } = message;
    if (!keepWhatIsRead(headers)) stream.once("finish", () => stream.close());
    else if (!health.has(headers[":path"])) return;
    else boundBody(stream);
    const late = (): void => void (stream.readableEnded || stream.close(constants.NGHTTP2_CANCEL));
    stream.once("close", after(clock, BODY_MS, late));
  };
  subscribe(CREATED, created);
  return () => void unsubscribe(CREATED, created);
}

const isCreated = (message: unknown): message is Created => typeof message === "object" && message !== null && "headers" in message;

/** grpc-js reads the same object next. False: there were too many, and what is left leads to `refuse`. */
function keepWhatIsRead(headers: IncomingHttpHeaders): boolean {
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    for (const one of [value ?? ""].flat()) bytes += name.length + one.length + 32;
    if (!READ.has(name) || !/^[ -~]*$/.test(String(value))) delete headers[name]; // grpc-js logs each value that is not plain ASCII
  }
  if (bytes <= MOST_HEADER_BYTES) return true;
  for (const name of Object.keys(headers)) delete headers[name];
  Object.assign(headers, { ":path": REFUSED_PATH, "content-type": "application/grpc", [BYTES_HEADER]: String(bytes) });
  return false;
}

const refuse = (call: ServerDuplexStream<Buffer, Buffer>): void => {
  const details = `the headers of a call have at most ${MOST_HEADER_BYTES} bytes, these have ${call.metadata.get(BYTES_HEADER).join()}`;
  call.emit("error", Object.assign(new Error(details), { code: status.RESOURCE_EXHAUSTED, details }));
};

function boundBody(stream: ServerHttp2Stream): void {
  let bytes = 0;
  stream.pause(); // its server is to begin
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MOST_BODY_BYTES) stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });
}
