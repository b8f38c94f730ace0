import type { Hindrance } from "../hindrance.ts";
import type { PodStanding } from "../intent/backends.ts";
import type { HealthState, Place, Target } from "../load-balancer.ts";
import type { Step } from "./gate-condition.ts";

/** Everything that decides where one Pod stands in one place. */
export type BindingFacts = {
  readonly standing: PodStanding;
  /** The listener or rule as the load balancer has it, or why it does not; "port taken": another's listener has the port. */
  readonly place: Place | "no listener" | "no rule" | "port taken";
  /** The Pod's target in that place. */
  readonly target: Target | undefined;
  /** Where the place's checks are off: somebody decided that. Else somebody has only switched them off by hand, and they come back. */
  readonly isCheckOff: boolean;
  /** The target's address was bound for another Pod. */
  readonly strange: boolean;
  readonly health: HealthState | undefined;
  /** A call that binds this target runs at this moment. */
  readonly binding: boolean;
  /** The cloud refused this very target, and why. */
  readonly refused: string | undefined;
  /** The cloud refused to create the place, and why. */
  readonly notCreated?: string | undefined;
  /** The place is not made for want of its certificate, and why. */
  readonly lacksCertificate?: string | undefined;
  /** Why the load balancer will not reach it; `holds`: it is not bound for that. */
  readonly hindrance?: (Pick<Hindrance, "reason" | "message"> & { readonly holds: boolean }) | undefined;
};

/** Pure: the step of one binding. Absence of health data never counts as healthy; `Close` only where the place's checks are off. */
export function stepOf(facts: BindingFacts): Step {
  if ("unbindable" in facts.standing) {
    const { reason, message } = facts.standing.unbindable;
    return reason === "Ending" ? { kind: "draining" } : { kind: "pending", reason, because: message };
  }
  const { place, target } = facts;
  const { bindable } = facts.standing.backend;
  if (typeof place === "string") return missing(place, facts);
  if (target === undefined) return unbound(facts, bindable);
  if (facts.strange) return strange(bindable);
  if (target.weight === 0 && !bindable) return LOWERED;
  if (target.weight === 0) return { kind: "bindable", because: "bound with weight 0, the weight is being restored" };
  if (!place.healthCheck.enabled && facts.isCheckOff) return { kind: "healthy", checked: false };
  if (facts.health === "Alive") return { kind: "healthy", checked: true };
  const { hindrance } = facts;
  const because = hindrance && { reason: hindrance.reason, message: hindrance.message };
  return { kind: "checking", health: facts.health === "Dead" ? "Dead" : "Unknown", ...(because && { hindrance: because }) };
}

const MISSING = {
  "port taken": {
    kind: "pending",
    reason: "ListenerPortTaken",
    because: "another listener of this load balancer has the port: remove it or use another port",
  },
  "no listener": { kind: "bindable", because: "the listener has to be created first" },
  "no rule": { kind: "bindable", because: "the rule has to be created first" },
} as const satisfies Record<string, Step>;

function missing(place: keyof typeof MISSING, { notCreated, lacksCertificate }: BindingFacts): Step {
  if (lacksCertificate !== undefined) return { kind: "pending", reason: "CertificateUnavailable", because: lacksCertificate };
  if (notCreated === undefined || place === "port taken") return MISSING[place];
  const what = place === "no rule" ? "rule" : "listener";
  return { kind: "pending", reason: "WriteRefused", because: `the cloud refused to create the ${what}: ${notCreated}` };
}

const NOT_READY: Step = {
  kind: "pending",
  reason: "ContainersNotReady",
  because: "its containers are not ready: see the Pod's own conditions and readiness probes",
};

const LOWERED: Step = {
  kind: "pending",
  reason: "ContainersNotReady",
  because:
    "its containers are not ready, so it is bound with weight 0 and gets no new traffic: see the Pod's own conditions and readiness probes",
};

/** The former binding is removed, or becomes this Pod's where the policy removes nothing. */
function strange(bindable: boolean): Step {
  if (!bindable) return NOT_READY;
  return {
    kind: "bindable",
    because: "the Pod's address is still bound for a former Pod: it passes on with the load balancer's next write",
  };
}

function unbound(facts: BindingFacts, bindable: boolean): Step {
  if (facts.binding) return { kind: "binding" };
  if (!bindable) return NOT_READY;
  if (facts.refused !== undefined)
    return { kind: "pending", reason: "BindRefused", because: `the cloud refused to bind it: ${facts.refused}` };
  if (facts.hindrance?.holds === true) return { kind: "pending", reason: facts.hindrance.reason, because: facts.hindrance.message };
  return { kind: "bindable", because: "waits for the load balancer's next write" };
}
