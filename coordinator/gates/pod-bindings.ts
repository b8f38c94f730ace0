import type { Clock } from "../../common/clock.ts";
import { listenerName } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { Call } from "../domain/call.ts";
import { standings } from "../domain/intent/backends.ts";
import { type IntentPort, selects } from "../domain/intent/service.ts";
import { samePort, slotKey, targetKey } from "../domain/load-balancer.ts";
import { stepOf } from "../domain/readiness/binding-step.ts";
import type { Binding, Step } from "../domain/readiness/gate-condition.ts";
import type { RefusedItems } from "../load-balancers/refused-items.ts";
import type { Writer } from "../load-balancers/writer.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents, OwnerIntent } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";

export type PodBindingsDeps = {
  readonly intents: Intents;
  readonly mirror: Mirror;
  readonly writer: Writer;
  readonly addressClaims: AddressClaims;
  readonly refusedItems: RefusedItems;
  readonly clock: Clock;
  readonly clusterId: string;
};

/** Remembered steps of Pods; a Pod that nobody asks about for long loses its "since" first. */
const MAX_REMEMBERED = 50_000;

/** A binding, and whether `sinceMs` is when its step began: else it is when somebody first asked, and the step may be older. */
export type DatedBinding = Binding & { readonly isBeginSeen: boolean };
type Since = { readonly step: string; readonly sinceMs: number; readonly isBeginSeen: boolean };

/** Where each Pod stands in each listener: the one view behind the gate, the explanation and the board. */
export class PodBindings {
  readonly #deps: PodBindingsDeps;
  readonly #since = new Map<string, Since>();

  constructor(deps: PodBindingsDeps) {
    this.#deps = deps;
  }

  /** Every listener that should have this Pod, whether it has or not. Empty: no Service with direct access selects the Pod. */
  of(pod: PodFact): DatedBinding[] {
    const result: DatedBinding[] = [];
    for (const entry of this.#deps.intents.entries) {
      if (entry.released || entry.ref.namespace !== pod.namespace || !selects(entry.intent?.selector ?? entry.selector, pod.labels))
        continue;
      const service = `Service ${entry.ref.namespace}/${entry.ref.name}`;
      const { loadBalancerId, intent } = entry;
      if (intent === undefined || loadBalancerId === undefined) {
        result.push(this.#dated(pod, { service, loadBalancerId, listener: "(none yet)", step: unserved(entry) }));
        continue;
      }
      for (const port of intent.ports) {
        const listener = `${port.protocol}:${port.port}`;
        result.push(this.#dated(pod, { service, loadBalancerId, listener, step: this.#step(entry, loadBalancerId, port, pod) }));
      }
    }
    return result;
  }

  #step(entry: OwnerIntent, loadBalancerId: string, port: IntentPort, pod: PodFact): Step {
    const { mirror, writer, addressClaims, refusedItems, clusterId } = this.#deps;
    const intent = entry.intent;
    const standing = intent && standings(intent, port, [pod])[0];
    if (standing === undefined) return unserved(entry);
    const actual = mirror.read(loadBalancerId);
    if (actual === undefined) return { kind: "bindable", because: "the load balancer has to be read first" };
    const name = listenerName(clusterId, entry.ref.uid, port.protocol, port.port);
    const listener = actual.listeners.find((candidate) => candidate.name === name);
    const portTaken =
      listener === undefined && actual.listeners.some((other) => other.port === port.port && samePort(other.protocol, port.protocol));
    const key = "backend" in standing ? targetKey(standing.backend) : undefined;
    const target = listener?.targets.find((candidate) => targetKey(candidate) === key);
    const slot = listener && "backend" in standing ? { ...standing.backend, listenerId: listener.listenerId } : undefined;
    const claimed = target && addressClaims.podOf(loadBalancerId, target.ip);
    return stepOf({
      standing,
      listener,
      portTaken,
      target,
      strange: claimed !== undefined && claimed !== pod.uid,
      health: slot && mirror.health(loadBalancerId, slot)?.state,
      binding: slot !== undefined && binds(writer.running(loadBalancerId), slotKey(slot)),
      refused: slot && refusedItems.why(loadBalancerId, slotKey(slot), pod.uid),
    });
  }

  /**
   * Adds since when the step has been the same. While a Pod's gate waits, every change of its bindings is looked at, so another step than at
   * the last look has just begun; later nobody looks but who asks now and then. Nor does the start of a bind make anybody look.
   */
  #dated(pod: PodFact, binding: Omit<Binding, "sinceMs">): DatedBinding {
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

function unserved({ blocker }: OwnerIntent): Step {
  if (blocker === undefined) return { kind: "bindable", because: "the load balancer has to be found or created first" };
  return { kind: "pending", reason: blocker.reason, because: blocker.message };
}

const binds = (call: Call | undefined, key: string): boolean => call?.lane === "bind" && call.targets.some((slot) => slotKey(slot) === key);
