import { createHash } from "node:crypto";
import { type Metadata, ServerInterceptingCall, type ServerInterceptor, status } from "@grpc/grpc-js";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { OVER } from "../../common/signals.ts";
import { NodeStreamServiceService } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import type { StreamObserver } from "../nodes/node-session.ts";
import type { Intake } from "./intake.ts";
import { makeLine } from "./line.ts";
import { addressOf } from "./peer.ts";
import { StreamEnd, statusOf, stopping } from "./stream-end.ts";
import { type Identity, type ReviewToken, TokenRefused } from "./token-review.ts";

export type TokenGateDeps = {
  readonly review: ReviewToken;
  readonly intake: Intake;
  readonly observer: StreamObserver;
  readonly clock: Clock;
  readonly log: Logger;
};

/** Nothing of a call is read before its token is accepted: a stranger costs its connection and its headers. */
export interface TokenGate {
  readonly interceptor: ServerInterceptor;
  /** Of a call that was let in. */
  identityOf(metadata: Metadata): Identity | undefined;
  /** Calls that wait for room end with UNAVAILABLE, and so does each that comes. */
  close(): void;
}

/** Reviews under way at a time, 3 ms each (kubernetes.md §4); the others wait, by turns of their addresses. Own choice. */
const MOST_REVIEWS = 32;
/** Of one address, and of all: an agent has one, and one more for each replica and during a rollout. What is above is told to come back. */
const MOST_WAITING = { each: 512, all: 8_192 };
const COME_BACK_MS = 1_000;
/** A token that was refused is not reviewed again for so long. */
const REFUSED_MS = 30_000;
const MOST_REFUSED = 5_000;
/** A projected token has about 1 kB. */
const LONGEST_TOKEN = 8_192;
/** Refusals are logged once in so long, with their number. */
const TELL_EVERY_MS = 10_000;

export function makeTokenGate(deps: TokenGateDeps): TokenGate {
  const { intake, observer, clock, log } = deps;
  const identities = new WeakMap<Metadata, Identity>();
  const review = makeReviews(deps);
  const inLine = new Set<AbortController>();
  let isClosed = false;
  const told = { atMs: Number.NEGATIVE_INFINITY, since: 0 };

  /** Resolves when there is room for that peer. */
  const enter = async (peer: string, gone: AbortController): Promise<void> => {
    if (isClosed) throw stopping();
    inLine.add(gone);
    const retryAfterMs = await intake.enter(peer, gone.signal).finally(() => inLine.delete(gone));
    if (retryAfterMs === undefined) return;
    observer.onStream("postponed");
    throw new StreamEnd(status.RESOURCE_EXHAUSTED, `too many agents come at once: come again in ${retryAfterMs} ms`, retryAfterMs);
  };
  const admit = async (metadata: Metadata, peer: string, gone: AbortController): Promise<void> => {
    const [authorization = ""] = metadata.get("authorization");
    const token = /^Bearer +(\S+)$/i.exec(authorization.toString())?.[1] ?? "";
    if (token !== "") await enter(peer, gone); // who has none is refused, it waits for nothing
    try {
      const identity = await review(token, peer, gone.signal);
      gone.signal.throwIfAborted();
      identities.set(metadata, identity);
      intake.admitted({ peer, agent: `${identity.node} ${identity.podUid}`, over: gone.signal });
    } catch (error) {
      intake.leave(peer);
      throw error;
    }
  };
  const tell = (peer: string, error: unknown): void => {
    if (error instanceof StreamEnd) return;
    if (error instanceof TokenRefused) observer.onStream("refused");
    told.since += 1;
    if (clock.now() - told.atMs < TELL_EVERY_MS) return;
    log.info({ peer, why: statusOf(error).details, refused: told.since }, "stream refused");
    told.atMs = clock.now();
    told.since = 0;
  };

  const interceptor: ServerInterceptor = (method, call) => {
    if (method.path !== NodeStreamServiceService.connect.path) return new ServerInterceptingCall(call);
    const peer = call.getPeer();
    const gone = new AbortController();
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, letIn) => {
            admit(metadata, peer, gone).then(
              () => letIn(metadata),
              (error: unknown) => {
                if (!gone.signal.aborted) tell(peer, error);
                call.sendStatus(statusOf(error));
              },
            );
          },
          onReceiveMessage: (message, onwards) => onwards(message),
          onReceiveHalfClose: (onwards) => onwards(),
          onCancel: () => gone.abort(OVER),
        }),
    });
  };
  const close = (): void => {
    isClosed = true;
    for (const gone of inLine) gone.abort(stopping());
  };
  return { interceptor, identityOf: (metadata) => identities.get(metadata), close };
}

/** Reviews by turns of the addresses; whom the API server refused is not asked about again for a while. */
function makeReviews(deps: TokenGateDeps) {
  const { clock } = deps;
  const reviews = makeTurns();
  const refused = new Map<string, { readonly error: TokenRefused; readonly untilMs: number }>();
  const remember = (key: string, error: TokenRefused): void => {
    refused.delete(key);
    refused.set(key, { error, untilMs: clock.now() + REFUSED_MS });
    for (const oldest of refused.keys()) {
      if (refused.size <= MOST_REFUSED) break;
      refused.delete(oldest);
    }
  };
  return async (token: string, peer: string, signal: AbortSignal): Promise<Identity> => {
    if (token.length > LONGEST_TOKEN) throw new TokenRefused("unauthenticated", "token is too long to be one of a ServiceAccount");
    const key = createHash("sha256").update(token).digest("base64");
    const known = refused.get(key);
    if (known !== undefined && known.untilMs > clock.now()) throw known.error;
    try {
      // Without a token nobody needs to be asked.
      if (token === "") return await deps.review(token, undefined, signal);
      return await reviews.take(addressOf(peer), () => deps.review(token, undefined, signal));
    } catch (error) {
      if (error instanceof TokenRefused && token !== "") remember(key, error);
      throw error;
    }
  };
}

/** At most 32 at a time; who waits is served by turns of the addresses, so that thousands from one keep nobody else waiting. */
function makeTurns() {
  const line = makeLine<() => void>(MOST_WAITING);
  let underWay = 0;
  const stand = (address: string): Promise<void> =>
    new Promise((run, reject) => {
      if (line.add(address, run)) return;
      reject(new StreamEnd(status.RESOURCE_EXHAUSTED, "too many tokens are being reviewed", COME_BACK_MS));
    });
  return {
    take: async <T>(address: string, work: () => Promise<T>): Promise<T> => {
      if (underWay >= MOST_REVIEWS) await stand(address);
      underWay += 1;
      try {
        return await work();
      } finally {
        underWay -= 1;
        if (underWay < MOST_REVIEWS) line.next()?.();
      }
    },
  };
}
