import type { Clock } from "../../common/clock.ts";
import { makeLatch } from "../../common/latch.ts";
import type { Logger } from "../../common/log.ts";
import { type ReviewToken, TokenRefused } from "./token-review.ts";

/** A fresh token is asked for at this share of the remaining life; the kubelet has renewed the agent's file by then (it does at 80 % as well). */
const ASK_AT = 0.8;
/** While the fresh token is still the old one, or the API server cannot be asked: how long until the next attempt. */
const RETRY_MS = 5_000;
/** The clock is looked at so often at least: one that is put right, or a machine that slept, ends no timer. The API server takes a token for as long after its expiry. */
const LOOK_MS = 60_000;

export type TokenLifeDeps = {
  readonly nodeName: string;
  readonly review: ReviewToken;
  /** The wall clock, by which tokens expire; it may jump. */
  readonly clock: Clock;
  readonly log: Logger;
  /** Tells the agent that a fresh token is wanted. */
  readonly ask: (expiresAtMs: number) => void;
};

/** The right of a stream to live: renewed by fresh tokens. */
export interface TokenLife {
  /** Takes a fresh token; it is reviewed by `run`. */
  offer(token: string): void;
  /** Rejects with TokenRefused when the token expired or a fresh one is refused; resolves when the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** `expiresAtMs` is that of the token that opened the stream. */
export function makeTokenLife(firstExpiryMs: number, deps: TokenLifeDeps): TokenLife {
  const { clock } = deps;
  let offered: string | undefined;
  const latch = makeLatch(clock);
  let expiresAtMs = firstExpiryMs;

  /** Returns when the next thing is due. */
  const step = async (askAtMs: number, signal: AbortSignal): Promise<number> => {
    const token = offered;
    if (token !== undefined) {
      try {
        ({ expiresAtMs } = await deps.review(token, deps.nodeName, signal));
        if (offered === token) offered = undefined;
        return Math.max(askAt(), clock.now() + RETRY_MS); // the same old token again must not make us ask faster and faster
      } catch (err) {
        if (err instanceof TokenRefused || signal.aborted) throw err;
        deps.log.warn({ err, node: deps.nodeName }, "fresh token not reviewed, trying again");
        await clock.sleep(Math.min(RETRY_MS, Math.max(expiresAtMs - clock.now(), 0)), signal);
        return askAtMs;
      }
    }
    if (clock.now() < askAtMs) return askAtMs;
    deps.ask(expiresAtMs);
    return clock.now() + RETRY_MS;
  };
  const askAt = (): number => clock.now() + (expiresAtMs - clock.now()) * ASK_AT;

  return {
    offer(token) {
      offered = token;
      latch.set();
    },
    async run(signal) {
      let dueAtMs = askAt();
      try {
        while (!signal.aborted) {
          if (clock.now() >= expiresAtMs)
            throw new TokenRefused("unauthenticated", `token expired at ${new Date(expiresAtMs).toISOString()} and no fresh one came`);
          if (offered === undefined) await latch.wait(Math.min(Math.min(dueAtMs, expiresAtMs) - clock.now(), LOOK_MS), signal);
          if (!signal.aborted) dueAtMs = await step(dueAtMs, signal);
        }
      } catch (err) {
        if (!signal.aborted) throw err;
      }
    },
  };
}
