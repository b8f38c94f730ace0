import { once } from "node:events";
import { type ChannelCredentials, type ChannelOptions, type ClientDuplexStream, Metadata, status } from "@grpc/grpc-js";
import { backoffMs } from "../common/backoff.ts";
import type { Clock } from "../common/clock.ts";
import type { HoldAnswer } from "../common/holds.ts";
import type { Latch } from "../common/latch.ts";
import type { Logger } from "../common/log.ts";
import { OVER } from "../common/signals.ts";
import { type ConnectRequest, type ConnectResponse, NodeStreamServiceClient } from "../proto/gen/clb/direct/v1/node_stream.ts";
import { digestOf, inParts, PROTOCOL_VERSION, toPodReport, toRemovedPod } from "../proto/wire.ts";
import { fromHoldAnswers, toHeldPods, toHoldProof } from "../proto/wire-holds.ts";
import { toPodVerdict } from "../proto/wire-reachability.ts";
import {
  afterHearing,
  afterSaying,
  type Conversation,
  type ConversationLimits,
  newConversation,
  nextStep,
  PATIENCE,
  type Step,
} from "./domain/conversation.ts";
import type { Report } from "./domain/plan-report.ts";
import type { HoldsStep } from "./domain/say-holds.ts";

/** `acknowledged`: the first snapshot of the present stream was. */
export type LinkState = "away" | "connected" | "acknowledged";

/** Metric hooks; synchronous, must not throw. */
export type LinkObserver = {
  onSent(kind: Body["$case"]): void;
  onAck(seconds: number): void;
  onAckTimeout(): void;
  onResend(): void;
  /** Name of a gRPC status, e.g. "UNAVAILABLE". */
  onStreamEnd(code: string): void;
  onState(): void;
};

/** How to reach a coordinator. Files are read at each connect, so that rotation needs no restart. */
type Connection = {
  /** The name that its certificate must carry, e.g. "clb-direct-coordinator.clb-direct.svc". */
  readonly serverName: string;
  /** PEM. */
  readonly readCaBundle: () => Promise<Buffer>;
  readonly readToken: () => Promise<string>;
  /** Real milliseconds; see the configuration. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
};

export type StreamDeps = {
  readonly address: string;
  readonly connection: Connection;
  /** For this CA bundle (PEM). */
  readonly credentials: (caBundle: Buffer) => ChannelCredentials;
  /** E.g. { nodeName: "node-a", instanceId: "5f0c…" } */
  readonly hello: { readonly nodeName: string; readonly instanceId: string };
  readonly limits: ConversationLimits;
  readonly latest: () => Report | undefined;
  /** What the coordinator wants to be found out; told at once, in its order. */
  readonly onAsked: (asked: Asked) => void;
  /** What held Pods wait for; each replaces the earlier one of its Pod. Default: nobody listens. */
  readonly onHoldAnswers?: ((answers: readonly HoldAnswer[]) => void) | undefined;
  /** Set when `latest` gives something new. */
  readonly latch: Latch;
  readonly onState: (state: LinkState) => void;
  readonly observer: LinkObserver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
};

/** From a coordinator: tasks, or the rules that they are judged by. */
export type Asked = Extract<NonNullable<ConnectResponse["body"]>, { $case: "tasks" | "securityGroup" }>;

type Call = ClientDuplexStream<ConnectRequest, ConnectResponse>;
type Body = NonNullable<ConnectRequest["body"]>;

/** Why a stream ended, with the gRPC status that stands for it. */
export class StreamFault extends Error {
  override readonly name = "StreamFault";
  readonly code: status;
  /** How long the coordinator wants us to stay away, milliseconds; undefined: it did not say. */
  readonly retryAfterMs: number | undefined;

  constructor(code: status, message: string, options?: ErrorOptions & { readonly retryAfterMs?: number | undefined }) {
    super(message, options);
    this.code = code;
    this.retryAfterMs = options?.retryAfterMs;
  }
}

/** What asks for more is treated as any other end: we come again when we think right. */
const LONGEST_PUSHBACK_MS = 60_000;
/** On top of what a coordinator asks for, which it says to many; grows, so that those who came in vain for long thin out. */
const AFTER_PUSHBACK = { baseMs: 100, maxMs: 3_000 };

/**
 * One connection and its stream, to its end: always rejects, with StreamFault unless a file could not be read. Aborting cancels it. A
 * coordinator that says when to come again keeps the connection: only the call is made anew.
 */
