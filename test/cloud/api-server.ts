import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Cloud } from "./cloud.ts";
import { CloudError, TransportFault } from "./errors.ts";
import { SENT_AS, type SentAs } from "./fault-effects.ts";
import type { ApiKey } from "./options.ts";
import { verifySignature } from "./signature.ts";

/** Largest body of a signed POST. Source: clb-api.md §1.2. */
const MAX_BODY_BYTES = 10 * 1024 * 1024;

type Deps = {
  readonly cloud: Cloud;
  readonly keys: readonly ApiKey[];
  /** Wall time in ms: signatures stay in real time also where the cloud's clock is scaled. */
  readonly wallMs: () => number;
};

/** The API as SDKs speak it: TC3-signed POST, errors in an HTTP 200, always with Content-Length. Not listening yet. */
export function makeApiServer({ cloud, keys, wallMs }: Deps): Server {
  const bySecretId = new Map(keys.map((key) => [key.secretId, key]));

  const answer = async (request: IncomingMessage): Promise<Record<string, unknown>> => {
    const body = await bodyOf(request);
    const [path = "/", query = ""] = (request.url ?? "/").split("?");
    const { headers, method = "" } = request;
    const action = header(request, "x-tc-action");
    let caller = "unknown";
    let key: ApiKey;
    let service: string;
    try {
      if (method !== "POST" || path !== "/") throw new CloudError("InvalidRequest", `send POST / (got ${method} ${path})`);
      key = verifySignature({ method, query, headers, body }, bySecretId, wallMs());
      caller = key.account ?? key.secretId;
      service = serviceOf(cloud, header(request, "x-tc-version"), action);
    } catch (error) {
      if (error instanceof CloudError) {
        error.requestId = randomUUID();
        cloud.noteRefused(action, caller, error);
      }
      throw error;
    }
    return cloud.call(service, action, parse(body), { name: caller, region: header(request, "x-tc-region"), bytes: body.length });
  };

  // Long enough that a client's idle connection is never closed just when it sends its next request.
  return createServer({ keepAliveTimeout: 75_000 }, (request, response) => {
    answer(request)
      .then((result) => send(request, response, result))
      .catch((error: unknown) => sendError(request, response, error));
  });
}

/** Throws NoSuchVersion. */
function serviceOf(cloud: Cloud, version: string, action: string): string {
  const service = cloud.serviceOf(version, action);
  if (service === undefined) throw new CloudError("NoSuchVersion", `The API version ${version} is not known.`);
  return service;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new CloudError("InvalidRequest", `the body is larger than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parse(body: Buffer): unknown {
  try {
    return body.length === 0 ? {} : JSON.parse(body.toString("utf8"));
  } catch {
    throw new CloudError("InvalidRequest", "the body is not JSON");
  }
}

const header = (request: IncomingMessage, name: string): string => {
  const value = request.headers[name];
  return Array.isArray(value) ? (value[0] ?? "") : (value ?? "");
};

function send(request: IncomingMessage, response: ServerResponse, result: Record<string, unknown> & SentAs): void {
  const whole = Buffer.from(JSON.stringify({ Response: result }));
  const middle = whole.length >> 1;
  const body = result[SENT_AS] === "truncated" ? whole.subarray(0, middle) : whole;
  const traceId = header(request, "x-tc-traceid");
  response.writeHead(200, {
    "content-type": "application/json",
    ...(result[SENT_AS] !== "chunked" && { "content-length": body.length }),
    ...(traceId !== "" && { "x-tc-traceid": traceId }),
  });
  if (result[SENT_AS] === "chunked") response.write(body.subarray(0, middle));
  response.end(result[SENT_AS] === "chunked" ? body.subarray(middle) : body);
}

function sendError(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (error instanceof TransportFault) {
    if (error.status === undefined) request.socket.resetAndDestroy();
    else response.writeHead(error.status, { "content-type": "text/plain", "content-length": 0 }).end();
    return;
  }
  const { code, message, requestId } =
    error instanceof CloudError
      ? error
      : { code: "InternalError", message: error instanceof Error ? error.message : String(error), requestId: "" };
  send(request, response, { Error: { Code: code, Message: message }, RequestId: requestId || randomUUID() });
}
