import { status } from "@grpc/grpc-js";
import { backoffMs } from "../common/backoff.ts";
import type { Clock } from "../common/clock.ts";
import { makeLatch } from "../common/latch.ts";
import type { Logger } from "../common/log.ts";
import { type LinkObserver, type LinkState, type StreamDeps, StreamFault, speakOn } from "./coordinator-stream.ts";
import { makeCredentials } from "./credentials.ts";
import type { ConversationLimits } from "./domain/conversation.ts";
import type { Report } from "./domain/plan-report.ts";

export type LinkDeps = {
  /** E.g. "10.0.3.7:9443" */
  readonly address: string;
  readonly connection: StreamDeps["connection"];
  readonly hello: StreamDeps["hello"];
  readonly limits: ConversationLimits;
  /** The latest state of the node; undefined before the Pods were listed. */
  readonly latest: () => Report | undefined;
  readonly onAsked: StreamDeps["onAsked"];
  readonly onHoldAnswers?: StreamDeps["onHoldAnswers"];
  readonly observer: LinkObserver;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
  /** Default: of its own, kept until the CA bundle changes. Many agents in one process share theirs. */
  readonly credentials?: StreamDeps["credentials"];
};

/** The way to one coordinator. */
export interface CoordinatorLink {
  readonly state: LinkState;
  /** `latest` gives something new. */
  changed(): void;
  /** Connects again and again until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Quick, because a coordinator that restarts is back in seconds; at most 5 s, well within the 10 s of AGENT_GRACE_MS. */
const RECONNECT = { baseMs: 200, maxMs: 5_000 };
/**
 * Whom the coordinator did not serve within our patience (20 s, 60 s for the welcome) comes again the later the more often that happens: it
 * has more than it can do. Own choice; by then the coordinator watches our Pods itself.
 */
const UNSERVED = { baseMs: 1_000, maxMs: 30_000 };
/** Another agent of this node took the session over (a rollout with surge): as late as after many failures, or the two would take turns for ever. */
const SUPERSEDED_ATTEMPT = 10;

export function makeCoordinatorLink(deps: LinkDeps): CoordinatorLink {
  const { address, clock, log, observer } = deps;
  const random = deps.random ?? Math.random;
  const credentials = deps.credentials ?? makeCredentials();
  const latch = makeLatch(clock);
  let state: LinkState = "away";
  /** In a row, apart: whom a coordinator that was away long does not serve once, because it has just begun, comes again soon. */
  let failed = { unserved: 0, else: 0 };
  let toldFault: string | undefined;

  const setState = (next: LinkState): void => {
    if (next === "acknowledged" && state !== next) {
      log.info({ coordinator: address }, "coordinator acknowledged the snapshot");
      failed = { unserved: 0, else: 0 };
      toldFault = undefined;
    }
    state = next;
    observer.onState();
  };
  /** Once per row of equal failures. */
  const tell = (error: unknown, waitMs: number): void => {
    const code = error instanceof StreamFault ? status[error.code] : "UNKNOWN";
    const why = error instanceof Error ? error.message : String(error);
    observer.onStreamEnd(code);
    log[toldFault === why ? "debug" : "warn"](
      { coordinator: address, code, why, waitMs: Math.round(waitMs) },
      "stream to the coordinator ended",
    );
    toldFault = why;
  };

  return {
    get state() {
      return state;
    },
    changed: () => latch.set(),
    async run(signal) {
      while (!signal.aborted) {
        try {
          await speakOn({ ...deps, random, credentials, latch, onState: setState }, signal);
        } catch (error) {
          if (signal.aborted) break;
          const how = isUnserved(error) ? "unserved" : "else";
          const waitMs = waitAfter(error, failed[how], random);
          failed[how] += state === "acknowledged" ? 0 : 1;
          setState("away");
          tell(error, waitMs);
          await clock.sleep(waitMs, signal).catch(() => undefined);
        }
      }
      setState("away");
    },
  };
}

const codeOf = (error: unknown): status | undefined => (error instanceof StreamFault ? error.code : undefined);

function isUnserved(error: unknown): boolean {
  const code = codeOf(error);
  return code === status.DEADLINE_EXCEEDED || code === status.RESOURCE_EXHAUSTED;
}

/** `attempt` counts failures of this kind so far, from 0. */
function waitAfter(error: unknown, attempt: number, random: () => number): number {
  if (codeOf(error) === status.ABORTED) return backoffMs(SUPERSEDED_ATTEMPT, RECONNECT, random);
  return backoffMs(attempt, isUnserved(error) ? UNSERVED : RECONNECT, random);
}
