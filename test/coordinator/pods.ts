import { AssertionError } from "node:assert/strict";
import { pino } from "pino";
import type { Clock } from "../../common/clock.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import type { Logger } from "../../common/log.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { StreamObserver } from "../../coordinator/nodes/node-session.ts";
import type { PodAnswer, Wanted } from "../../coordinator/nodes/pod-reader.ts";
import { aPod as anyPod } from "../builders.ts";
import { idle } from "../virtual-clock.ts";

/** A running Pod "demo/<uid>" of node "a", resourceVersion "10". */
export const aPod = (uid: string, over: Partial<PodFact> = {}): PodFact =>
  anyPod({ uid, name: uid, resourceVersion: "10", nodeName: "a", ips: ["10.244.0.7"], ...over });

/** Time moves only by `advance`, which wakes sleepers in order and lets what they started run. */
export function aFakeClock(startMs = 1_000_000): Clock & { advance(ms: number): Promise<void>; readonly pendingSleeps: number } {
  let nowMs = startMs;
  const sleepers = new Set<{ atMs: number; wake: () => void }>();
  return {
    now: () => nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const sleeper = { atMs: nowMs + ms, wake: resolve };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", () => sleepers.delete(sleeper) && reject(signal.reason), { once: true });
      }),
    get pendingSleeps() {
      return sleepers.size;
    },
    async advance(ms) {
      const endMs = nowMs + ms;
      for (;;) {
        await idle();
        const [next] = [...sleepers].sort((one, other) => one.atMs - other.atMs);
        if (next === undefined || next.atMs > endMs) break;
        nowMs = next.atMs;
        sleepers.delete(next);
        next.wake();
      }
      nowMs = endMs;
    },
  };
}

export const silentLog: Logger = pino({ level: "silent" });

/** Says nothing, and keeps what no call to anybody else can throw: the program itself is wrong. */
export const crashLog = (crashes: string[]): Logger =>
  pino({
    level: "warn",
    hooks: {
      logMethod: ([fields]: readonly unknown[]) => {
        const err = member(fields, "err");
        if (err instanceof Error && CRASHES.some((kind) => err instanceof kind)) crashes.push(err.stack ?? err.message);
      },
    },
  });
const CRASHES = [TypeError, RangeError, ReferenceError, AssertionError];

/** Writes each callback down as one line, e.g. "resend gap". */
export function aRecordingObserver(): StreamObserver & { readonly lines: string[]; onConnectionRefused(): void } {
  const lines: string[] = [];
  return {
    lines,
    onStream: (change) => void lines.push(`stream ${change}`),
    onMessage: (kind) => void lines.push(`message ${kind}`),
    onResend: (reason) => void lines.push(`resend ${reason}`),
    onConnectionRefused: () => void lines.push("connection refused"),
    onFallback: (node, change) => void lines.push(`fallback ${node} ${change}`),
    onRefused: (why) => void lines.push(`refused ${why}`),
  };
}

/** Every reported Pod matters, and the API server says of each what its agent says. */
export const believing = {
  asked: { known: true, selectorOf: () => ({}), follow: () => undefined },
  readPods: (onAnswer: (answer: PodAnswer) => void) => ({
    want: ({ reported }: Wanted) => onAnswer({ kind: "found", pod: aPod(reported.uid, reported), askedAtMs: 0 }),
    forget: () => undefined,
  }),
};
