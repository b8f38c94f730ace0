/** One measured figure, e.g. `{ name: "simple calls", value: 3120, unit: "/s", goal: { atLeast: 2000 } }`. */
export type Figure = {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly goal?: { readonly atLeast: number } | { readonly atMost: number };
};

export const isReached = ({ value, goal }: Figure): boolean =>
  goal === undefined || ("atLeast" in goal ? value >= goal.atLeast : value <= goal.atMost);

/** Four digits at most are of interest. */
const written = (value: number): string => (Math.abs(value) >= 100 ? Math.round(value).toString() : value.toPrecision(3));

/** The figures for people, each with the limit beside it. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const { name, value, unit, goal } = figure;
    const limit = goal === undefined ? "" : "atLeast" in goal ? `at least ${goal.atLeast} ${unit}` : `at most ${goal.atMost} ${unit}`;
    return [name, `${written(value)} ${unit}`, limit, goal === undefined ? "" : isReached(figure) ? "reached" : "MISSED"];
  });
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(([name = "", value = "", limit = "", mark = ""]) =>
      `${name.padEnd(widths[0] ?? 0)}  ${value.padStart(widths[1] ?? 0)}  ${limit.padEnd(widths[2] ?? 0)}  ${mark}`.trimEnd(),
    )
    .join("\n");
}
