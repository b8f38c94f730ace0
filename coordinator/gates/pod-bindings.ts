import type { Clock } from "../../common/clock.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { Call } from "../domain/call.ts";
import { placeTaskKey } from "../domain/hindrance.ts";
import { type AskedPlace, askedPlaces, createdName, findPlace, placeName } from "../domain/intent/asked-places.ts";
import { blockerOf, loadBalancerOf, type OwnerIntent } from "../domain/intent/owner-intent.ts";
import { type PlaceId, type Slot, slotKey, slotOf, targetKey } from "../domain/load-balancer.ts";
import { stepOf } from "../domain/readiness/binding-step.ts";
import type { Binding, Step } from "../domain/readiness/gate-condition.ts";
import { refusedCall } from "../domain/refused-call.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Hindrances } from "../state/hindrances.ts";
import type { Mirror } from "../state/mirror.ts";
import type { RefusedCalls } from "../state/refused-calls.ts";
import type { SelectionIndex } from "../state/selection-index.ts";

/**
 * What a gate must know of writes: the call that runs at a load balancer, why the cloud refused to bind a Pod to a slot, and why it refused
 * to create a listener (by name) or a rule (by `ruleKey`).
 */
export type BindProgress = {
  readonly running: (loadBalancerId: string) => Call | undefined;
  readonly refusal: (loadBalancerId: string, slot: string, podUid: string) => string | undefined;
  readonly notCreated?: (loadBalancerId: string, what: string) => string | undefined;
};

export type PodBindingsDeps = {
  readonly selections: Pick<SelectionIndex, "ownersSelecting">;
  /** The checks of a listener are off because somebody decided that; default: they are off for that reason. */
  readonly isCheckOff?: (owner: OwnerIntent, asked: AskedPlace) => boolean;
  /** A person said that no gate is to wait for the owner; default: nobody did. */
  readonly isOpened?: (owner: OwnerIntent) => boolean;
  /** Why a place lacks its certificate; default: none does. */
  readonly certificateFault?: (owner: OwnerIntent, asked: AskedPlace) => string | undefined;
  readonly mirror: Pick<Mirror, "read" | "health">;
  readonly addressClaims: Pick<AddressClaims, "podOf">;
  readonly progress: BindProgress;
  /** Which calls the cloud refuses at a load balancer; default: none. */
  readonly refusedCalls?: Pick<RefusedCalls, "at">;
  /** Why load balancers will not reach a Pod; default: nothing is known of that. */
  readonly hindrances?: Pick<Hindrances, "at">;
  readonly clock: Clock;
  readonly clusterId: string;
  /** The places that an owner asks for; default: as its intent says. */
  readonly places?: (owner: OwnerIntent) => readonly AskedPlace[];
};

/** What a bound Pod waits for. */
const HEALTH = "DescribeTargetHealth";
/** Remembered steps of Pods; a Pod that nobody asks about for long loses its "since" first. */
const MAX_REMEMBERED = 50_000;

/**
 * A binding, and whether `sinceMs` is when its step began: else it is when somebody first asked, and the step may be older. `at`: the
 * listener or rule at the load balancer, once it exists.
 */
export type DatedBinding = Binding & { readonly isBeginSeen: boolean; readonly at: PlaceId | undefined };
type Since = { readonly step: string; readonly sinceMs: number; readonly isBeginSeen: boolean };

/** Where each Pod stands in each place: the one view behind the gate and the explanation. */
export class PodBindings {
  readonly #deps: PodBindingsDeps;
  readonly #since = new Map<string, Since>();
  /** The slots that a running call binds. */
  readonly #boundBy = new WeakMap<Call, ReadonlySet<string>>();

  constructor(deps: PodBindingsDeps) {
    this.#deps = deps;
  }

