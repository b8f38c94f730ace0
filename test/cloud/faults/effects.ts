import type { Clock } from "../../../common/clock.ts";
import type { Account } from "../model/account.ts";
import { CloudError, TransportFault } from "../model/errors.ts";
import type { WriteFaults } from "../runtime/call.ts";
import type { Random } from "../runtime/random.ts";
import { makeRateLimit } from "../runtime/rate-limit.ts";
import type { Faults, FaultyCall } from "./faults.ts";
import type { PastStates } from "./past-states.ts";
import type { ReadFault } from "./script.ts";

/** On an answer: how the HTTP server is to send it. No part of the JSON. */
export const SENT_AS: unique symbol = Symbol("sent as");
export type SentAs = { readonly [SENT_AS]?: "chunked" | "truncated" };

/** What the faults that met one call do to it, step by step. */
export type CallFaults = {
  /** For the journal, e.g. ["latency", "task-failed"]. */
  readonly kinds: readonly string[];
  readonly delayMs: number;
  /** On arrival. Throws the TransportFault of a connection or gateway that fails before the call is looked at. */
  cutOff(): void;
  /** After the delay. Throws the CloudError of a fault in place of an answer. */
  refuse(): void;
  /** The account as the action is to see it: with another writer's lock, or as it was some time ago. */
  account(): Account;
  readonly onWrite: WriteFaults;
  /** After the action. Throws TransportFault where the answer is lost. */
  answer<T extends object>(response: T): T & SentAs;
};

type Deps = {
  readonly account: Account;
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: Faults;
  readonly past: PastStates;
  readonly stopped: AbortSignal;
};

/** What another writer's lock says of its owner. */
const OTHER_WRITER = "(another writer)";

export function makeFaultEffects(deps: Deps): (call: FaultyCall) => CallFaults {
  const { account, clock, faults } = deps;
  const throttle = makeRateLimit();

  const stuck = async (holdMs: number | undefined): Promise<void> => {
    const cleared = faults.cleared;
    if (holdMs !== undefined) await clock.sleep(holdMs, cleared).catch(() => undefined);
    else if (!cleared.aborted) await new Promise((resolve) => cleared.addEventListener("abort", resolve, { once: true }));
  };

  const lock = (loadBalancerIds: readonly string[], holdMs: number): void => {
    const lockOfOther = { requestId: OTHER_WRITER, action: OTHER_WRITER, untilMs: clock.now() + holdMs };
    for (const id of loadBalancerIds) {
      const loadBalancer = account.loadBalancers.get(id);
      if (loadBalancer === undefined || loadBalancer.lock !== undefined) continue;
      loadBalancer.lock = lockOfOther;
      const release = (): void => {
        if (loadBalancer.lock === lockOfOther) loadBalancer.lock = undefined;
      };
      void clock.sleep(holdMs, deps.stopped).then(release, release);
    }
  };

  return (call) => {
    const met = faults.take(call);
    const first = <K extends ReadFault["kind"]>(kind: K) =>
      met.find((fault): fault is Extract<ReadFault, { kind: K }> => fault.kind === kind);
    const hold = first("task-stuck");
    return {
      kinds: met.map(({ kind }) => kind),
      delayMs: met.reduce((sum, fault) => sum + (fault.kind === "latency" ? fault.delay : 0), 0),
      cutOff: () => {
        const http = first("http");
        if (http !== undefined) throw new TransportFault(`HTTP ${http.status}`, http.status);
        if (first("reset") !== undefined) throw new TransportFault("ConnectionReset");
      },
      refuse: () => {
        const throttled = first("throttled");
        if (throttled !== undefined) throttle(`${call.service}.${call.action} ${call.caller}`, throttled.perSecond, clock.now());
        if (first("expired-credentials") !== undefined)
          throw new CloudError("AuthFailure.TokenFailure", "The token of the temporary credentials has expired.");
        const error = first("error");
        if (error !== undefined) throw new CloudError(error.code, error.message ?? "injected fault");
      },
      account: () => {
        const locked = first("locked");
        if (locked !== undefined) lock(call.loadBalancerIds, locked.hold);
        const stale = first("stale");
        return (stale && deps.past.at(clock.now() - stale.age)) ?? account;
      },
      onWrite: {
        failure: first("task-failed")?.message,
        stuck: hold && (() => stuck(hold.hold)),
        onTarget: onTarget(first("partial"), first("not-bound"), deps.random),
      },
      answer: (response) => {
        if (first("lost-response") !== undefined) throw new TransportFault("LostResponse");
        if (first("truncated") !== undefined) return { ...response, [SENT_AS]: "truncated" };
        return first("chunked") === undefined ? response : { ...response, [SENT_AS]: "chunked" };
      },
    };
  };
}

type Chosen = { readonly ips?: readonly string[] | undefined; readonly share?: number | undefined };

function onTarget(
  partial: (Chosen & { readonly message?: string | undefined }) | undefined,
  notBound: Chosen | undefined,
  random: Random,
): WriteFaults["onTarget"] {
  const isChosen = (chosen: Chosen | undefined, ip: string): boolean =>
    chosen !== undefined && (chosen.ips?.includes(ip) ?? random() < (chosen.share ?? 0));
  return (ip) => {
    if (isChosen(partial, ip)) return partial?.message ?? `target ${ip} could not be processed`;
    return isChosen(notBound, ip) ? () => undefined : undefined;
  };
}
