import { once } from "node:events";
import { type ServerDuplexStream, type ServerInterceptor, status } from "@grpc/grpc-js";
import { after, type Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { OVER } from "../../common/signals.ts";
import type { ConnectRequest, ConnectResponse, Hello, NodeStreamServiceServer } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { MAX_MESSAGE_BYTES, PROTOCOL_VERSION } from "../../proto/wire.ts";
import type { AgentHolds, NodeHolds } from "../nodes/node-holds.ts";
import type { NodeRegistry } from "../nodes/node-registry.ts";
import type { NodeSession, SessionEnd, StreamObserver } from "../nodes/node-session.ts";
import type { AgentStream, NodeTasks } from "../nodes/node-tasks.ts";
import { isNodeName } from "../nodes/report-fault.ts";
import { answersBody, askingBody } from "./bodies.ts";
import { makeDialogue } from "./dialogue.ts";
import type { Intake } from "./intake.ts";
import { makeSilence, type Silence } from "./silence.ts";
import { StreamEnd, statusOf, stopping, toStatus } from "./stream-end.ts";
import { makeTokenGate, type TokenGate } from "./token-gate.ts";
import { makeTokenLife, type TokenLife } from "./token-life.ts";
import { checkNode, type ReviewToken } from "./token-review.ts";

export type NodeStreamDeps = {
  readonly registry: NodeRegistry;
  readonly review: ReviewToken;
  readonly intake: Intake;
  /** What agents are asked; default: nothing. */
  readonly tasks?: Pick<NodeTasks, "attach">;
  /** Who hears of preStop calls; default: nobody, and the budget on the node decides. */
  readonly holds?: Pick<NodeHolds, "attach">;
  /** Identity of this replica, e.g. its Pod's name. */
  readonly replica: string;
  readonly observer: StreamObserver;
  readonly clock: Clock;
  /** By which tokens expire. */
  readonly wallClock: Clock;
  readonly log: Logger;
};

/** The gRPC handler, and the way to end all its streams with UNAVAILABLE (new ones as well). */
export interface NodeStream {
  readonly service: NodeStreamServiceServer;
  /** Lets a call begin, before anything of it is read, when its token is accepted. */
  readonly gate: ServerInterceptor;
  /** A connection that streams may come over. */
  readonly connected: Silence["watch"];
  close(): void;
}

/** An agent sends its hello at once; whoever is silent for so long is none. */
const HELLO_WITHIN_MS = 10_000;

type NodeCall = ServerDuplexStream<ConnectRequest, ConnectResponse>;
type Say = (body: NonNullable<ConnectResponse["body"]>) => Promise<void>;
/** What ends a stream; only the first one counts. */
type Fail = (error: unknown) => void;

/** One stream, one session; see the protocol for the order of messages. */
export function makeNodeStream(deps: NodeStreamDeps): NodeStream {
  const live = new Set<Fail>();
  const gate = makeTokenGate(deps);
  const silence = makeSilence();
  let closing = false;

  const connect = (call: NodeCall): void => {
    const over = new AbortController();
    call.once("cancelled", () => over.abort(OVER)).once("close", () => over.abort(OVER));
    const fail: Fail = (error) => {
      if (over.signal.aborted) return;
      over.abort(OVER);
      const { retryAfterMs } = toStatus(error);
      const end = statusOf(error);
      const { code, details } = end;
      if (code === status.INTERNAL) deps.log.error({ err: error, peer: call.getPeer() }, "stream failed");
      else if (retryAfterMs !== undefined) deps.log.debug({ peer: call.getPeer(), retryAfterMs }, "stream is to come back");
      else deps.log.info({ peer: call.getPeer(), status: status[code], why: details }, "stream ended");
      // The one way in which a status reaches the client (toolchain.md §7); it ends our iterator as well.
      call.emit("error", Object.assign(new Error(details), end));
    };
    live.add(fail);
    if (closing) fail(stopping());
    void serve(call, { ...deps, gate, silence }, fail, over.signal)
      .then(() => over.signal.aborted || call.end(), fail)
      .finally(() => {
        over.abort(OVER);
        live.delete(fail);
      });
  };

  return {
    service: { connect },
    gate: gate.interceptor,
    connected: (link) => silence.watch(link),
    close() {
      closing = true;
      gate.close();
      for (const fail of live) fail(stopping());
    },
  };
}

type Gated = NodeStreamDeps & { readonly gate: Pick<TokenGate, "identityOf">; readonly silence: Pick<Silence, "of"> };

async function serve(call: NodeCall, deps: Gated, fail: Fail, over: AbortSignal): Promise<void> {
  const say: Say = async (body) => {
    if (!over.aborted && !call.write({ body })) await once(call, "drain", { signal: over });
  };
  const late = (): void => fail(new StreamEnd(status.DEADLINE_EXCEEDED, `no hello within ${HELLO_WITHIN_MS / 1_000} s of connecting`));
  const greeted = after(deps.clock, HELLO_WITHIN_MS, late);
  let session: NodeSession | undefined;
  let dialogue: ReturnType<typeof makeDialogue> | undefined;
  const leaveIntake = leavingOnce(deps.intake, call.getPeer());
  let findings: AgentStream | undefined;
  let holds: AgentHolds | undefined;
  try {
    // destroyOnReturn: false keeps the call writable after a throw, so that a status can still be sent.
    const requests: AsyncIterable<ConnectRequest> = call.iterator({ destroyOnReturn: false });
    for await (const { body } of requests) {
      if (body === undefined) continue; // from a newer agent
      deps.observer.onMessage(body.$case);
      if (dialogue !== undefined) {
        await dialogue.hear(body);
        if (body.$case === "snapshot" && !body.value.more) leaveIntake();
        continue;
      }
      if (body.$case !== "hello")
        throw new StreamEnd(status.FAILED_PRECONDITION, `first message was "${body.$case}": hello must come first`);
      greeted();
      const life = admit(body.value, call, deps, say);
      session = openSession(body.value, deps, { fail, onWanted: (because) => void dialogue?.wanted(because).catch(fail) }, call);
      life.run(over).catch(fail);
      await say({
        $case: "welcome",
        value: { protocolVersion: PROTOCOL_VERSION, replica: deps.replica, maxMessageBytes: MAX_MESSAGE_BYTES },
      });
      findings = deps.tasks?.attach(body.value.nodeName, (asking) => say(askingBody(asking)));
      holds = deps.holds?.attach(body.value.nodeName, (answers) => say(answersBody(answers)));
      dialogue = makeDialogue({ ...deps, session, nodeName: body.value.nodeName, life, say, findings, holds });
    }
  } finally {
    greeted();
    findings?.close();
    holds?.close();
    leaveIntake();
    if (session !== undefined) deps.observer.onStream("closed");
    session?.close();
  }
}

/** The place that its connection has later is that of another stream over it. */
function leavingOnce(intake: Pick<Intake, "leave">, peer: string): () => void {
  let hasLeft = false;
  return () => {
    if (!hasLeft) intake.leave(peer);
    hasLeft = true;
  };
}

/** Checks the hello against the token that came with the call. Throws what the agent shall be told. */
function admit(hello: Hello, call: NodeCall, deps: Gated, say: Say): TokenLife {
  const { nodeName, protocolVersion } = hello;
  if (protocolVersion !== PROTOCOL_VERSION)
    throw new StreamEnd(
      status.FAILED_PRECONDITION,
      `hello.protocol_version is ${protocolVersion}, this coordinator speaks ${PROTOCOL_VERSION}: run both in the same version`,
    );
  if (nodeName === "") throw new StreamEnd(status.FAILED_PRECONDITION, "hello.node_name is empty: set NODE_NAME from spec.nodeName");
  if (!isNodeName(nodeName))
    throw new StreamEnd(status.FAILED_PRECONDITION, "hello.node_name is no name of a Node: set NODE_NAME from spec.nodeName");
  const identity = deps.gate.identityOf(call.metadata);
  if (identity === undefined) throw new StreamEnd(status.UNAUTHENTICATED, "no token was accepted");
  checkNode(identity.node, nodeName);
  const { expiresAtMs } = identity;
  const ask = (atMs: number): void => void say({ $case: "tokenWanted", value: { expiresAt: new Date(atMs) } }).catch(() => undefined);
  return makeTokenLife(expiresAtMs, { nodeName, review: deps.review, clock: deps.wallClock, log: deps.log, ask });
}

type SessionEvents = { readonly fail: Fail; readonly onWanted: (because: string) => void };

function openSession({ nodeName, instanceId }: Hello, deps: Gated, { fail, onWanted }: SessionEvents, call: NodeCall): NodeSession {
  const callbacks = { onEnd: (why: SessionEnd): void => fail(endOf(why, nodeName)), onWanted };
  const session = deps.registry.open(nodeName, callbacks, deps.gate.identityOf(call.metadata)?.podUid);
  if (session === undefined)
    throw new StreamEnd(status.FAILED_PRECONDITION, `Node "${nodeName}" was deleted: nothing to report until it is registered again`);
  deps.silence.of(call.getPeer(), () => session.vanished());
  deps.observer.onStream("opened");
  deps.log.info({ node: nodeName, instanceId }, "agent connected");
  return session;
}

function endOf(why: SessionEnd, nodeName: string): StreamEnd {
  switch (why) {
    case "superseded":
      return new StreamEnd(status.ABORTED, `a newer stream of node "${nodeName}" took over`);
    case "node-deleted":
      return new StreamEnd(status.FAILED_PRECONDITION, `Node "${nodeName}" was deleted`);
    default:
      return why satisfies never;
  }
}
