import { type ClbApiError, isLasting, isQuota, isRefusal, TASK_FAILED } from "../cloud/clb-error.ts";
import { CALL_LIMITS, type Call } from "../domain/call.ts";
import { createdRule } from "../domain/load-balancer.ts";
import { bindKey, type CallItem, callItems, emptiedBy, targetsOf, withItems } from "../domain/plan/call-items.ts";

/** What the cloud refused when it was alone in its call is left out for so long, twice as long each time, because one failure may pass. */
const REFUSED_MS = { first: 1_000, most: 30_000 } as const;
/** So many items of one lane that are refused for themselves are no exception any more: the lane gives way to the others after each. */
const MANY = 3;
const GIVE_WAY_MS = 1_000;

/** Left out until `untilMs` (milliseconds since the epoch); from then on it goes last. `message`: empty while nothing but a reckoning speaks against it. */
type Out = { readonly untilMs: number; readonly waitMs: number; readonly message: string };
/**
 * `suspects`: items that were refused together, so one of them is bad; `forQuota`: because there was no room for all of them.
 * `out` by item, `full` by what a quota counts. `trust`: how many items that were out go together, doubled each time it goes well.
 */
type Suspicion = {
  suspects: Set<string>;
  suspectedMs: number;
  forQuota: boolean;
  trust: number;
  readonly out: Map<string, Out>;
  readonly full: Map<string, Out>;
};

/**
 * One bad item must not block 499 good ones, nor the calls behind its own: a refused call is halved until the bad one is alone, which is
 * left out for a while. A quota that is met leaves out the whole place, until something was taken away or the wait is over.
 */
export class RefusedItems {
  /** By load balancer and lane. */
  readonly #suspicions = new Map<string, Map<Call["lane"], Suspicion>>();
  /** The listeners and rules that the cloud refused to create, and why; by load balancer and by what `createdBy` names. */
  readonly #notCreated = new Map<string, Map<string, string>>();
  readonly #onRefused: (loadBalancerId: string, call: Call, message: string) => void;

  /** `onRefused` is told of each call of one item that is refused. */
  constructor(onRefused: (loadBalancerId: string, call: Call, message: string) => void) {
    this.#onRefused = onRefused;
  }

  /** Why the cloud refused to bind this Pod to this slot, e.g. "lbl-1 10.0.3.7:8080"; undefined if it did not. */
  why(loadBalancerId: string, slot: string, podUid: string): string | undefined {
    const binds = this.#suspicions.get(loadBalancerId)?.get("bind");
    const [place = ""] = slot.split(" ");
    return binds?.out.get(bindKey(slot, podUid))?.message || binds?.full.get(targetsOf(place))?.message;
  }

  /** Why the cloud refused to create this listener (its name) or rule (its `ruleKey`); undefined if it did not. */
  whyNotCreated(loadBalancerId: string, what: string): string | undefined {
    return this.#notCreated.get(loadBalancerId)?.get(what);
  }

  /** The cloud has refused to bind this Pod to this slot again and again, for half a minute or longer. */
  keepsRefusing(loadBalancerId: string, slot: string, podUid: string): boolean {
    const binds = this.#suspicions.get(loadBalancerId)?.get("bind");
    const [place = ""] = slot.split(" ");
    return [binds?.out.get(bindKey(slot, podUid)), binds?.full.get(targetsOf(place))].some((out) => out?.waitMs === REFUSED_MS.most);
  }

  /** The calls of the plan that may be made, in their order, without what is left out and no larger than suspicion allows. */
  openCalls(loadBalancerId: string, calls: readonly Call[], nowMs: number): readonly Call[] {
    const lanes = this.#suspicions.get(loadBalancerId);
    if (lanes === undefined) return calls;
    for (const suspicion of lanes.values()) expire(suspicion, nowMs);
    this.#tidy(loadBalancerId);
    return calls.flatMap((call) => {
      const suspicion = lanes.get(call.lane);
      return suspicion === undefined ? [call] : narrowed(call, suspicion, nowMs);
    });
  }

