import type { Clock } from "../common/clock.ts";
import type { Mirror } from "./cloud/mirror.ts";
import type { Awaited } from "./domain/health-pace.ts";
import { placesOf, slotOf } from "./domain/load-balancer.ts";
import type { Journal } from "./journal.ts";
import type { PodFacts } from "./ports.ts";

export type AwaitedDeps = {
  readonly mirror: Pick<Mirror, "read" | "health" | "boundAtMs">;
  readonly journal: Pick<Journal, "podOf">;
  readonly facts: Pick<PodFacts, "pods">;
  readonly clock: Clock;
  /** UIDs of Pods whose gates are still closed. */
  readonly waitingForGate: ReadonlySet<string>;
};

/** A target that has not become healthy for this long is waited for only by its Pod's gate. */
const PATIENCE_MS = 60_000;

/** Who waits for health at this load balancer: targets that are young, or whose Pod's gate is still closed. */
export function awaitedAt({ mirror, journal, facts, clock, waitingForGate }: AwaitedDeps, id: string): Awaited[] {
  const now = clock.now();
  const awaited: Awaited[] = [];
  for (const place of placesOf(mirror.read(id) ?? { listeners: [] })) {
    const { enabled, intervalSeconds, healthyCount } = place.healthCheck;
    if (!enabled) continue;
    for (const target of place.targets) {
      const slot = slotOf(place, target);
      if (target.weight === 0 || mirror.health(id, slot)?.state === "Alive") continue;
      const podUid = journal.podOf(id, target.ip);
      if (podUid === undefined || facts.pods.get(podUid) === undefined) continue;
      const boundAtMs = mirror.boundAtMs(id, slot) ?? now;
      const isYoung = now - boundAtMs < PATIENCE_MS;
      if (isYoung || waitingForGate.has(podUid)) awaited.push({ boundAtMs, intervalSeconds, healthyCount });
    }
  }
  return awaited;
}
