/** What hold servers write of the calls that they keep waiting. */
import { readFile } from "node:fs/promises";

/** E.g. { msg: "hold ends", pod: "demo/web-1", end: "drained", heldMs: 4012, lowered: true }. */
export type HoldLine = {
  readonly msg: string;
  readonly pod?: string;
  readonly end?: string;
  readonly heldMs?: number;
  readonly lowered?: boolean;
};

/** The lines "hold begins" or "hold ends" of a log file, oldest first. */
export async function holdLines(logFile: string, what: "hold begins" | "hold ends"): Promise<readonly HoldLine[]> {
  const lines = (await readFile(logFile, "utf8")).split("\n").filter((line) => line.startsWith("{") && line.endsWith("}"));
  return lines.map((line) => JSON.parse(line) as HoldLine).filter(({ msg }) => msg === what);
}
