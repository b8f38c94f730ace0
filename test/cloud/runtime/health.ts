import type { Clock } from "../../../common/clock.ts";
import { OVER } from "../../../common/signals.ts";
import type { Journal } from "../journal/journal.ts";
import { type HealthSettings, type HealthStatus, isLayer7, type Place, type TargetRecord } from "../model/account.ts";
import { makeNetworkProbe, type Probe } from "./probe.ts";
import type { Random } from "./random.ts";

/** Defaults of a check that is not given or given in part. Source: clb-api.md §4.3. */
export const DEFAULT_CHECK: HealthSettings = {
  HealthSwitch: 1,
  TimeOut: 2,
  IntervalTime: 5,
  HealthNum: 3,
  UnHealthNum: 3,
  CheckType: "TCP",
  CheckPort: -1,
};

export interface Health {
  /** Begins to probe a target that was just bound: Unknown, or Close where checks are off. */
  watch(place: Place, target: TargetRecord): void;
  forget(place: Place, target: TargetRecord): void;
  /** Takes over a changed check: switching it on or off begins anew, other changes count from the next probe on. */
  reconfigure(place: Place, before: HealthSettings): void;
  /** Fixes a target's state whatever the probes say, until it is given as `undefined`. */
  pin(place: Place, target: TargetRecord, status: HealthStatus | undefined): void;
}

type Deps = {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly random: Random;
  /** Default: asks over the network. */
  readonly probe?: Probe | undefined;
  readonly mode: "probe" | "scripted";
  /** Where the service's probes of this place come from. */
  readonly sourceOf?: (place: Place) => string | undefined;
};

/**
 * One loop per target: first probe after a random share of the interval, then one per interval, whatever the weight. On layer 4 the
 * interval runs from probe to probe, on layer 7 from an answer to the next probe. Source: clb-api.md §4.2.
 */
export function makeHealth(deps: Deps): Health {
  const { clock, journal, probe = makeNetworkProbe() } = deps;

  const set = (place: Place, target: TargetRecord, to: HealthStatus): void => {
    const { loadBalancerId, listenerId, locationId } = place;
    const from = target.health;
    if (from === to) return;
    if (from === "Alive") place.lastHealthyMs = clock.now();
    target.health = to;
    journal.add({ kind: "health", loadBalancerId, listenerId, locationId, ip: target.ip, port: target.port, from, to });
  };

  const probeOnce = async (place: Place, target: TargetRecord, signal: AbortSignal): Promise<boolean> => {
    const check = place.healthCheck;
    const over = new AbortController();
    const onGone = (): void => over.abort(OVER);
    signal.addEventListener("abort", onGone, { once: true });
    const answered = new AbortController();
    // The timeout goes through the injected clock, so that a scaled run scales it too.
    void clock.sleep(check.TimeOut * 1000, answered.signal).then(onGone, () => undefined);
    const port = check.CheckPort > 0 ? check.CheckPort : target.port;
    const asked = { protocol: place.protocol, ip: target.ip, port, check, source: deps.sourceOf?.(place) };
    const alive = await probe(asked, over.signal);
    signal.removeEventListener("abort", onGone);
    answered.abort(OVER);
    return alive;
  };

  const loop = async (place: Place, target: TargetRecord, signal: AbortSignal): Promise<void> => {
    await clock.sleep(deps.random() * place.healthCheck.IntervalTime * 1000, signal);
    while (!signal.aborted) {
      const fromMs = clock.now();
      const ok = await probeOnce(place, target, signal);
      if (signal.aborted) return;
      target.streak = nextStreak(target.streak, ok);
      const next = afterProbe(target.health, target.streak, place.healthCheck);
      if (target.pinned === undefined) set(place, target, next);
      const passedMs = isLayer7(place.protocol) ? 0 : clock.now() - fromMs;
      await clock.sleep(Math.max(0, place.healthCheck.IntervalTime * 1000 - passedMs), signal);
    }
  };

  const begin = (place: Place, target: TargetRecord): void => {
    target.probing?.abort();
    target.probing = undefined;
    target.streak = { ok: false, count: 0 };
    if (target.pinned !== undefined) return;
    set(place, target, place.healthCheck.HealthSwitch === 0 ? "Close" : "Unknown");
    if (place.healthCheck.HealthSwitch === 0 || deps.mode === "scripted") return;
    target.probing = new AbortController();
    loop(place, target, target.probing.signal).catch(() => undefined); // rejects only when unbound or stopped
  };

  return {
    watch: begin,
    forget: (place, target) => {
      target.probing?.abort();
      if (target.health === "Alive") place.lastHealthyMs = clock.now();
    },
    reconfigure: (place, before) => {
      if (place.healthCheck.HealthSwitch === before.HealthSwitch) return;
      for (const target of place.targets.values()) begin(place, target);
    },
    pin: (place, target, status) => {
      target.pinned = status;
      if (status === undefined) begin(place, target);
      else set(place, target, status);
    },
  };
}

const nextStreak = (streak: TargetRecord["streak"], ok: boolean): TargetRecord["streak"] => ({
  ok,
  count: streak.ok === ok ? streak.count + 1 : 1,
});

/** Pure: the state after a probe. `HealthNum` successes or `UnHealthNum` failures in a row change it. */
function afterProbe(now: HealthStatus, streak: TargetRecord["streak"], check: HealthSettings): HealthStatus {
  if (streak.ok && streak.count >= check.HealthNum) return "Alive";
  if (!streak.ok && streak.count >= check.UnHealthNum) return "Dead";
  return now;
}
