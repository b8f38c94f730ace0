/**
 * What an agent says next on one stream, and what it knows of the other end.
 * At most one snapshot or difference is under way; whatever changes meanwhile becomes one difference when it is acknowledged.
 */
import type { NodeFacts, PodVerdict } from "../../common/reachability.ts";
import { type Difference, differenceOf, type Report } from "./plan-report.ts";
import { afterHoldsStep, type HoldsReport, type HoldsSaid, type HoldsStep, holdsStep, NOTHING_SAID } from "./say-holds.ts";

type InFlight = { readonly kind: "snapshot" | "difference"; readonly sequence: bigint; readonly report: Report; readonly sentAtMs: number };

/** One stream, from after the hello. Times are milliseconds on the injected clock. */
export type Conversation = {
  readonly welcomed: boolean;
  /** When the hello was sent. */
  readonly startedAtMs: number;
  /** The last one used; 0 before the first. */
  readonly sequence: bigint;
  /** What the other end acknowledged last; undefined: only a snapshot helps. */
  readonly told: Report | undefined;
  readonly inFlight: InFlight | undefined;
  readonly tokenWanted: boolean;
  /** Since the last digest, or since the first acknowledgement. */
  readonly digestAtMs: number | undefined;
  /** Requests for a snapshot since the last acknowledgement. */
  readonly resends: number;
  readonly resentAtMs: number;
  /** By UID; nobody acknowledges them: a stream that lives has brought them. */
  readonly saidVerdicts: ReadonlyMap<string, PodVerdict>;
  /** The map of which all is said. */
  readonly saidAllOf: ReadonlyMap<string, PodVerdict> | undefined;
  readonly saidNode: NodeFacts | undefined;
  readonly saidHolds: HoldsSaid;
};

/** All in milliseconds, e.g. { ackTimeoutMs: 5_000, digestIntervalMs: 60_000 } */
export type ConversationLimits = { readonly ackTimeoutMs: number; readonly digestIntervalMs: number };

export type Step =
  | { readonly kind: "token" }
  | { readonly kind: "digest"; readonly sequence: bigint; readonly report: Report }
  | { readonly kind: "snapshot"; readonly sequence: bigint; readonly report: Report; readonly because: "first" | "unacknowledged" }
  | { readonly kind: "difference"; readonly sequence: bigint; readonly report: Report; readonly difference: Difference }
  | { readonly kind: "nodeFacts"; readonly facts: NodeFacts }
  | { readonly kind: "holds"; readonly said: HoldsStep; readonly of: HoldsReport }
  | { readonly kind: "verdicts"; readonly pods: readonly PodVerdict[]; readonly allOf: ReadonlyMap<string, PodVerdict> | undefined }
  | { readonly kind: "reconnect"; readonly because: "no welcome" | "snapshot not acknowledged" }
  /** undefined: until something is heard or changes. */
  | { readonly kind: "wait"; readonly untilMs: number | undefined };

/** What was heard, without the generated types. */
export type Heard =
  | { readonly kind: "welcome" }
  | { readonly kind: "ack"; readonly sequence: bigint }
  | { readonly kind: "resend" }
  | { readonly kind: "tokenWanted" };

/**
 * A coordinator that all agents reach at once applies snapshots slowly; so much longer than for a difference do we wait for a snapshot's
 * acknowledgement, or room to write, before the stream counts as dead.
 */
export const PATIENCE = 4;
/**
 * And so much longer for a welcome. A coordinator begins handshakes in the order of coming: in a storm who gives up has waited longest and
 * would be next, and comes again as the last; what was begun for it is lost. 5 000 agents are let in within half a minute. A coordinator that
 * is dead or frozen needs no patience of ours: keepalive finds it out once the handshake is done, and each replica has a link of its own.
 */
const WELCOME_PATIENCE = 12;
/** So many snapshots in a row may be asked for at once; further ones wait for the acknowledgement timeout, so that two ends that never agree stay quiet. */
const QUICK_RESENDS = 3;
/** Verdicts in one message: what comes after them does not wait for long. */
const MOST_VERDICTS = 200;

export const newConversation = (nowMs: number): Conversation => ({
  welcomed: false,
  startedAtMs: nowMs,
  sequence: 0n,
  told: undefined,
  inFlight: undefined,
  tokenWanted: false,
  digestAtMs: undefined,
  resends: 0,
  resentAtMs: nowMs,
  saidVerdicts: new Map(),
  saidAllOf: undefined,
  saidNode: undefined,
  saidHolds: NOTHING_SAID,
});

