import { once } from "node:events";
import { Metadata, type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { Logger } from "../../common/log.ts";
import { eitherSignal, OVER } from "../../common/signals.ts";
import type { ConnectRequest, ConnectResponse, Hello, NodeStreamServiceServer } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { PROTOCOL_VERSION } from "../../proto/wire.ts";
import { toPodTask, toSecurityGroup } from "../../proto/wire-reachability.ts";
import type { NodeRegistry } from "../nodes/node-registry.ts";
import type { NodeSession, SessionEnd, StreamObserver } from "../nodes/node-session.ts";
import type { AgentStream, Asking, NodeTasks } from "../nodes/node-tasks.ts";
import { isNodeName } from "../nodes/report-fault.ts";
import type { Admission } from "./admission.ts";
import { makeDialogue } from "./dialogue.ts";
import { makeTokenLife, type TokenLife } from "./token-life.ts";
import { type ReviewToken, TokenRefused } from "./token-review.ts";

export type NodeStreamDeps = {
  readonly registry: NodeRegistry;
  readonly review: ReviewToken;
  readonly admission: Admission;
  /** What agents are asked; default: nothing. */
  readonly tasks?: Pick<NodeTasks, "attach">;
  /** Identity of this replica, e.g. its Pod's name. */
  readonly replica: string;
  readonly observer: StreamObserver;
  readonly clock: Clock;
  readonly log: Logger;
};

/** The gRPC handler, and the way to end all its streams with UNAVAILABLE (new ones as well). */
export interface NodeStream {
  readonly service: NodeStreamServiceServer;
  close(): void;
}

/** An agent sends its hello at once; whoever is silent for so long is none. */
const HELLO_WITHIN_MS = 10_000;

type NodeCall = ServerDuplexStream<ConnectRequest, ConnectResponse>;
type Say = (body: NonNullable<ConnectResponse["body"]>) => Promise<void>;
/** What ends a stream; only the first one counts. */
type Fail = (error: unknown) => void;

/** An end that the agent is told as this gRPC status. */
class StreamEnd extends Error {
  override readonly name = "StreamEnd";
  readonly code: status;
  /** How long the agent is to wait before it comes again, milliseconds; undefined: as it likes. */
  readonly retryAfterMs: number | undefined;

  constructor(code: status, message: string, retryAfterMs?: number) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** One stream, one session; see the protocol for the order of messages. */
export function makeNodeStream(deps: NodeStreamDeps): NodeStream {
  const live = new Set<Fail>();
  let closing = false;

  const connect = (call: NodeCall): void => {
    const over = new AbortController();
    call.once("cancelled", () => over.abort(OVER)).once("close", () => over.abort(OVER));
    const fail: Fail = (error) => {
      if (over.signal.aborted) return;
      over.abort(OVER);
      const { code, message, retryAfterMs } = toStatus(error);
      if (code === status.INTERNAL) deps.log.error({ err: error, peer: call.getPeer() }, "stream failed");
      else if (retryAfterMs !== undefined) deps.log.debug({ peer: call.getPeer(), retryAfterMs }, "stream is to come back");
      else deps.log.info({ peer: call.getPeer(), status: status[code], why: message }, "stream ended");
      // The one way in which a status reaches the client (toolchain.md §7); it ends our iterator as well.
      call.emit("error", Object.assign(new Error(message), { code, details: message, metadata: pushbackOf(retryAfterMs) }));
    };
    live.add(fail);
    if (closing) fail(new StreamEnd(status.UNAVAILABLE, "this coordinator is stopping: use the other replica"));
    void serve(call, deps, fail, over.signal)
      .then(() => over.signal.aborted || call.end(), fail)
      .finally(() => {
        over.abort(OVER);
        live.delete(fail);
      });
  };

  return {
    service: { connect },
    close() {
      closing = true;
      for (const fail of live) fail(new StreamEnd(status.UNAVAILABLE, "this coordinator is stopping: use the other replica"));
    },
  };
}

async function serve(call: NodeCall, deps: NodeStreamDeps, fail: Fail, over: AbortSignal): Promise<void> {
  const say: Say = async (body) => {
    if (!over.aborted && !call.write({ body })) await once(call, "drain", { signal: over });
  };
  const greeted = new AbortController();
  const late = (): void => fail(new StreamEnd(status.DEADLINE_EXCEEDED, `no hello within ${HELLO_WITHIN_MS / 1_000} s of connecting`));
  deps.clock.sleep(HELLO_WITHIN_MS, eitherSignal(greeted.signal, over)).then(late, () => undefined);
  let session: NodeSession | undefined;
  let dialogue: ReturnType<typeof makeDialogue> | undefined;
  const peer = call.getPeer();
  let findings: AgentStream | undefined;
  try {
    // destroyOnReturn: false keeps the call writable after a throw, so that a status can still be sent.
    const requests: AsyncIterable<ConnectRequest> = call.iterator({ destroyOnReturn: false });
    for await (const { body } of requests) {
      if (body === undefined) continue; // from a newer agent
      deps.observer.onMessage(body.$case);
      if (dialogue !== undefined) {
        await dialogue(body);
        if (body.$case === "snapshot") deps.admission.leave(peer);
        continue;
      }
      if (body.$case !== "hello")
        throw new StreamEnd(status.FAILED_PRECONDITION, `first message was "${body.$case}": hello must come first`);
      greeted.abort(OVER);
      enter(peer, deps);
      const life = await admit(body.value, call, deps, say, over);
      if (over.aborted) return;
      session = openSession(body.value, deps, fail);
      life.run(over).catch(fail);
      await say({ $case: "welcome", value: { protocolVersion: PROTOCOL_VERSION, replica: deps.replica } });
      findings = deps.tasks?.attach(body.value.nodeName, (asking) => say(askingBody(asking)));
      dialogue = makeDialogue({ session, nodeName: body.value.nodeName, life, say, findings, ...deps });
    }
  } finally {
    greeted.abort(OVER);
    findings?.close();
    deps.admission.leave(peer);
    if (session !== undefined) deps.observer.onStream("closed");
    session?.close();
  }
}

/** Throws what an agent is told when too many come at once. */
function enter(peer: string, { admission, observer }: NodeStreamDeps): void {
  const retryAfterMs = admission.enter(peer);
  if (retryAfterMs === undefined) return;
  observer.onStream("postponed");
  throw new StreamEnd(status.RESOURCE_EXHAUSTED, `too many agents come at once: come again in ${retryAfterMs} ms`, retryAfterMs);
}

function askingBody(asking: Asking): NonNullable<ConnectResponse["body"]> {
  if (asking.kind === "group") return { $case: "securityGroup", value: toSecurityGroup(asking.group) };
  return { $case: "tasks", value: { complete: asking.complete, pods: asking.pods.map(toPodTask), removed: [...asking.removed] } };
}

/** Checks the hello and the token that came with the call. Throws what the agent shall be told. */
async function admit(hello: Hello, call: NodeCall, deps: NodeStreamDeps, say: Say, over: AbortSignal): Promise<TokenLife> {
  const { nodeName, protocolVersion } = hello;
  if (protocolVersion !== PROTOCOL_VERSION)
    throw new StreamEnd(
      status.FAILED_PRECONDITION,
      `hello.protocol_version is ${protocolVersion}, this coordinator speaks ${PROTOCOL_VERSION}: run both in the same version`,
    );
  if (nodeName === "") throw new StreamEnd(status.FAILED_PRECONDITION, "hello.node_name is empty: set NODE_NAME from spec.nodeName");
  if (!isNodeName(nodeName))
    throw new StreamEnd(status.FAILED_PRECONDITION, "hello.node_name is no name of a Node: set NODE_NAME from spec.nodeName");
  const [authorization = ""] = call.metadata.get("authorization");
  const token = /^Bearer +(\S+)$/i.exec(authorization.toString())?.[1] ?? "";
  const { expiresAtMs } = await deps.review(token, nodeName, over);
  const ask = (atMs: number): void => void say({ $case: "tokenWanted", value: { expiresAt: new Date(atMs) } }).catch(() => undefined);
  return makeTokenLife(expiresAtMs, { nodeName, review: deps.review, clock: deps.clock, log: deps.log, ask });
}

function openSession({ nodeName, instanceId }: Hello, deps: NodeStreamDeps, fail: Fail): NodeSession {
  const session = deps.registry.open(nodeName, (why) => fail(endOf(why, nodeName)));
  if (session === undefined)
    throw new StreamEnd(status.FAILED_PRECONDITION, `Node "${nodeName}" was deleted: nothing to report until it is registered again`);
  deps.observer.onStream("opened");
  deps.log.info({ node: nodeName, instanceId }, "agent connected");
  return session;
}

/** What gRPC clients understand as "not before". Source: gRPC's retry design (gRFC A6), "pushback". */
function pushbackOf(retryAfterMs: number | undefined): Metadata {
  const metadata = new Metadata();
  if (retryAfterMs !== undefined) metadata.set("grpc-retry-pushback-ms", String(retryAfterMs));
  return metadata;
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

function toStatus(error: unknown): { readonly code: status; readonly message: string; readonly retryAfterMs?: number | undefined } {
  if (error instanceof StreamEnd) return error;
  if (error instanceof TokenRefused)
    return { code: error.kind === "forbidden" ? status.PERMISSION_DENIED : status.UNAUTHENTICATED, message: error.message };
  if (error instanceof KubeApiError) return { code: status.UNAVAILABLE, message: `token cannot be reviewed now: ${error.message}` };
  return { code: status.INTERNAL, message: error instanceof Error ? error.message : String(error) };
}
