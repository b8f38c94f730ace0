import type { Planned } from "../explain/progress.ts";

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