/** `latest` is undefined until the Pods were listed once: until then there is nothing that could be called a snapshot. */
export function nextStep(talk: Conversation, latest: Report | undefined, nowMs: number, limits: ConversationLimits): Step {
  const patienceMs = limits.ackTimeoutMs * PATIENCE;
  if (!talk.welcomed) {
    const untilMs = talk.startedAtMs + limits.ackTimeoutMs * WELCOME_PATIENCE;
    return nowMs < untilMs ? { kind: "wait", untilMs } : { kind: "reconnect", because: "no welcome" };
  }
  if (talk.tokenWanted) return { kind: "token" };
  const holds = latest?.holds; // a preStop call waits for it: before all else that was found out
  const said = holds && holdsStep(talk.saidHolds, holds, talk.sequence > 0n, nowMs);
  if (holds !== undefined && said !== undefined) return { kind: "holds", said, of: holds };
  const found = talk.sequence > 0n && latest !== undefined ? findings(talk, latest) : undefined; // about Pods that were told
  if (found !== undefined) return found;
  const sequence = talk.sequence + 1n;
  if (talk.inFlight !== undefined) {
    const isSnapshot = talk.inFlight.kind === "snapshot";
    const untilMs = talk.inFlight.sentAtMs + (isSnapshot ? patienceMs : limits.ackTimeoutMs);
    if (nowMs < untilMs) return { kind: "wait", untilMs };
    if (isSnapshot) return { kind: "reconnect", because: "snapshot not acknowledged" };
    return { kind: "snapshot", sequence, report: latest ?? talk.inFlight.report, because: "unacknowledged" };
  }
  if (latest === undefined) return { kind: "wait", untilMs: undefined };
  if (talk.told === undefined) {
    const quietUntilMs = talk.resends > QUICK_RESENDS ? talk.resentAtMs + limits.ackTimeoutMs : nowMs;
    if (nowMs < quietUntilMs) return { kind: "wait", untilMs: quietUntilMs };
    return { kind: "snapshot", sequence, report: latest, because: "first" };
  }
  // The digest first: it tells of what is acknowledged, and under constant change its turn would never come.
  const digestDueMs = (talk.digestAtMs ?? nowMs) + limits.digestIntervalMs;
  if (nowMs >= digestDueMs) return { kind: "digest", sequence: talk.sequence, report: talk.told };
  const difference = differenceOf(talk.told, latest);
  if (difference === undefined) return { kind: "wait", untilMs: digestDueMs };
  return { kind: "difference", sequence, report: latest, difference };
}

/** What was found out and not said yet. */
function findings({ saidAllOf, saidNode, saidVerdicts }: Conversation, { node, verdicts }: Report): Step | undefined {
  if (node !== undefined && node !== saidNode) return { kind: "nodeFacts", facts: node };
  if (verdicts === undefined || verdicts === saidAllOf) return undefined;
  const pods: PodVerdict[] = [];
  for (const [uid, verdict] of verdicts) {
    if (saidVerdicts.get(uid) === verdict) continue;
    if (pods.length === MOST_VERDICTS) return { kind: "verdicts", pods, allOf: undefined };
    pods.push(verdict);
  }
  return pods.length === 0 ? undefined : { kind: "verdicts", pods, allOf: verdicts };
}

/** The conversation after a step was written. */
export function afterSaying(talk: Conversation, step: Step, nowMs: number): Conversation {
  switch (step.kind) {
    case "token":
      return { ...talk, tokenWanted: false };
    case "digest":
      return { ...talk, digestAtMs: nowMs };
    case "snapshot":
    case "difference": {
      const { kind, sequence, report } = step;
      return { ...talk, sequence, told: undefined, inFlight: { kind, sequence, report, sentAtMs: nowMs } };
    }
    case "nodeFacts":
      return { ...talk, saidNode: step.facts };
    case "holds":
      return { ...talk, saidHolds: afterHoldsStep(talk.saidHolds, step.said, step.of) };
    case "verdicts": {
      const said = new Map([...talk.saidVerdicts, ...step.pods.map((pod) => [pod.uid, pod] as const)]);
      for (const uid of step.allOf === undefined ? [] : said.keys()) if (step.allOf?.has(uid) === false) said.delete(uid);
      return { ...talk, saidVerdicts: said, saidAllOf: step.allOf };
    }
    case "reconnect":
    case "wait":
      return talk;
    default:
      return step satisfies never;
  }
}

/** The conversation after something was heard. */
export function afterHearing(talk: Conversation, heard: Heard, nowMs: number): Conversation {
  switch (heard.kind) {
    case "welcome":
      return { ...talk, welcomed: true };
    case "ack":
      if (heard.sequence !== talk.inFlight?.sequence) return talk; // overtaken by a snapshot
      return { ...talk, told: talk.inFlight.report, inFlight: undefined, digestAtMs: talk.digestAtMs ?? nowMs, resends: 0 };
    case "resend": // whatever is under way was said to an end that no longer follows
      return { ...talk, told: undefined, inFlight: undefined, resends: talk.resends + 1, resentAtMs: nowMs };
    case "tokenWanted":
      return { ...talk, tokenWanted: true };
    default:
      return heard satisfies never;
  }
}
