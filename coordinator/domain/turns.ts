import type { Call } from "./load-balancer.ts";

/**
 * What waits to be added goes before the drains once it has waited for so many writes: where Pods end all the time, each drain finds the
 * next one waiting, and new Pods would never be bound. Not earlier where writes are slow: a drain that comes one write late can cost
 * requests, for its Pod gets SIGTERM when its preStop sleep is over; what is added one write late costs time.
 */
const PATIENCE_WRITES = 10;
/**
 * Where writes are quick, drains and what is to be added take turns, as long as the drains are done within this time. Below the preStop
 * sleep of anybody who has one: sleeps are whole seconds, and the load balancer's own writes have to fit in as well.
 */
const DRAINED_WITHIN_MS = 2_000;

/** How the lanes of one load balancer stand, milliseconds: how long each kind has been waiting, how long one write takes, what the last one was. */
export type Turn = {
  readonly addWaitedMs: number;
  readonly drainWaitedMs: number;
  readonly writeMs: number;
  readonly last: Call["lane"] | undefined;
};

const adds = ({ lane }: Call): boolean => lane === "structure" || lane === "bind";

/** Pure: the calls of a plan in their order, or with listeners, rules and binds before the drains; conflicts stay first. */
export function inTurn(calls: readonly Call[], turn: Turn): readonly Call[] {
  const next = calls.find(({ lane }) => lane !== "conflict");
  if (next?.lane !== "drain" || !isTheirTurn(turn)) return calls;
  const conflicts = calls.filter(({ lane }) => lane === "conflict");
  return [...conflicts, ...calls.filter(adds), ...calls.filter((call) => call.lane !== "conflict" && !adds(call))];
}

/** Before the drains there would be one write more, and they take one of their own. */
const isTheirTurn = ({ addWaitedMs, drainWaitedMs, writeMs, last }: Turn): boolean =>
  addWaitedMs >= PATIENCE_WRITES * writeMs || (last === "drain" && drainWaitedMs + 2 * writeMs <= DRAINED_WITHIN_MS);

/**
 * Pure: the calls without binds of an address that a conflict still holds somewhere at this load balancer. A bind gives the address to its
 * new Pod; what the old one has left would then pass for the new one's, with a health that is not its own.
 */
export function afterConflicts(calls: readonly Call[]): readonly Call[] {
  const held = new Set(calls.flatMap((call) => (call.lane === "conflict" ? call.slots.map(({ ip }) => ip) : [])));
  if (held.size === 0) return calls;
  return calls.flatMap((call): Call[] => {
    if (call.lane !== "bind" || !call.targets.some(({ ip }) => held.has(ip))) return [call];
    const targets = call.targets.filter(({ ip }) => !held.has(ip));
    return targets.length === 0 ? [] : [{ ...call, targets }];
  });
}
