import type { Call } from "../call.ts";

/**
 * What waits to be added goes before the drains once it has waited for so many of these: where Pods end all the time, each drain finds the
 * next one waiting, and new Pods would never be bound. Not earlier where writes are slow: a drain that comes one write late can cost
 * requests, for its Pod gets SIGTERM when its preStop sleep is over; what is added one write late costs time.
 */
const PATIENCE_DRAINS = 10;
/** What is added in so short a time takes turns with the drains: whoever sleeps before SIGTERM sleeps for whole seconds, and more than one. */
const QUICK_MS = 1_000;

type Lane = Call["lane"];

/** How the lanes of one load balancer stand, milliseconds: how long each has been waiting, how long its last write took; the last write's lane. */
export type LaneTimes = {
  readonly waitedMs: (lane: Lane) => number;
  readonly tookMs: (lane: Lane) => number;
  readonly last: Lane | undefined;
};

const adds = ({ lane }: Call): boolean => lane === "structure" || lane === "bind";

/** Pure: the calls of a plan in their order, or with listeners, rules and binds before the drains; conflicts stay first. */
export function inLaneOrder(calls: readonly Call[], { waitedMs, tookMs, last }: LaneTimes): readonly Call[] {
  const next = calls.find(({ lane }) => lane !== "conflict");
  const added = calls.find(adds);
  if (next?.lane !== "drain" || added === undefined) return calls;
  const isQuick = last === "drain" && tookMs(added.lane) <= QUICK_MS;
  if (!isQuick && waitedMs(added.lane) < PATIENCE_DRAINS * tookMs("drain")) return calls;
  const conflicts = calls.filter(({ lane }) => lane === "conflict");
  return [...conflicts, ...calls.filter(adds), ...calls.filter((call) => call.lane !== "conflict" && !adds(call))];
}

/**
 * Pure: the calls without binds of an address that a conflict still holds somewhere at this load balancer. A bind gives the address to its
 * new Pod; what the old one has left would then pass for the new one's, with a health that is not its own.
 */
export function afterConflicts(calls: readonly Call[]): readonly Call[] {
  const held = new Set(calls.flatMap((call) => (call.lane === "conflict" ? call.slots.map(({ ip }) => ip) : [])));
  if (held.size === 0) return calls;
  return calls.flatMap((call): Call[] => {
    if (!("targets" in call) || !call.targets.some(({ ip }) => held.has(ip))) return [call];
    const targets = call.targets.filter(({ ip }) => !held.has(ip));
    return targets.length === 0 ? [] : [{ ...call, targets }];
  });
}