  worked(loadBalancerId: string, call: Call, nowMs: number): void {
    for (const what of createdBy(call)) this.#notCreated.get(loadBalancerId)?.delete(what);
    const lanes = this.#suspicions.get(loadBalancerId);
    if (lanes === undefined) return;
    const emptied = emptiedBy(call);
    if (emptied.length > 0) for (const suspicion of lanes.values()) foundRoom(suspicion, new Set(emptied), nowMs);
    const suspicion = lanes.get(call.lane);
    if (suspicion !== undefined) acquit(suspicion, callItems(call), nowMs);
    this.#tidy(loadBalancerId);
  }

  /**
   * Only refusals by content count; the lock, throttling and lost answers say nothing about what was asked for. Returns how long the lane
   * has to give way now that what was refused is left out, milliseconds; undefined: the error may pass by itself, and would be met again.
   */
  failed(loadBalancerId: string, call: Call, error: ClbApiError, nowMs: number): number | undefined {
    const [alone, ...others] = callItems(call);
    if (alone === undefined || !isRefusal(error)) return undefined;
    const suspicion = this.#of(loadBalancerId, call.lane);
    suspicion.trust = 1;
    suspicion.forQuota = isQuota(error.call.code);
    suspicion.suspects = new Set(others.length === 0 ? [] : [alone, ...others].map(({ key }) => key));
    suspicion.suspectedMs = nowMs;
    const atOnceMs = isLasting(error) ? 0 : undefined;
    if (others.length > 0) return atOnceMs;
    const byQuota = suspicion.forQuota && alone.fills !== undefined;
    this.#noteNotCreated(loadBalancerId, call, error.message);
    const [outs, key] = byQuota ? [suspicion.full, alone.fills] : [suspicion.out, alone.key];
    const before = outs.get(key);
    const waitMs = before === undefined ? REFUSED_MS.first : Math.min(Math.max(before.waitMs * 2, REFUSED_MS.first), REFUSED_MS.most);
    outs.set(key, { untilMs: nowMs + waitMs, waitMs, message: error.message });
    // A task may fail once for reasons of its own, and a removal is refused where somebody else made it: what is there is read first.
    const mayPass = error.call.code === TASK_FAILED || (error.ambiguous && call.lane !== "bind");
    if (!mayPass || (before !== undefined && before.message !== "")) this.#onRefused(loadBalancerId, call, error.message);
    return atOnceMs === 0 && suspicion.out.size > MANY ? GIVE_WAY_MS : atOnceMs;
  }

  /** When the next item that is left out is due, milliseconds since the epoch. */
  nextMs(loadBalancerId: string, nowMs: number): number | undefined {
    const all = [...(this.#suspicions.get(loadBalancerId)?.values() ?? [])].flatMap(({ out, full }) => [...out.values(), ...full.values()]);
    const times = all.flatMap(({ untilMs }) => (untilMs > nowMs ? untilMs : []));
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Quotas were raised: who found no room may come at once. */
  quotasRaised(): void {
    for (const [id, lanes] of this.#suspicions) {
      for (const suspicion of lanes.values()) {
        suspicion.full.clear();
        if (suspicion.forQuota) suspicion.suspects.clear();
      }
      this.#tidy(id);
    }
  }

  /** The load balancer is gone, or not ours any more. */
  forget(loadBalancerId: string): void {
    this.#suspicions.delete(loadBalancerId);
    this.#notCreated.delete(loadBalancerId);
  }

  #noteNotCreated(loadBalancerId: string, call: Call, message: string): void {
    const known = this.#notCreated.get(loadBalancerId) ?? new Map<string, string>();
    for (const what of createdBy(call)) known.set(what, message);
    if (known.size > 0) this.#notCreated.set(loadBalancerId, known);
  }

  #of(id: string, lane: Call["lane"]): Suspicion {
    const lanes = this.#suspicions.get(id) ?? new Map<Call["lane"], Suspicion>();
    this.#suspicions.set(id, lanes);
    const fresh = { suspects: new Set<string>(), suspectedMs: 0, forQuota: false, trust: 1, out: new Map(), full: new Map() };
    const suspicion = lanes.get(lane) ?? fresh;
    lanes.set(lane, suspicion);
    return suspicion;
  }

  #tidy(id: string): void {
    const lanes = this.#suspicions.get(id);
    for (const [lane, { suspects, out, full }] of lanes ?? []) if (suspects.size + out.size + full.size === 0) lanes?.delete(lane);
    if (lanes?.size === 0) this.#suspicions.delete(id);
  }
}