export async function speakOn(deps: StreamDeps, signal: AbortSignal): Promise<never> {
  const { connection, address, clock, log, observer } = deps;
  const caBundle = await connection.readCaBundle();
  signal.throwIfAborted();
  const client = new NodeStreamServiceClient(address, deps.credentials(caBundle), optionsOf(connection));
  try {
    for (let attempt = 0; ; attempt++) {
      const fault = await callOnce(client, deps, signal).catch((error: unknown) => error);
      if (signal.aborted || !(fault instanceof StreamFault) || fault.retryAfterMs === undefined) throw fault;
      const waitMs = fault.retryAfterMs + backoffMs(attempt, AFTER_PUSHBACK, deps.random);
      observer.onStreamEnd(status[fault.code]);
      log.debug({ coordinator: address, why: fault.message, waitMs: Math.round(waitMs) }, "coordinator wants us later");
      await clock.sleep(waitMs, signal);
    }
  } finally {
    client.close();
  }
}

async function callOnce(client: NodeStreamServiceClient, deps: StreamDeps, signal: AbortSignal): Promise<never> {
  const token = await deps.connection.readToken();
  signal.throwIfAborted();
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  const call = client.connect(metadata);
  call.on("error", () => undefined); // the reader throws it; one that comes after the reader has left must not end the process
  const over = new AbortController();
  const end = (): void => over.abort(OVER);
  signal.addEventListener("abort", end, { once: true });
  try {
    return await converse(call, deps, over.signal);
  } catch (error) {
    throw toFault(error);
  } finally {
    signal.removeEventListener("abort", end);
    over.abort(OVER);
    call.cancel();
  }
}

/** Speaks and listens until one of the two fails or `over` aborts. */
async function converse(call: Call, deps: StreamDeps, over: AbortSignal): Promise<never> {
  const { clock, latch, observer } = deps;
  let maxBytes = 0;
  let talk: Conversation = newConversation(clock.now());

  const listen = async (): Promise<never> => {
    const responses: AsyncIterable<ConnectResponse> = call;
    for await (const { body } of responses) {
      if (body === undefined) continue; // from a newer coordinator
      if (body.$case === "tasks" || body.$case === "securityGroup") {
        deps.onAsked(body);
        continue;
      }
      if (body.$case === "holdAnswers") {
        deps.onHoldAnswers?.(fromHoldAnswers(body.value));
        continue;
      }
      const before = talk;
      if (body.$case === "welcome") maxBytes = body.value.maxMessageBytes;
      if (body.$case === "resend") {
        deps.log.info({ coordinator: deps.address, reason: body.value.reason }, "coordinator wants a snapshot");
        observer.onResend();
      }
      talk = afterHearing(talk, body.$case === "ack" ? { kind: "ack", sequence: body.value.sequence } : { kind: body.$case }, clock.now());
      if (!before.welcomed && talk.welcomed) deps.onState("connected");
      if (before.inFlight !== undefined && talk.told !== undefined) {
        observer.onAck((clock.now() - before.inFlight.sentAtMs) / 1_000);
        deps.onState("acknowledged");
      }
      latch.set();
    }
    throw new StreamFault(status.UNAVAILABLE, "the coordinator ended the stream");
  };

  const speak = async (): Promise<never> => {
    await write({ $case: "hello", value: { protocolVersion: PROTOCOL_VERSION, ...deps.hello } });
    for (;;) {
      over.throwIfAborted();
      const step = nextStep(talk, deps.latest(), clock.now(), deps.limits);
      if (step.kind === "wait") {
        await latch.wait((step.untilMs ?? Number.POSITIVE_INFINITY) - clock.now(), over);
        continue;
      }
      if (step.kind === "reconnect") throw new StreamFault(status.DEADLINE_EXCEEDED, step.because);
      if (step.kind === "snapshot" && step.because === "unacknowledged") observer.onAckTimeout();
      talk = afterSaying(talk, step, clock.now());
      const bodies = step.kind === "token" ? await freshToken(deps) : bodiesOf(step, maxBytes, clock.now());
      const [first] = bodies;
      if (first === undefined) continue;
      observer.onSent(first.$case);
      for (const body of bodies) await write(body);
    }
  };

  /** Resolves when there is room for the next message: then at most one waits here, however long the other end does not read. */
  const write = async (body: Body): Promise<void> => {
    over.throwIfAborted();
    if (call.write({ body })) return;
    const stop = new AbortController();
    const end = (): void => stop.abort(OVER);
    over.addEventListener("abort", end, { once: true });
    const late = clock.sleep(deps.limits.ackTimeoutMs * PATIENCE, stop.signal).then(() => {
      throw new StreamFault(status.DEADLINE_EXCEEDED, "the coordinator does not read");
    });
    try {
      await Promise.race([once(call, "drain", { signal: stop.signal }), late]);
    } finally {
      over.removeEventListener("abort", end);
      stop.abort(OVER);
      late.catch(() => undefined);
    }
  };

  const called = new Promise<never>((_, reject) => over.addEventListener("abort", () => reject(over.reason), { once: true }));
  return await Promise.race([listen(), speak(), called]);
}

