import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Socket } from "node:net";
import type { Clock } from "../../common/clock.ts";
import { makeConnectionRoom } from "../../common/connection-room.ts";
import { type Address, listen } from "../../common/listener.ts";
import type { Logger } from "../../common/log.ts";
import { withoutManagedFields } from "../domain/admission/managed-fields.ts";
import type { ServingSource } from "../tls/serving.ts";
import { NotListedError, type Review } from "./review.ts";
import { MUTATE_OPTED_IN_PATH, MUTATE_PATH } from "./webhook-objects.ts";

export type AdmissionServerDeps = Address & {
  readonly review: Review;
  readonly serving: ServingSource;
  readonly clock: Clock;
  readonly log: Logger;
  /** Counts a review by its result, and how long it took, seconds. */
  readonly onReview?: (result: "injected" | "unchanged" | "invalid", seconds: number) => void;
  /** Counts connections that were accepted, each with a TLS handshake. */
  readonly onConnection?: () => void;
  /** How long a server that stops goes on answering, milliseconds; default LEAVE_MS. */
  readonly leaveMs?: number;
  /** What all reviews that are being read may hold together; default MOST_BYTES_AT_ONCE. */
  readonly bytesAtOnce?: number;
  /** Connections; default MOST_CONNECTIONS. */
  readonly connectionsAtOnce?: number;
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
/** Of all reviews that are being read at once; 16 of the greatest, thousands of the usual. */
const MOST_BYTES_AT_ONCE = 16 * MOST_BYTES;
/** Bad reviews are logged this often at most, milliseconds. */
const LOG_EVERY_MS = 10_000;
/** A sender that takes longer is not the API server, which gives up after TIMEOUT_SECONDS. */
const REQUEST_MS = 10_000;
/** An API server keeps up to 25 (policies.md I), and opens one more for each creation under way: three of them, each with 1 000. Each holds 80 kB with headers that do not end: 0.25 GB. */
const MOST_CONNECTIONS = 3_000;
/** A handshake that takes longer is not the API server's. */
const HANDSHAKE_MS = 10_000;
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
  const budget = makeBudget(deps.bytesAtOnce ?? MOST_BYTES_AT_ONCE);
  const reading = makeReading(clock);
  const complain = makeComplaints(deps);
  const toContext = ({ certPem, keyPem }: ServingSource["current"]) => ({ cert: certPem, key: keyPem });
  const server = createServer(
    // Node counts these from the beginning of a connection on which no request has come.
    {
      ...toContext(serving.current),
      keepAlive: true,
      headersTimeout: KEEP_ALIVE_MS,
      requestTimeout: KEEP_ALIVE_MS,
      handshakeTimeout: HANDSHAKE_MS,
    },
    (request, response) => void answer(request, response),
  );
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  const room = makeConnectionRoom(deps.connectionsAtOnce ?? MOST_CONNECTIONS);
  server.on("connection", (socket: Socket) => room.enter(socket));
  const sockets = new Set<Socket>();
  server.on("secureConnection", (socket: Socket) => {
    deps.onConnection?.();
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

  const answering = { ...deps, budget, complain, reading };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    room.used(request.socket);
    const { status, body } = await answerTo(answering, request);
    if (response.destroyed) return;
    const isOld = leaving || !current.has(request.socket) || !request.complete;
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
      reading.stop();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        room.clear();
      });
    },
  };
}

type Answer = { readonly status: number; readonly body: string };

/** What all reviews that are being read may hold together. */
type Budget = { readonly take: (by: IncomingMessage, bytes: number) => boolean; readonly give: (by: IncomingMessage) => void };

/** Whoever has taken longest makes way: an API server sends a review in one go. */
function makeBudget(mostBytes: number): Budget {
  /** Bytes of each that is being read, the oldest first. */
  const held = new Map<IncomingMessage, number>();
  let all = 0;
  const give = (by: IncomingMessage): void => {
    all -= held.get(by) ?? 0;
    held.delete(by);
  };
  return {
    give,
    take: (by, bytes) => {
      for (const oldest of held.keys()) {
        if (all + bytes <= mostBytes) break;
        if (oldest === by) return false;
        give(oldest);
        oldest.destroy();
      }
      all += bytes;
      held.set(by, (held.get(by) ?? 0) + bytes);
      return true;
    },
  };
}

