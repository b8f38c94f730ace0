import type { Call } from "../domain/call.ts";
import type { Parked } from "../domain/safety/brake.ts";
import { type Causes, reasonsOf } from "../events/causes.ts";
import { describeForTable } from "../events/wording.ts";

/** One line of the plan, e.g. { loadBalancerId: "lb-1", lane: "bind", call: "BatchRegisterTargets", what: "2 targets: …", why: "Pod shop/web-1 is ready" }. */
export type Planned = {
  readonly loadBalancerId: string;
  readonly lane: string;
  readonly call: string;
  readonly what: string;
  readonly why: string;
};

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