async function freshToken({ connection, address, log }: StreamDeps): Promise<readonly Body[]> {
  try {
    return [{ $case: "token", value: { token: await connection.readToken() } }];
  } catch (err) {
    log.warn({ err, coordinator: address }, "token not read, the coordinator will ask again");
    return [];
  }
}

/** Verdicts in one message: with all ports that a Pod can have still far below the limit of a message. */
const MOST_VERDICTS = 100;

/** `maxBytes`: the longest message that the coordinator takes; 0: it did not say, and takes a snapshot as a whole only. */
function bodiesOf(step: Exclude<Step, { kind: "token" | "wait" | "reconnect" }>, maxBytes: number, nowMs: number): readonly Body[] {
  switch (step.kind) {
    case "nodeFacts":
      return [{ $case: "nodeFacts", value: { ...step.facts, macs: [...step.facts.macs] } }];
    case "verdicts":
      return chunksOf(step.pods, MOST_VERDICTS).map((pods) => ({ $case: "verdicts", value: { pods: pods.map(toPodVerdict) } }));
    case "holds":
      return [holdsBody(step.said, nowMs)];
    case "digest":
      return [{ $case: "digest", value: { sequence: step.sequence, sha256: digestOf(step.report.pods.values()) } }];
    case "snapshot":
      return snapshotOf(step.sequence, step.report, maxBytes);
    case "difference": {
      const { sequence, difference, report } = step;
      const changed = difference.changed.map(toPodReport);
      // What is too long for one message is said as a snapshot, which can come in parts.
      if (inParts(changed, maxBytes).length > 1) return snapshotOf(sequence, report, maxBytes);
      return [{ $case: "difference", value: { sequence, changed, removed: difference.removed.map(toRemovedPod) } }];
    }
    default:
      return step satisfies never;
  }
}

function holdsBody(said: HoldsStep, nowMs: number): Body {
  switch (said.kind) {
    case "leaving":
      return { $case: "leaving", value: {} };
    case "holdProof":
      return { $case: "holdProof", value: toHoldProof(said.proof) };
    case "heldPods": {
      const pods = said.pods.map(({ sinceMs, ...pod }) => ({ ...pod, heldMs: nowMs - sinceMs }));
      const released = said.released.map(({ pod, atMs }) => ({ ...pod, agoMs: nowMs - atMs }));
      return { $case: "heldPods", value: toHeldPods({ ...said, pods, released }) };
    }
    default:
      return said satisfies never;
  }
}

function snapshotOf(sequence: bigint, report: Report, maxBytes: number): readonly Body[] {
  const parts = inParts(Array.from(report.pods.values(), toPodReport), maxBytes);
  return parts.map((pods, at) => ({ $case: "snapshot", value: { sequence, pods: [...pods], more: at < parts.length - 1 } }));
}

function chunksOf<T>(items: readonly T[], most: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / most) }, (_, at) => items.slice(at * most, (at + 1) * most));
}

function optionsOf({ serverName, keepaliveMs, keepaliveTimeoutMs }: Connection): ChannelOptions {
  return {
    "grpc.ssl_target_name_override": serverName,
    "grpc.default_authority": serverName,
    "grpc.use_local_subchannel_pool": 1, // else grpc-js keeps the connection, and with it the CA bundle, of an earlier stream
    "grpc.keepalive_time_ms": keepaliveMs,
    "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
    "grpc.enable_http_proxy": 0, // the node's proxy settings are for the world outside
    "grpc.enable_retries": 0,
    "grpc.service_config_disable_resolution": 1,
  };
}

/** grpc-js rejects with errors that carry `code` and `details`. */
function toFault(error: unknown): unknown {
  if (error instanceof StreamFault || !(error instanceof Error) || !("code" in error)) return error;
  const code = Object.values(status).find((known) => known === error.code);
  if (code === undefined || typeof code === "string") return error;
  const details = "details" in error && typeof error.details === "string" ? error.details : error.message;
  return new StreamFault(code, details, { cause: error, retryAfterMs: pushbackOf(error) });
}

/** What gRPC servers say with "not before": milliseconds in a trailer. Source: gRPC's retry design (gRFC A6), "pushback"; less than 0 is no time. */
function pushbackOf(error: Error): number | undefined {
  const metadata = "metadata" in error && error.metadata instanceof Metadata ? error.metadata : undefined;
  const [said] = metadata?.get("grpc-retry-pushback-ms") ?? [];
  const ms = Number(said ?? Number.NaN);
  return ms >= 0 && ms <= LONGEST_PUSHBACK_MS ? ms : undefined;
}
