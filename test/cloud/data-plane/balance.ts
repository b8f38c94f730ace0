import { createHash } from "node:crypto";
import type { TargetRecord } from "../model/account.ts";

type Weighted = Pick<TargetRecord, "weight" | "credit">;
type Addressed = Pick<TargetRecord, "ip" | "port" | "weight">;

/** WRR, smooth: in every run of `sum of weights` picks each target comes `weight` times, spread out. Keeps its state in `credit`. */
export function byWeight<Target extends Weighted>(targets: readonly Target[]): Target | undefined {
  let best: Target | undefined;
  let total = 0;
  for (const target of targets) {
    total += target.weight;
    target.credit += target.weight;
    if (best === undefined || target.credit > best.credit) best = target;
  }
  if (best !== undefined) best.credit -= total;
  return best;
}

/** LEAST_CONN: the fewest open connections per weight; those that are equal take turns by weight. */
export function byLoad<Target extends Weighted>(targets: readonly Target[], openOf: (target: Target) => number): Target | undefined {
  let lowest = Infinity;
  let lightest: Target[] = [];
  for (const target of targets) {
    const load = openOf(target) / target.weight;
    if (load < lowest) {
      lowest = load;
      lightest = [];
    }
    if (load === lowest) lightest.push(target);
  }
  return byWeight(lightest);
}

/**
 * IP_HASH, weighted: one client address keeps its target for as long as the set of targets stays, and only the clients of a target
 * that goes are moved. (Rendezvous hashing; the service's own hash is not published.)
 */
export function byAddress<Target extends Addressed>(targets: readonly Target[], clientAddress: string): Target | undefined {
  let best: Target | undefined;
  let bestScore = -Infinity;
  for (const target of targets) {
    const digest = createHash("md5").update(`${clientAddress} ${target.ip}:${target.port}`).digest();
    const evenly = (digest.readUInt32BE(0) + 0.5) / 2 ** 32; // in (0, 1): its logarithm is finite
    const score = target.weight / -Math.log(evenly);
    if (score > bestScore) [best, bestScore] = [target, score];
  }
  return best;
}