  /** Every place that should have this Pod, whether it has or not. Empty: no object with direct access selects the Pod. */
  of(pod: PodFact): DatedBinding[] {
    const owners = this.#deps.selections.ownersSelecting(pod).filter(({ state }) => state !== "deleted");
    return owners.flatMap((owner) => this.#ofOwner(owner, pod));
  }

  #ofOwner(owner: OwnerIntent, pod: PodFact): DatedBinding[] {
    const service = `${owner.ref.kind} ${owner.ref.namespace}/${owner.ref.name}`;
    const opened = this.#deps.isOpened?.(owner) === true && { openedBy: owner.ref };
    const loadBalancerId = loadBalancerOf(owner);
    if (owner.state !== "served" || loadBalancerId === undefined) {
      const waits = { service, loadBalancerId, listener: "(none yet)", step: unserved(owner), at: undefined, ...opened };
      return [this.#dated(pod, waits)];
    }
    const places = this.#deps.places?.(owner) ?? askedPlaces(this.#deps.clusterId, owner);
    return places.flatMap((asked) => {
      const found = this.#found(loadBalancerId, owner, asked, pod);
      if (found === undefined) return [];
      const step = this.#stuck(loadBalancerId, found.step) ?? found.step;
      return [this.#dated(pod, { service, loadBalancerId, listener: placeName(asked), at: found.at, step, ...opened })];
    });
  }

  /** The step that the Pod cannot leave because the cloud refuses what would be next. */
  #stuck(loadBalancerId: string, { kind }: Step): Step | undefined {
    if (kind !== "checking" && kind !== "bindable" && kind !== "binding") return undefined;
    const calls = this.#deps.refusedCalls?.at(loadBalancerId) ?? [];
    const needed = calls.find(({ action }) =>
      kind === "checking" ? action === HEALTH : action !== HEALTH && !action.startsWith("Delete"),
    );
    if (needed === undefined) return undefined;
    const { reason, message } = refusedCall(`load balancer ${loadBalancerId}`, needed);
    return { kind: "pending", reason, because: message };
  }

  /** Undefined: the place does not ask for this Pod. */
  #found(
    loadBalancerId: string,
    owner: OwnerIntent,
    asked: AskedPlace,
    pod: PodFact,
  ): { readonly step: Step; readonly at: PlaceId | undefined } | undefined {
    const { mirror, progress, addressClaims } = this.#deps;
    const standing = asked.standing(pod);
    if (standing === undefined) return undefined;
    const actual = mirror.read(loadBalancerId);
    if (actual === undefined) return { step: { kind: "bindable", because: "the load balancer has to be read first" }, at: undefined };
    const place = findPlace(asked, actual);
    const at = typeof place === "string" ? undefined : place;
    const backend = "backend" in standing ? standing.backend : undefined;
    const key = backend && targetKey(backend);
    const target = at?.targets.find((candidate) => targetKey(candidate) === key);
    const slot = at && backend && slotOf(at, backend);
    const claimed = target && addressClaims.podOf(loadBalancerId, target.ip);
    const step = stepOf({
      standing,
      place,
      target,
      isCheckOff: this.#deps.isCheckOff?.(owner, asked) !== false,
      strange: claimed !== undefined && claimed !== pod.uid,
      health: slot && mirror.health(loadBalancerId, slot)?.state,
      binding: slot !== undefined && this.#binds(progress.running(loadBalancerId), slot),
      refused: slot && progress.refusal(loadBalancerId, slotKey(slot), pod.uid),
      hindrance: this.#deps.hindrances?.at(pod.uid, placeTaskKey(loadBalancerId, placeName(asked))),
      lacksCertificate: at === undefined ? this.#deps.certificateFault?.(owner, asked) : undefined,
      notCreated: at === undefined ? progress.notCreated?.(loadBalancerId, createdName(asked, actual)) : undefined,
    });
    return { step, at };
  }

  #binds(call: Call | undefined, slot: Slot): boolean {
    if (call?.lane !== "bind" || !("targets" in call)) return false;
    const slots = this.#boundBy.get(call) ?? new Set(call.targets.map(slotKey));
    this.#boundBy.set(call, slots);
    return slots.has(slotKey(slot));
  }

  /**
   * Adds since when the step has been the same. While a Pod's gate waits, every change of its bindings brings a pass, so another step than
   * in the last pass has just begun; later a step is read only when somebody asks. Nor does the start of a bind bring a pass.
   */
  #dated(pod: PodFact, binding: Omit<DatedBinding, "sinceMs" | "isBeginSeen">): DatedBinding {
    const key = `${pod.uid} ${binding.service} ${binding.listener}`;
    const step = JSON.stringify(binding.step);
    const known = this.#since.get(key);
    if (known?.step === step) return { ...binding, sinceMs: known.sinceMs, isBeginSeen: known.isBeginSeen };
    const isBeginSeen = known !== undefined && binding.step.kind !== "binding" && pod.hasGate && pod.gate !== "True";
    const since = { sinceMs: this.#deps.clock.now(), isBeginSeen };
    this.#since.delete(key); // moves it to the young end
    if (this.#since.size >= MAX_REMEMBERED) this.#since.delete(this.#since.keys().next().value ?? "");
    this.#since.set(key, { step, ...since });
    return { ...binding, ...since };
  }
}

function unserved(owner: OwnerIntent): Step {
  const blocker = blockerOf(owner);
  if (blocker === undefined) return { kind: "bindable", because: "the load balancer has to be found or created first" };
  return { kind: "pending", reason: blocker.reason, because: blocker.message };
}
