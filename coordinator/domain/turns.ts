import type { Call } from "./load-balancer.ts";

/**
 * So many drains in a row, then what waits to be added has a turn: where Pods end all the time, each drain finds the next one waiting, and
 * new Pods would never be bound. What ends in the meantime is drained in one call afterwards.
 */
const DRAINS_IN_A_ROW = 2;

/** Pure: the calls of a plan with listeners, rules and binds before the drains, where those have had their share; conflicts stay first. */
export function inTurn(calls: readonly Call[], drainsInARow: number): readonly Call[] {
  if (drainsInARow < DRAINS_IN_A_ROW) return calls;
  const adds = ({ lane }: Call): boolean => lane === "structure" || lane === "bind";
  const conflicts = calls.filter(({ lane }) => lane === "conflict");
  return [...conflicts, ...calls.filter(adds), ...calls.filter((call) => call.lane !== "conflict" && !adds(call))];
}
