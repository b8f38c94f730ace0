import type { Place, TargetRecord } from "../model/account.ts";

/**
 * Pure: the targets that get new connections: healthy or unchecked, weight above 0. If all are dead, all dead ones get them
 * ("all dead = all alive", clb-api.md §4.2); checking ones count as dead only when none was healthy for an interval, and never get any.
 */
export function servingTargets(
  place: Pick<Place, "targets" | "healthCheck" | "lastHealthyMs">,
  nowMs: number,
  allDeadAllAlive = true,
): TargetRecord[] {
  const serving: TargetRecord[] = [];
  const dead: TargetRecord[] = [];
  let someAlive = false;
  let someChecking = false;
  for (const target of place.targets.values()) {
    const alive = target.health === "Alive" || target.health === "Close";
    someAlive ||= alive;
    someChecking ||= target.health === "Unknown";
    if (target.weight > 0 && alive) serving.push(target);
    if (target.weight > 0 && target.health === "Dead") dead.push(target);
  }
  if (someAlive || !allDeadAllAlive) return serving;
  const healthyLately = nowMs - place.lastHealthyMs < place.healthCheck.IntervalTime * 1000;
  return someChecking && healthyLately ? [] : dead;
}
