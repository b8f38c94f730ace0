import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_HEALTH_CHECK } from "../../../../coordinator/domain/load-balancer.ts";
import { type BindingFacts, stepOf } from "../../../../coordinator/domain/readiness/binding-step.ts";
import type { Step } from "../../../../coordinator/domain/readiness/gate-condition.ts";
import { aBackend, aListener, aPod, aTarget } from "../../../builders.ts";

const facts = (change: Partial<BindingFacts>): BindingFacts => ({
  standing: { pod: aPod(), backend: aBackend() },
  place: aListener(),
  target: aTarget(),
  isCheckOff: true,
  strange: false,
  health: "Alive",
  binding: false,
  refused: undefined,
  ...change,
});
const unready = { pod: aPod(), backend: aBackend({ bindable: false }) };
const unchecked = aListener({ healthCheck: { ...DEFAULT_HEALTH_CHECK, enabled: false } });
const unbindable = (reason: "Ending" | "NoAddress") => ({ pod: aPod(), unbindable: { reason, message: "why" } });
/** The step's kind and what tells it from others of its kind. */
const short = (step: Step): string => {
  if (step.kind === "pending") return `pending ${step.reason}`;
  if (step.kind === "checking") return `checking ${step.health}`;
  return step.kind === "healthy" ? `healthy ${step.checked ? "checked" : "unchecked"}` : step.kind;
};

const STEPS: readonly (readonly [title: string, change: Partial<BindingFacts>, expected: string])[] = [
  ["bound and healthy", {}, "healthy checked"],
  ["bound, not healthy yet", { health: "Unknown" }, "checking Unknown"],
  ["bound, no data", { health: undefined }, "checking Unknown"],
  ["bound, the check fails", { health: "Dead" }, "checking Dead"],
  ["Close where checks are on proves nothing", { health: "Close" }, "checking Unknown"],
  ["checks off", { place: unchecked, health: "Close" }, "healthy unchecked"],
  ["checks off, no data", { place: unchecked, health: undefined }, "healthy unchecked"],
  ["bound with weight 0, healthy", { target: aTarget({ weight: 0 }) }, "bindable"],
  ["bound with weight 0, checks off", { place: unchecked, target: aTarget({ weight: 0 }) }, "bindable"],
  ["its address is still bound for another Pod, healthy", { strange: true }, "bindable"],
  ["its address is still bound for another Pod, checks off", { strange: true, place: unchecked }, "bindable"],
  ["its address is still bound for another Pod, containers not ready", { strange: true, standing: unready }, "pending ContainersNotReady"],
  ["bound, its containers fell back: health decides", { standing: unready }, "healthy checked"],
  ["not bound", { target: undefined }, "bindable"],
  ["not bound, the bind runs", { target: undefined, binding: true }, "binding"],
  ["not bound, containers not ready", { target: undefined, standing: unready }, "pending ContainersNotReady"],
  ["not bound, refused", { target: undefined, refused: "no such ENI" }, "pending BindRefused"],
  ["not bound, refused before, the bind runs again", { target: undefined, refused: "x", binding: true }, "binding"],
  ["no listener yet", { place: "no listener", target: undefined }, "bindable"],
  ["no rule yet", { place: "no rule", target: undefined }, "bindable"],
  ["the port is taken", { place: "port taken", target: undefined }, "pending ListenerPortTaken"],
  ["ending, although still bound and healthy", { standing: unbindable("Ending") }, "draining"],
  ["cannot be bound", { standing: unbindable("NoAddress") }, "pending NoAddress"],
];

for (const [title, change, expected] of STEPS)
  test(`the step of a binding: ${title}`, () => assert.equal(short(stepOf(facts(change))), expected));

test("names what the cloud said, and what the standing says", () => {
  const refused = stepOf(facts({ target: undefined, refused: "no such ENI" }));
  assert.ok(refused.kind === "pending" && refused.because.includes("no such ENI"));
  assert.deepEqual(stepOf(facts({ standing: unbindable("NoAddress") })), { kind: "pending", reason: "NoAddress", because: "why" });
});
