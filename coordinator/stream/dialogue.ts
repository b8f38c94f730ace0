import { yieldTurn } from "../../common/event-loop.ts";
import type { Logger } from "../../common/log.ts";
import {
  type ConnectRequest,
  type ConnectResponse,
  type Difference,
  type Digest,
  type Snapshot,
} from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { digestOf, evidenceOf } from "../../proto/wire.ts";
import { fromHeldPods, fromHoldProof } from "../../proto/wire-holds.ts";
import { fromNodeFacts, fromPodVerdict } from "../../proto/wire-reachability.ts";
import type { AgentHolds } from "../nodes/node-holds.ts";
import type { NodeSession, StreamObserver } from "../nodes/node-session.ts";
import type { AgentStream } from "../nodes/node-tasks.ts";
import type { TokenLife } from "./token-life.ts";
import { makeToldPods } from "./told-pods.ts";

export type DialogueDeps = {
  readonly session: NodeSession;
  readonly nodeName: string;
  readonly life: TokenLife;
  /** Resolves when there is room for the next message. */
  readonly say: (body: NonNullable<ConnectResponse["body"]>) => Promise<void>;
  /** What this agent found out of what it was asked; default: nobody asks. */
  readonly findings?: Pick<AgentStream, "verdicts" | "nodeFacts"> | undefined;
  /** What this agent says of its holds; default: nobody listens, and the budget on the node decides. */
  readonly holds?: Pick<AgentHolds, "held" | "proof"> | undefined;
  readonly observer: StreamObserver;
  readonly log: Logger;
};

export interface Dialogue {
  /** The agent has said this. */
  hear(body: NonNullable<ConnectRequest["body"]>): Promise<void>;
  /** What it has told is needed once more. */
  wanted(because: string): Promise<void>;
}

/**
 * What follows the hello: each snapshot and difference is applied and acknowledged, or answered once with `resend`; from then on nothing
 * but a snapshot counts. One message at a time.
 */
export function makeDialogue(deps: DialogueDeps): Dialogue {
  const { session, nodeName, say } = deps;
  let applied = 0n;
  /** Only a snapshot helps; `asked` once the agent knows. */
  let wanted: "asked" | "first" | undefined = "first";

  const resend = (kind: "gap" | "digest" | "doubt" | "heir", reason: string): Promise<void> => {
    wanted = "asked";
    deps.observer.onResend(kind);
    deps.log.warn({ node: nodeName, reason }, "asked the agent for a snapshot");
    return say({ $case: "resend", value: { reason } });
  };
  const settle = (sequence: bigint, outcome: "applied" | "doubted"): Promise<void> => {
    applied = sequence;
    if (outcome === "doubted") return resend("doubt", "more than half of the node's Pods are gone: please confirm");
    wanted = undefined;
    return say({ $case: "ack", value: { sequence } });
  };

  const pods = makeToldPods(nodeName);
  const onSnapshot = async (snapshot: Snapshot): Promise<void> => {
    const whole = pods.part(snapshot);
    if (whole !== undefined) await settle(snapshot.sequence, session.snapshot(whole));
  };

  const onDifference = async ({ sequence, changed, removed }: Difference): Promise<void> => {
    if (wanted === "asked") return; // sent before our resend arrived
    if (wanted === "first") return resend("gap", `difference ${sequence} came before any snapshot`);
    if (sequence !== applied + 1n) return resend("gap", `expected sequence ${applied + 1n}, got ${sequence}`);
    const reported = changed.map((report) => pods.factOf(report));
    const ended = removed.map((pod) => ({ uid: pod.uid, evidence: evidenceOf(pod) }));
    const outcome = session.difference(reported, ended);
    pods.check(session.told.size);
    await settle(sequence, outcome);
  };

  const onDigest = async ({ sequence, sha256 }: Digest): Promise<void> => {
    if (wanted !== undefined || sequence !== applied) return; // one of us is ahead; the next digest will tell
    const ours = digestOf(session.told.entries().map(([uid, resourceVersion]) => ({ uid, resourceVersion })));
    if (!ours.equals(sha256)) await resend("digest", `digests differ at sequence ${sequence}`);
  };

  const hear: Dialogue["hear"] = async (body) => {
    await yieldTurn("streams"); // thousands of agents may have spoken since the last turn of the event loop
    session.heard();
    switch (body.$case) {
      case "snapshot":
        return onSnapshot(body.value);
      case "difference":
        return onDifference(body.value);
      case "digest":
        return onDigest(body.value);
      case "token":
        return deps.life.offer(body.value.token);
      case "verdicts":
        return deps.findings?.verdicts(body.value.pods.map(fromPodVerdict));
      case "nodeFacts":
        return deps.findings?.nodeFacts(fromNodeFacts(body.value));
      case "heldPods":
        return deps.holds?.held(fromHeldPods(body.value));
      case "holdProof":
        return deps.holds?.proof(fromHoldProof(body.value));
      case "leaving":
        return session.leaving();
      case "hello":
        deps.log.warn({ node: nodeName }, "ignored a second hello");
        return undefined;
      default:
        return body satisfies never;
    }
  };
  return { hear, wanted: (because) => resend("heir", because) };
}
