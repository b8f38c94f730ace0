import { type Call, targetKey } from "../domain/load-balancer.ts";
import type { Parked } from "../domain/safety/brake.ts";
import { type Causes, reasonsOf } from "../explain/write-log.ts";

/** One line of the plan, e.g. { loadBalancerId: "lb-1", lane: "bind", call: "BatchRegisterTargets", what: "2 targets: …", why: "Pod shop/web-1 is ready" }. */
export type Planned = {
  readonly loadBalancerId: string;
  readonly lane: string;
  readonly call: string;
  readonly what: string;
  readonly why: string;
};

/** Items named per line; a call may have 500. */
const MAX_NAMED = 3;
const named = (what: string, items: readonly string[]): string => {
  const more = items.length > MAX_NAMED ? ` and ${items.length - MAX_NAMED} more` : "";
  return `${items.length} ${what}${items.length === 1 ? "" : "s"}: ${items.slice(0, MAX_NAMED).join(", ")}${more}`;
};

/** The cloud's action for a call, and what it is about. */
export function describeForTable(call: Call): Pick<Planned, "call" | "what"> {
  switch (call.lane) {
    case "bind":
      return { call: "BatchRegisterTargets", what: named("target", call.targets.map(targetKey)) };
    case "conflict":
    case "unbind":
      return { call: "BatchDeregisterTargets", what: named("target", call.slots.map(targetKey)) };
    case "drain":
      return { call: "BatchModifyTargetWeight", what: named("target", call.weights.map(targetKey)) };
    case "structure": {
      if ("createRules" in call)
        return {
          call: "CreateRule",
          what: named(
            "rule",
            call.createRules.rules.map(({ domain, url }) => `${domain}${url}`),
          ),
        };
      const { protocol, listeners } = call.create;
      return {
        call: "CreateListener",
        what: named(
          "listener",
          listeners.map(({ port }) => `${protocol}:${port}`),
        ),
      };
    }
    case "tune":
      if ("weights" in call) return { call: "BatchModifyTargetWeight", what: named("target", call.weights.map(targetKey)) };
      return { call: call.locationId === undefined ? "ModifyListener" : "ModifyRule", what: call.locationId ?? call.listenerId };
    case "delete":
      if ("rules" in call) return { call: "DeleteRule", what: named("rule", call.rules.locationIds) };
      return { call: "DeleteLoadBalancerListeners", what: named("listener", call.listenerIds) };
    default:
      return call satisfies never;
  }
}

/** The lines of one load balancer: every call that is due, and every removal that the brake holds. */
export function plannedAt(loadBalancerId: string, calls: readonly Call[], parked: readonly Parked[], causes: Causes): Planned[] {
  const due = calls.map((call): Planned => {
    return { loadBalancerId, lane: call.lane, ...describeForTable(call), why: reasonsOf(call, causes).join("; ") };
  });
  const held = parked.map(({ id, slots }): Planned => {
    const why = `removal ${id}: nobody saw their Pods end`;
    return { loadBalancerId, lane: "parked", call: "(none)", what: `${slots.length} targets`, why };
  });
  return [...due, ...held];
}

/** The plan as a table; the columns are as wide as what they hold. */
export function planTable(rows: readonly Planned[]): string {
  if (rows.length === 0) return "nothing to do: every load balancer is as its Services ask for\n";
  const lines = [
    ["LOAD BALANCER", "LANE", "CALL", "WHAT", "WHY"],
    ...rows.map((row) => [row.loadBalancerId, row.lane, row.call, row.what, row.why]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