/** The reviews that are being read, so that none is for ever. */
type Reading = { readonly begin: (request: IncomingMessage) => void; readonly end: (request: IncomingMessage) => void };

/** One timer for all of them: a timer and its cancellation for each cost more than the review. */
function makeReading(clock: Clock): Reading & { readonly stop: () => void } {
  /** Since when, milliseconds since the epoch; the oldest first. */
  const sinceMs = new Map<IncomingMessage, number>();
  const stopped = new AbortController();
  let watched = false;
  const watch = async (): Promise<void> => {
    while (sinceMs.size > 0) {
      const [oldest = clock.now()] = sinceMs.values();
      await clock.sleep(oldest + REQUEST_MS - clock.now(), stopped.signal);
      for (const [request, ms] of sinceMs)
        if (ms + REQUEST_MS <= clock.now()) {
          sinceMs.delete(request);
          request.destroy();
        }
    }
  };
  return {
    begin(request) {
      sinceMs.set(request, clock.now());
      if (watched) return;
      watched = true;
      watch()
        .catch(() => undefined) // stopped
        .finally(() => (watched = false));
    },
    end: (request) => void sinceMs.delete(request),
    stop: () => stopped.abort(),
  };
}

/** Anybody in the cluster can send what is no review: the log has the first, then how many there were. */
function makeComplaints({ clock, log }: Pick<AdmissionServerDeps, "clock" | "log">): (err: unknown) => void {
  let nextMs = Number.NEGATIVE_INFINITY;
  let more = 0;
  return (err) => {
    if (clock.now() < nextMs) {
      more += 1;
      return;
    }
    nextMs = clock.now() + LOG_EVERY_MS;
    log.warn({ err, ...(more > 0 && { unloggedBefore: more }) }, "not a review of a Pod");
    more = 0;
  };
}

type AnswerDeps = Pick<AdmissionServerDeps, "review" | "clock" | "onReview"> & {
  readonly budget: Budget;
  readonly reading: Reading;
  readonly complain: (err: unknown) => void;
};

async function answerTo({ review, clock, onReview, complain, ...reads }: AnswerDeps, request: IncomingMessage): Promise<Answer> {
  const path = (request.url ?? "").split("?")[0];
  if (path !== MUTATE_PATH && path !== MUTATE_OPTED_IN_PATH)
    return refusal(404, `no such path; there are ${MUTATE_PATH} and ${MUTATE_OPTED_IN_PATH}`);
  if (request.method !== "POST") return refusal(405, "use POST");
  const startedMs = clock.now();
  const done = (result: "injected" | "unchanged" | "invalid"): void => onReview?.(result, (clock.now() - startedMs) / 1000);
  try {
    const body = await bodyOf(request, reads);
    if ("status" in body) return body;
    const { answer, injected } = review(JSON.parse(withoutManagedFields(body.json)), path === MUTATE_OPTED_IN_PATH, body.json.length);
    done(injected ? "injected" : "unchanged");
    return { status: 200, body: JSON.stringify(answer) };
  } catch (err) {
    if (err instanceof NotListedError) return refusal(503, err.message);
    done("invalid");
    complain(err);
    return refusal(400, "not an AdmissionReview of admission.k8s.io/v1");
  }
}

const refusal = (status: number, message: string): Answer => ({ status, body: JSON.stringify({ message }) });

/** Rejects when the sender goes away. What is refused is not kept, and its sender has the rest of its time to end. */
function bodyOf(
  request: IncomingMessage,
  { budget, reading }: Pick<AnswerDeps, "budget" | "reading">,
): Promise<{ readonly json: Buffer } | Answer> {
  reading.begin(request);
  const read = new Promise<{ readonly json: Buffer } | Answer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const refuse = (status: number, message: string): void => {
      request.off("data", take).resume(); // Node lets go of what comes
      resolve(refusal(status, message));
    };
    const take = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > MOST_BYTES) return refuse(413, `a review has at most ${MOST_BYTES} bytes`);
      if (!budget.take(request, chunk.length)) return refuse(503, "too many reviews at once");
      chunks.push(chunk);
    };
    request.on("data", take);
    request.once("end", () => resolve({ json: chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks) }));
    request.once("error", reject);
    request.once("close", () => {
      reading.end(request);
      if (!request.readableEnded) reject(new Error("the sender went away"));
    });
  });
  return read.finally(() => budget.give(request));
}
