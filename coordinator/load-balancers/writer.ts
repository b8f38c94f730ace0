import type { Clock } from "../../common/clock.ts";
import { withDeadline } from "../../common/deadline.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { Logger } from "../../common/log.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError, isQuota, PARTIAL_FAILURE } from "../cloud/clb-error.ts";
import type { FailedListeners } from "../cloud/clb-writes.ts";
import type { Call } from "../domain/call.ts";
import { isRaise, itemsOf } from "../domain/call.ts";
import type { Listener } from "../domain/load-balancer.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Mirror } from "../state/mirror.ts";
import { fewerSettings, mayBeSetting, mayPass } from "./optional-settings.ts";
import { RecentWrites } from "./recent-writes.ts";
import { UnconfirmedUnbinds } from "./unconfirmed-unbinds.ts";

/** Drains wait as long as a bind waits for its claim, so it is given up sooner than other calls of the API server. */
const CLAIM_MS = 3_000;

export type WriterDeps = {
  readonly api: ClbApi;
  readonly mirror: Mirror;
  readonly addressClaims: AddressClaims;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of a listener that was created without settings (e.g. "scheduler LEAST_CONN"), which the cloud refused. */
  readonly onLeftOut?: (loadBalancerId: string, listenerName: string, settings: readonly string[], refusal: ClbApiError) => void;
  readonly onWrite?: (lane: Call["lane"], items: number) => void;
};

/** Makes calls to load balancers, one at a time for each; folds the result into the mirror or marks it stale. */
export class Writer {
  readonly #deps: WriterDeps;
  readonly #running = new Map<string, Call>();

  /** Additions in a row that the cloud refused for a quota, by load balancer. */
  readonly #overQuota = new Map<string, number>();
  readonly #weightsLast = new Set<string>();
  readonly #unconfirmedUnbinds: UnconfirmedUnbinds;
  readonly #recent = new RecentWrites();
  /** Listeners that we have asked the cloud to delete, by load balancer; their ids. */
  readonly #deleted = new Map<string, Set<string>>();

  constructor(deps: WriterDeps) {
    this.#deps = deps;
    this.#unconfirmedUnbinds = new UnconfirmedUnbinds(deps.addressClaims);
  }

  /** The call that runs at this load balancer now. */
  running(loadBalancerId: string): Call | undefined {
    return this.#running.get(loadBalancerId);
  }

  /** How many additions in a row were refused for a quota; 0: there is room as far as we know. */
  overQuota(loadBalancerId: string): number {
    return this.#overQuota.get(loadBalancerId) ?? 0;
  }

  /** The last write was one of weights alone, so that whoever waits to be bound comes first now. */
  weightsLast(loadBalancerId: string): boolean {
    return this.#weightsLast.has(loadBalancerId);
  }

  /** The load balancer is gone, or not ours any more. */
  forget(loadBalancerId: string): void {
    this.#weightsLast.delete(loadBalancerId);
    this.#overQuota.delete(loadBalancerId);
    this.#unconfirmedUnbinds.forget(loadBalancerId);
    this.#recent.forget(loadBalancerId);
    this.#deleted.delete(loadBalancerId);
  }

  /** We have asked for its deletion, whatever was answered. */
  hasDeleted(loadBalancerId: string, listenerId: string): boolean {
    return this.#deleted.get(loadBalancerId)?.has(listenerId) === true;
  }

  /** The load balancer was just read: addresses of targets that were unbound and are gone by that read are forgotten. */
  confirm(loadBalancerId: string, read: readonly Listener[]): void {
    const actual = this.#deps.mirror.read(loadBalancerId);
    if (actual !== undefined) this.#unconfirmedUnbinds.confirm({ ...actual, listeners: read });
  }

  /** What a read says, with what we wrote so shortly before that it may not show it. */
  believed(loadBalancerId: string, read: readonly Listener[]): readonly Listener[] {
    return this.#recent.over(loadBalancerId, read, this.#deps.clock.now());
  }

  /** When to read again because the last read contradicted what we wrote; milliseconds since the epoch. */
  rereadAtMs(loadBalancerId: string): number | undefined {
    return this.#recent.rereadAtMs(loadBalancerId);
  }

  /** What was written here and had ended well may not be so: read it before the next decision, and believe what the read says. */
  doubt(loadBalancerId: string, because: string): void {
    this.#deps.mirror.markStale(loadBalancerId, because);
    this.#recent.forget(loadBalancerId);
  }

  rereadFailed(loadBalancerId: string): void {
    this.#recent.rereadFailed(loadBalancerId, this.#deps.clock.now());
  }

