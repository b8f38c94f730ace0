import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Socket } from "node:net";
import type { Clock } from "../../common/clock.ts";
import { type Address, listen } from "../../common/listener.ts";
import type { Logger } from "../../common/log.ts";
import type { ServingSource } from "../tls/serving.ts";
import type { Reviewed } from "./review.ts";
import { MUTATE_OPTED_IN_PATH, MUTATE_PATH } from "./webhook-objects.ts";

export type AdmissionServerDeps = Address & {
  readonly review: (body: unknown, namespaceOptedIn: boolean) => Reviewed;
  readonly serving: ServingSource;
  readonly clock: Clock;
  readonly log: Logger;
  /** Counts a review by its result, and how long it took, seconds. */
  readonly onReview?: (result: "injected" | "unchanged" | "invalid", seconds: number) => void;
  /** How long a server that stops goes on answering, milliseconds; default LEAVE_MS. */
  readonly leaveMs?: number;
};

/** `start` resolves with the port and rejects where it is taken; `stop` answers for a while, so that no API server calls in vain. */
export interface AdmissionServer {
  start(): Promise<number>;
  stop(): Promise<void>;
}

/** The API server lets an idle connection go after 90 s; one that we closed first could meet a review on its way (policies.md I). */
const KEEP_ALIVE_MS = 120_000;
/** The API server takes objects of 3 MiB; a review holds one, and what is said about it. */
const MOST_BYTES = 4 * 1024 * 1024;
/** A sender that takes longer is not the API server, which gives up after a second. */
const REQUEST_MS = 10_000;
/** An API server keeps up to 25 (policies.md I); three of them, with what they open in a storm. */
const MOST_CONNECTIONS = 1_000;
/** Until every API server has heard that this replica is no endpoint any more. */
const LEAVE_MS = 5_000;

/**
 * The webhook over HTTPS, HTTP/1.1, as API servers speak it to a Service. A certificate is swapped without a restart: from then on every
 * answer over an older connection asks the API server to close it. No idle connection is ever closed by us.
 */
export function makeAdmissionServer(deps: AdmissionServerDeps): AdmissionServer {
  const { serving, clock, log } = deps;
  /** Connections that began with the certificate in use. */
  let current = new WeakSet<Socket>();
  let leaving = false;
  const toContext = ({ certPem, keyPem }: ServingSource["current"]) => ({ cert: certPem, key: keyPem });
  const server = createServer(
    // Node counts these from the beginning of a connection on which no request has come.
    { ...toContext(serving.current), keepAlive: true, headersTimeout: KEEP_ALIVE_MS, requestTimeout: KEEP_ALIVE_MS },
    (request, response) => void answer(request, response),
  );
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.maxConnections = MOST_CONNECTIONS;
  const sockets = new Set<Socket>();
  server.on("secureConnection", (socket: Socket) => {
    socket.setNoDelay(true);
    current.add(socket);
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", (err) => log.debug({ err }, "no TLS connection to the webhook"));
  const unsubscribe = serving.subscribe((changed) => {
    server.setSecureContext(toContext(changed));
    current = new WeakSet();
  });

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { status, body } = await answerTo(deps, request);
    if (response.destroyed) return;
    const isOld = leaving || !current.has(request.socket);
    response.writeHead(status, {
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(body),
      ...(isOld && { Connection: "close" }),
    });
    response.end(body);
  };

  return {
    start: () => listen(server, deps),
    async stop() {
      leaving = true;
      const gone = new AbortController();
      await clock.sleep(sockets.size === 0 ? 0 : (deps.leaveMs ?? LEAVE_MS), gone.signal).catch(() => undefined);
      unsubscribe();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

type Answer = { readonly status: number; readonly body: string };

async function answerTo({ review, clock, log, onReview }: AdmissionServerDeps, request: IncomingMessage): Promise<Answer> {
  const path = (request.url ?? "").split("?")[0];
  if (path !== MUTATE_PATH && path !== MUTATE_OPTED_IN_PATH)
    return refusal(404, `no such path; there are ${MUTATE_PATH} and ${MUTATE_OPTED_IN_PATH}`);
  if (request.method !== "POST") return refusal(405, "use POST");
  const startedMs = clock.now();
  const read = new AbortController();
  void clock.sleep(REQUEST_MS, read.signal).then(
    () => request.destroy(),
    () => undefined,
  );
  const done = (result: "injected" | "unchanged" | "invalid"): void => onReview?.(result, (clock.now() - startedMs) / 1000);
  try {
    const text = await bodyOf(request).finally(() => read.abort());
    if (text === undefined) return refusal(413, `a review has at most ${MOST_BYTES} bytes`);
    const { answer, injected } = review(JSON.parse(text), path === MUTATE_OPTED_IN_PATH);
    done(injected ? "injected" : "unchanged");
    return { status: 200, body: JSON.stringify(answer) };
  } catch (err) {
    done("invalid");
    log.warn({ err }, "not a review of a Pod");
    return refusal(400, "not an AdmissionReview of admission.k8s.io/v1");
  }
}

const refusal = (status: number, message: string): Answer => ({ status, body: JSON.stringify({ message }) });

/** Undefined: it is too long. Rejects when the sender goes away. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
