import { GATE_OPEN, GATE_WISH } from "../../../common/names.ts";
import type { GateStatus } from "../../../common/vocabulary.ts";
import type { ObjectRef } from "../problem.ts";
import type { FaultReason, GateReason } from "../reasons.ts";

/** Where one Pod stands in one listener. Times are milliseconds since the epoch. */
export type Binding = {
  /** "Service demo/web", for people. */
  readonly service: string;
  readonly loadBalancerId: string | undefined;
  readonly listener: string;
  readonly step: Step;
  readonly sinceMs: number;
  /** The owner of the place, where a person said by its annotation that no gate is to wait for it. */
  readonly openedBy?: ObjectRef | undefined;
};
export type Step =
  /** The Pod cannot be bound yet; `because` says why and who must act. */
  | { readonly kind: "pending"; readonly reason: FaultReason | "ContainersNotReady" | "NoAddress"; readonly because: string }
  /** Could be bound; waits for its turn or for something else at the load balancer. */
  | { readonly kind: "bindable"; readonly because: string }
  | { readonly kind: "binding" }
  /** Bound; the load balancer has not found it healthy yet. */
  | {
      readonly kind: "checking";
      readonly health: "Unknown" | "Dead";
      /** Why it will hardly find it healthy, as the Pod's agent sees it. */
      readonly hindrance?: { readonly reason: FaultReason; readonly message: string };
    }
  /** Bound, and the load balancer sends to it. `checked` false: health checks are off. */
  | { readonly kind: "healthy"; readonly checked: boolean }
  /** On its way out: weight 0 or about to be. */
  | { readonly kind: "draining" };

/** The condition that the gate should have. `undefined` from `readiness`: leave it as it is. */
export type GateCondition = { readonly status: "True" | "False"; readonly reason: GateReason; readonly message: string };

/** The time from containers ready to the gate True as it passes: until the bind is called, the call, until an answer tells that it serves, the patch. */
export const GATE_STAGES = ["wait", "bind", "check", "patch"] as const;
export type GateStage = (typeof GATE_STAGES)[number];
/** Seconds of each stage of a gate that was opened. */
export type GateStages = Readonly<Record<GateStage, number>>;
/** All but the last, which begins with the message that tells them. */
export type StagesSoFar = Omit<GateStages, "patch">;

/** TKE's positive reason, which tools compare, and its sentence, with which the message begins. Source: tke-contract.md §5. */
const positive = (gateType: string): GateCondition => ({
  status: "True",
  reason: "LoadBalancerNetworkGroupReady",
  message: `Marking condition "${gateType}" to True.`,
});

const RETIRED: GateCondition = {
  status: "True",
  reason: "Retired",
  message: "clb-direct is being taken away (RETIRE): this Pod waits for no load balancer any more.",
};

/**
 * The gate is True when every binding of the Pod is healthy, or when no direct-access object selects it, or only such of which nothing can be
 * served: nobody would ever open it. It never goes back: a gate
 * that is True stays True, later unhealth is the load balancer's business (a rollback would hang otherwise).
 * A person may open it (`opened`: the Pod's own annotation; `openedBy` of a binding: that of its owner), and it opens by itself so long after
 * the containers were ready where `expiry` says so.
 * The caller knows every Service: an empty list of bindings proves that none selects the Pod.
 */