/** Names of listeners, or keys of rules in their listeners. */
function createdBy(call: Call): readonly string[] {
  if (call.lane !== "structure" || "loadBalancer" in call || "redirects" in call) return [];
  return "create" in call
    ? call.create.listeners.map(({ name }) => name)
    : call.createRules.rules.map((rule) => createdRule(call.createRules.listenerId, rule));
}

/** What of the call may be made: half of the suspects in it, else what nothing speaks against, else what was out, little by little. */
function narrowed(call: Call, { suspects, out, full, trust }: Suspicion, nowMs: number): readonly Call[] {
  const items = callItems(call);
  const doubts = items.map(({ key, fills }) => [out.get(key), fills === undefined ? undefined : full.get(fills)]);
  const open = [...items.keys()].filter((at) => doubts[at]?.every((doubt) => doubt === undefined || doubt.untilMs <= nowMs));
  const suspected = open.filter((at) => suspects.has(items[at]?.key ?? ""));
  const blameless = open.filter((at) => doubts[at]?.every((doubt) => doubt === undefined));
  const chosen =
    suspected.length > 0 ? suspected.slice(0, Math.ceil(suspected.length / 2)) : blameless.length > 0 ? blameless : open.slice(0, trust);
  if (chosen.length === 0) return [];
  return [chosen.length === items.length ? call : withItems(call, chosen)];
}

/** The cloud has done it. What is left of a refused call is bad if it is the only one: it needs no call of its own yet, the others go first. */
function acquit(suspicion: Suspicion, items: readonly CallItem[], nowMs: number): void {
  const { suspects, out, full } = suspicion;
  if (items.some(({ key, fills = "" }) => out.has(key) || full.has(fills)))
    suspicion.trust = Math.min(suspicion.trust * 2, CALL_LIMITS.targets);
  const before = suspects.size;
  for (const { key, fills } of items) {
    out.delete(key);
    suspects.delete(key);
    if (fills !== undefined) full.delete(fills);
  }
  suspicion.suspectedMs = nowMs;
  if (suspects.size === before || suspects.size !== 1) return;
  for (const key of suspects) if (!out.has(key)) out.set(key, { untilMs: nowMs, waitMs: 0, message: "" });
  suspects.clear();
}

/** Who found no room there may come at once, all together; elsewhere one tries whether the quota is shared. */
function foundRoom(suspicion: Suspicion, emptied: ReadonlySet<string>, nowMs: number): void {
  for (const [what, out] of suspicion.full)
    if (emptied.has(what)) suspicion.full.delete(what);
    else suspicion.full.set(what, { ...out, untilMs: Math.min(out.untilMs, nowMs) });
  if (suspicion.forQuota) suspicion.suspects.clear();
}

/** What has long been due was not asked for again. */
function expire({ suspects, suspectedMs, out, full }: Suspicion, nowMs: number): void {
  for (const outs of [out, full]) for (const [key, { untilMs }] of outs) if (untilMs + REFUSED_MS.most <= nowMs) outs.delete(key);
  if (suspectedMs + REFUSED_MS.most <= nowMs) suspects.clear();
}
