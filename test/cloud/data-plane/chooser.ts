import type { ListenerRecord, Place, RuleRecord, TargetRecord } from "../model/account.ts";
import { byAddress, byLoad, byWeight } from "./balance.ts";
import type { PassiveCheck } from "./passive-check.ts";
import { servingTargets } from "./serving.ts";
import { targetOfCookie } from "./session-cookie.ts";
import { makeSessions, type Sessions } from "./sessions.ts";
import type { TrafficLog } from "./traffic-log.ts";

/** A listener on layer 4, a rule on layer 7. */
export type BalancedPlace = ListenerRecord | RuleRecord;

/** Who asks: `cookie` is the Cookie header, `name` that of the session cookie; `tried` are backends that failed it already. */
export type Asking = {
  readonly address: string;
  readonly cookie?: { readonly header: string | undefined; readonly name: string };
  readonly tried?: ReadonlySet<TargetRecord>;
};

export type Choose = (place: BalancedPlace, asking: Asking, nowMs: number) => TargetRecord | undefined;

/**
 * One for the whole data plane. Health and weight first (also within a session: weight 0 gets nothing new), then what failed lately, then
 * the session, then the scheduler. Sessions exist with WRR only: by source address on layer 4, by cookie on layer 7. Source: clb-api.md §4.4.
 */
export function makeChooser(deps: {
  readonly traffic: TrafficLog;
  readonly passive: PassiveCheck<TargetRecord>;
  /** Whether dead backends get traffic while there is nothing but dead ones. */
  readonly allDeadAllAlive: boolean;
}): Choose {
  const sessions = new WeakMap<Place, Sessions<TargetRecord>>();

  const withSession = (place: BalancedPlace, targets: readonly TargetRecord[], asking: Asking, nowMs: number): TargetRecord | undefined => {
    if (place.locationId !== undefined) {
      const { header, name = "" } = asking.cookie ?? {};
      return targetOfCookie(targets, header, name) ?? byWeight(targets);
    }
    const known = sessions.get(place) ?? makeSessions<TargetRecord>();
    sessions.set(place, known);
    const before = known.find(asking.address, nowMs);
    const target = before !== undefined && targets.includes(before) ? before : byWeight(targets);
    if (target !== undefined) known.keep(asking.address, target, nowMs + place.sessionExpireTime * 1000);
    return target;
  };

  return (place, asking, nowMs) => {
    const { tried } = asking;
    const watched = place.protocol !== "TCP" && place.protocol !== "UDP";
    const serving = servingTargets(place, nowMs, deps.allDeadAllAlive);
    const fresh = tried === undefined || tried.size === 0 ? serving : serving.filter((target) => !tried.has(target));
    const targets = watched ? deps.passive.allowed(fresh, nowMs) : fresh;
    switch (place.scheduler) {
      case "WRR":
        return place.sessionExpireTime > 0 ? withSession(place, targets, asking, nowMs) : byWeight(targets);
      case "LEAST_CONN":
        return byLoad(targets, (target) => deps.traffic.openOf(place.listenerId, target));
      case "IP_HASH":
        return byAddress(targets, asking.address);
      default:
        return place.scheduler satisfies never;
    }
  };
}
