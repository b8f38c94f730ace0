import type { Clock } from "../../../common/clock.ts";
import type { DataPlane } from "../data-plane/data-plane.ts";
import type { Journal } from "../journal/journal.ts";
import { type Place, type TargetRecord, targetKey } from "../model/account.ts";
import type { Health } from "./health.ts";

/** What a target is bound with. */
export type NewTarget = Pick<TargetRecord, "ip" | "port" | "weight" | "tag" | "owner">;

/** What can be done to the targets of a place. Takes effect at once: tasks call this when they are over. */
export interface TargetChanges {
  /** Binds, or leaves alone what is bound already (its weight by `reregisterUpdatesWeight`). */
  bind(place: Place, wanted: NewTarget): void;
  /** Unbinds; the target's connections end. */
  unbind(place: Place, target: TargetRecord): void;
  setWeight(place: Place, target: TargetRecord, weight: number): void;
}

type Ports = {
  readonly journal: Pick<Journal, "add">;
  readonly clock: Pick<Clock, "now">;
  readonly health: Pick<Health, "watch" | "forget">;
  readonly dataPlane: Pick<DataPlane, "cut">;
  readonly reregisterUpdatesWeight: boolean;
};

export function makeTargetChanges({ journal, clock, health, dataPlane, reregisterUpdatesWeight }: Ports): TargetChanges {
  const note = (place: Place, target: TargetRecord, change: "bound" | "unbound" | "weight"): void => {
    const { loadBalancerId, listenerId, locationId } = place;
    const { ip, port, weight } = target;
    journal.add({ kind: "target", change, loadBalancerId, listenerId, locationId, ip, port, weight });
  };

  const setWeight: TargetChanges["setWeight"] = (place, target, weight) => {
    if (target.weight === weight) return;
    target.weight = weight;
    note(place, target, "weight");
  };

  return {
    bind: (place, wanted) => {
      const key = targetKey(wanted.ip, wanted.port);
      const bound = place.targets.get(key);
      if (bound !== undefined) {
        if (reregisterUpdatesWeight) setWeight(place, bound, wanted.weight);
        return;
      }
      const target = newTarget(wanted, clock.now());
      place.targets.set(key, target);
      note(place, target, "bound");
      health.watch(place, target);
    },
    unbind: (place, target) => {
      if (!place.targets.delete(targetKey(target.ip, target.port))) return;
      health.forget(place, target);
      dataPlane.cut(place, target);
      note(place, target, "unbound");
    },
    setWeight,
  };
}

const newTarget = ({ ip, port, weight, tag, owner }: NewTarget, registeredMs: number): TargetRecord => ({
  ip,
  port,
  weight,
  tag,
  owner,
  registeredMs,
  health: "Unknown",
  streak: { ok: false, count: 0 },
  probing: undefined,
  pinned: undefined,
  credit: 0,
});
