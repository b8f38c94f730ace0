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
  const reviews = makeReviews(deps);
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
    metadata.remove("authorization"); // the call would keep it for as long as it lasts
    const token = /^Bearer +(\S+)$/i.exec(authorization.toString())?.[1] ?? "";
    if (!reviews.isRefused(token)) await enter(peer, gone); // who is refused waits for nothing
    try {
      const identity = await reviews.review(token, peer, gone.signal);
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
  const turns = makeTurns();
  const refused = new Map<string, { readonly error: TokenRefused; readonly untilMs: number }>();
  const remember = (key: string, error: TokenRefused): void => {
    refused.delete(key);
    refused.set(key, { error, untilMs: clock.now() + REFUSED_MS });
    for (const oldest of refused.keys()) {
      if (refused.size <= MOST_REFUSED) break;
      refused.delete(oldest);
    }
  };
  const refusalOf = (token: string): TokenRefused | undefined => {
    if (token.length > LONGEST_TOKEN) return new TokenRefused("unauthenticated", "token is too long to be one of a ServiceAccount");
    const known = refused.get(keyOf(token));
    return known !== undefined && known.untilMs > clock.now() ? known.error : undefined;
  };
  return {
    /** Nobody needs to be asked about it. */
    isRefused: (token: string): boolean => token === "" || refusalOf(token) !== undefined,
    review: async (token: string, peer: string, signal: AbortSignal): Promise<Identity> => {
      const refusal = refusalOf(token);
      if (refusal !== undefined) throw refusal;
      if (token === "") return await deps.review(token, undefined, signal);
      try {
        return await turns.take(addressOf(peer), signal, () => deps.review(token, undefined, signal));
      } catch (error) {
        if (error instanceof TokenRefused) remember(keyOf(token), error);
        throw error;
      }
    },
  };
}

const keyOf = (token: string): string => createHash("sha256").update(token).digest("base64");

const tooMany = (): StreamEnd => new StreamEnd(status.RESOURCE_EXHAUSTED, "too many tokens are being reviewed", COME_BACK_MS);

/** Of a token whose review waits. */
type Turn = { readonly run: () => void; readonly turnAway: () => void };

/** At most 32 at a time; who waits is served by turns of the addresses, so that thousands from one keep nobody else waiting. */
function makeTurns() {
  const line = makeLine<Turn>(MOST_WAITING, ({ turnAway }) => turnAway());
  let underWay = 0;
  const stand = (address: string, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const leave = (): void => {
        line.delete(address, turn);
        reject(signal.reason);
      };
      const settle = (end: () => void): void => {
        signal.removeEventListener("abort", leave);
        end();
      };
      const turn: Turn = { run: () => settle(resolve), turnAway: () => settle(() => reject(tooMany())) };
      if (line.add(address, turn)) signal.addEventListener("abort", leave, { once: true });
      else reject(tooMany());
    });
  return {
    take: async <T>(address: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
      signal.throwIfAborted();
      if (underWay >= MOST_REVIEWS) await stand(address, signal);
      underWay += 1;
      try {
        return await work();
      } finally {
        underWay -= 1;
        if (underWay < MOST_REVIEWS) line.next()?.run();
      }
    },
  };
}
