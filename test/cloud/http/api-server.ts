import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer, type ServerOptions } from "node:https";
import { SENT_AS, type SentAs } from "../faults/effects.ts";
import { CloudError, TransportFault } from "../model/errors.ts";
import { header, type RequestDeps, readApiRequest } from "./api-request.ts";

/** Headers, with the query of the largest GET; Node's own limit of 16 KB would refuse it. */
const MAX_HEADER_BYTES = 64 * 1024;

/**
 * The API as SDKs speak it: signed POST or GET, errors in an HTTP 200, always with Content-Length. With `tls` over HTTPS. Not listening yet.
 */
export function makeApiServer(given: Omit<RequestDeps, "signingKeys">, tls?: ServerOptions): Server {
  const deps: RequestDeps = { ...given, signingKeys: new Map() };
  const answer = async (request: IncomingMessage) => {
    const { service, action, parameters, caller } = await readApiRequest(request, deps);
    return deps.cloud.call(service, action, parameters, caller);
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request)
      .then((result) => send(request, response, result))
      .catch((error: unknown) => sendError(request, response, error));
  };
  // Long enough that a client's idle connection is never closed just when it sends its next request.
  const options = { keepAliveTimeout: 75_000, maxHeaderSize: MAX_HEADER_BYTES };
  return tls === undefined ? createServer(options, onRequest) : createHttpsServer({ ...options, ...tls }, onRequest);
}

function send(request: IncomingMessage, response: ServerResponse, result: Record<string, unknown> & SentAs): void {
  const whole = JSON.stringify({ Response: result });
  const middle = whole.length >> 1;
  const body = result[SENT_AS] === "truncated" ? whole.slice(0, middle) : whole;
  const traceId = header(request, "x-tc-traceid");
  response.writeHead(200, {
    "content-type": "application/json",
    ...(result[SENT_AS] !== "chunked" && { "content-length": Buffer.byteLength(body) }),
    ...(traceId !== "" && { "x-tc-traceid": traceId }),
  });
  if (result[SENT_AS] === "chunked") response.write(body.slice(0, middle));
  response.end(result[SENT_AS] === "chunked" ? body.slice(middle) : body); // a text, for it leaves in one packet with the headers
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