  /** Claims each address (key) for the Pod (value: UID) that it is bound for. Rejects with KubeApiError, at the latest after a few seconds. */
  async claim(loadBalancerId: string, claims: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> {
    const { addressClaims, clock } = this.#deps;
    const late = (): Error =>
      new KubeApiError(`claim of ${claims.size} addresses for ${loadBalancerId}`, "timeout", `not stored within ${CLAIM_MS} ms`);
    await withDeadline({ clock, limitMs: CLAIM_MS, late }, signal, (either) => addressClaims.claim(loadBalancerId, claims, either));
  }

  /** Resolves when the cloud has done it; `claimMs`: how long its addresses took to be claimed before. Rejects with ClbApiError, after which the mirror is stale in any doubt, or KubeApiError (`claim`): nothing was asked of the cloud. */
  async make(loadBalancerId: string, call: Call, signal: AbortSignal): Promise<{ readonly claimMs: number }> {
    const { mirror, clock, log, onWrite } = this.#deps;
    if (this.#running.has(loadBalancerId)) throw new Error(`a write to ${loadBalancerId} is running already`);
    this.#running.set(loadBalancerId, call);
    if (isRaise(call) || (call.lane === "tune" && "weights" in call)) this.#weightsLast.add(loadBalancerId);
    else this.#weightsLast.delete(loadBalancerId);
    const startedMs = clock.now();
    if ("listenerIds" in call)
      this.#deleted.set(loadBalancerId, new Set([...(this.#deleted.get(loadBalancerId) ?? []), ...call.listenerIds]));
    try {
      this.#unconfirmedUnbinds.begins(loadBalancerId, call);
      const claimed = "targets" in call ? call.targets.map(({ ip, podUid }) => [ip, podUid] as const) : [];
      if (claimed.length > 0) await this.claim(loadBalancerId, new Map(claimed), signal);
      const claimMs = clock.now() - startedMs;
      const { made, created } = await this.#perform(loadBalancerId, call, signal);
      this.#unconfirmedUnbinds.ended(loadBalancerId, call, mirror.read(loadBalancerId));
      mirror.fold(loadBalancerId, made, created, clock.now());
      this.#recent.note(loadBalancerId, made, created, clock.now());
      if (isAddition(call)) this.#overQuota.delete(loadBalancerId);
      onWrite?.(call.lane, itemsOf(call));
      log.info({ loadBalancerId, lane: call.lane, items: itemsOf(call), ms: Math.round(clock.now() - startedMs) }, "load balancer written");
      return { claimMs };
    } catch (err) {
      if (isAddition(call) && err instanceof ClbApiError && isQuota(err.call.code))
        this.#overQuota.set(loadBalancerId, this.overQuota(loadBalancerId) + 1);
      // Whatever is not a clear refusal may have taken effect; without its claim nothing was begun.
      const isClear = err instanceof KubeApiError || (err instanceof ClbApiError && !err.ambiguous);
      if (!isClear) this.doubt(loadBalancerId, `${call.lane} ended in doubt`);
      throw err;
    } finally {
      this.#running.delete(loadBalancerId);
    }
  }

  /** `made`: the call as the cloud has taken it. */
  async #perform(loadBalancerId: string, call: Call, signal: AbortSignal): Promise<{ made: Call; created: readonly string[] }> {
    if (call.lane !== "structure" || !("create" in call)) return { made: call, created: await this.#send(loadBalancerId, call, signal) };
    try {
      return { made: call, created: await this.#send(loadBalancerId, call, signal) };
    } catch (err) {
      if (!(err instanceof ClbApiError) || call.create.listeners.length > 1 || !mayBeSetting(err)) throw err;
      const again = mayPass(err) ? [{ create: call.create, settings: [] }] : [];
      for (const { create, settings } of [...again, ...fewerSettings(call.create)]) {
        const made: Call = { ...call, create };
        const created = await this.#send(loadBalancerId, made, signal).catch(unlessSetting);
        if (created === undefined) continue;
        if (settings.length > 0) this.#deps.onLeftOut?.(loadBalancerId, create.listeners[0]?.name ?? "", settings, err);
        return { made, created };
      }
      throw err; // it was no setting
    }
  }

  /** Resolves with the ids of what was created. */
  async #send(loadBalancerId: string, call: Call, signal: AbortSignal): Promise<readonly string[]> {
    const { api } = this.#deps;
    switch (call.lane) {
      case "bind":
        if ("weights" in call) {
          await api.setWeights(loadBalancerId, call.weights, signal);
          return [];
        }
        refusePartial("BatchRegisterTargets", await api.bind(loadBalancerId, call.targets, signal));
        return [];
      case "conflict":
      case "unbind":
        refusePartial("BatchDeregisterTargets", await api.unbind(loadBalancerId, call.slots, signal));
        return [];
      case "drain":
        await api.setWeights(loadBalancerId, call.weights, signal);
        return [];
      case "tune":
        if ("weights" in call) await api.setWeights(loadBalancerId, call.weights, signal);
        else if ("rename" in call) await api.renameListener(loadBalancerId, call.rename, signal);
        else if ("listener" in call) await api.modifyListener(loadBalancerId, call.listener, signal);
        else if ("domain" in call) await api.modifyDomain(loadBalancerId, call.domain, signal);
        else await api.modifyPlace(loadBalancerId, call, call, signal);
        return [];
      case "structure":
        if ("redirects" in call) {
          await api.makeRedirects(loadBalancerId, call.redirects, signal);
          return [];
        }
        if ("create" in call) return await api.createListeners(loadBalancerId, call.create, signal);
        if ("loadBalancer" in call) {
          await api.setLoadBalancer(loadBalancerId, call.loadBalancer, signal);
          return [];
        }
        return await api.createRules(loadBalancerId, call.createRules, signal);
      case "delete":
        if ("redirects" in call) await api.deleteRedirects(loadBalancerId, call.redirects, signal);
        else if ("listenerIds" in call) await api.deleteListeners(loadBalancerId, call.listenerIds, signal);
        else await api.deleteRules(loadBalancerId, call.rules.listenerId, call.rules.locationIds, signal);
        return [];
      default:
        return call satisfies never;
    }
  }
}

/** Undefined: refused again for what may be another setting. */
function unlessSetting(err: unknown): undefined {
  if (err instanceof ClbApiError && mayBeSetting(err)) return undefined;
  throw err;
}

const isAddition = (call: Call): boolean => "targets" in call || (call.lane === "structure" && !("redirects" in call));

function refusePartial(action: string, failed: FailedListeners): void {
  if (failed.listenerIds.length === 0) return;
  const message = `targets of ${failed.listenerIds.join(", ")} failed${failed.message === "" ? "" : `: ${failed.message}`}`;
  throw new ClbApiError({ action, code: PARTIAL_FAILURE, requestId: "" }, message, { kind: "retryAfter", delayMs: 1_000 }, true);
}