export function readiness(from: {
  readonly gateType: string;
  readonly gate: GateStatus;
  readonly containersReady: boolean;
  readonly ending: boolean;
  readonly bindings: readonly Binding[];
  /** The installation is about to go: nobody would open a gate after that. */
  readonly retired?: boolean;
  readonly opened?: boolean;
  readonly containersReadyAtMs?: number | undefined;
  readonly expiry?: { readonly afterMs: number; readonly nowMs: number } | undefined;
}): GateCondition | undefined {
  if (from.gate === "True" || from.ending) return undefined;
  if (from.retired === true && from.bindings.length > 0) return RETIRED;
  if (from.bindings.length === 0) {
    const message = "No Service with direct access selects this Pod: it waits for no load balancer.";
    return from.containersReady ? { status: "True", reason: "NoDirectAccess", message } : undefined;
  }
  const served = from.bindings.filter(({ step }) => notServed(step) === undefined);
  const [first] = from.bindings;
  const because = served.length > 0 || first === undefined ? undefined : notServed(first.step);
  if (because !== undefined) return from.containersReady ? { status: "True", reason: "NotServed", message: because } : undefined;
  const waits = served.filter(({ step }) => step.kind !== "healthy");
  const [open] = waits;
  if (open === undefined) return positive(from.gateType);
  const condition = waiting(open, from.containersReadyAtMs);
  if (!from.containersReady || condition === undefined) return condition;
  const waitedFor = `what it waited for: ${condition.reason}: ${condition.message}`;
  if (from.opened === true || waits.every(({ openedBy }) => openedBy !== undefined)) {
    const who = from.opened === true ? "this Pod" : [...new Set(waits.map(({ service }) => service))].join(", ");
    return { status: "True", reason: "GateOpened", message: `Opened by annotation ${GATE_WISH}: ${GATE_OPEN} of ${who}; ${waitedFor}` };
  }
  const { containersReadyAtMs: readyAtMs, expiry } = from;
  if (expiry === undefined || readyAtMs === undefined || expiry.nowMs < readyAtMs + expiry.afterMs) return condition;
  return { status: "True", reason: "GateExpired", message: `Opened after ${expiry.afterMs / 1000} s (GATE_EXPIRY); ${waitedFor}` };
}

/**
 * The condition as it is written: one that opens because the Pod serves also tells how long that took, e.g. "Marking condition … to True.
 * 5.7 s after its containers were ready: wait 0.1, bind 1.2, check 4.4." Apart from `readiness`, so that nobody takes what is known of the stages
 * for another state, which would be another patch. `stages` undefined: nobody saw them.
 */
export function withStages(condition: GateCondition, stages: StagesSoFar | undefined): GateCondition {
  if (stages === undefined || condition.reason !== "LoadBalancerNetworkGroupReady") return condition;
  const { wait, bind, check } = stages;
  const seconds = (of: number): string => of.toFixed(1);
  const told = `${seconds(wait + bind + check)} s after its containers were ready: wait ${seconds(wait)}, bind ${seconds(bind)}, check ${seconds(check)}.`;
  return { ...condition, message: `${condition.message} ${told}` };
}

/** Why nothing of the object can be served; undefined where something is or will be. */
const notServed = (step: Step): string | undefined => (step.kind === "pending" && step.reason === "NotServed" ? step.because : undefined);

/**
 * Since when it could have been bound. When the stage began is no part of it: that is known to one leader only, and each new one would write
 * every waiting gate anew; it is in the explanation.
 */
const readySince = (readyAtMs: number | undefined): string =>
  readyAtMs === undefined ? "" : ` (containers ready at ${new Date(readyAtMs).toISOString().slice(0, 19)}Z)`;

function waiting(binding: Binding, readyAtMs: number | undefined): GateCondition | undefined {
  const at = `${binding.service}, CLB ${binding.loadBalancerId ?? "(none yet)"}, listener ${binding.listener}`;
  const no = (reason: GateReason, what: string): GateCondition => ({
    status: "False",
    reason,
    message: `${at}: ${what}${readySince(readyAtMs)}`,
  });
  switch (binding.step.kind) {
    case "pending":
      return no(binding.step.reason, binding.step.because);
    case "bindable":
      return no("WaitingForBind", binding.step.because);
    case "binding":
      return no("Binding", "the load balancer is being told to send to this Pod");
    case "checking":
      if (binding.step.hindrance !== undefined) return no(binding.step.hindrance.reason, `bound, but ${binding.step.hindrance.message}`);
      return binding.step.health === "Dead"
        ? no(
            "HealthCheckFailing",
            "bound, but the load balancer's health check fails: check the Pod's port, health path and security groups",
          )
        : no("HealthChecking", "bound, waiting for the load balancer's health check");
    case "draining": // its Pod ends, and keeps the gate that it has
    case "healthy":
      return undefined;
    default:
      return binding.step satisfies never;
  }
}
