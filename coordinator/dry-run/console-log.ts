import { type Logger, pino } from "pino";

/**
 * The log of a dry run: one line of text for each message, e.g. "pass failed (worker services): DescribeListeners failed: …",
 * and each line once, because what is tried again says the same. Stacks and numbers are left out.
 */
export function makeConsoleLog(level: string, write: (line: string) => void): Logger {
  const said = new Set<string>();
  const tell = (json: string): void => {
    const line = textOf(JSON.parse(json));
    if (said.has(line)) return;
    said.add(line);
    write(line);
  };
  const err = (error: unknown): string => (error instanceof Error ? error.message : String(error));
  return pino({ level, base: null, timestamp: false, serializers: { err } }, { write: tell });
}

type Line = { readonly level: number; readonly msg?: string; readonly err?: string; readonly [field: string]: unknown };

function textOf({ level: _level, msg = "", err, ...fields }: Line): string {
  const named = Object.entries(fields).flatMap(([name, value]) => (typeof value === "string" ? `${name} ${value}` : []));
  const about = named.length === 0 ? "" : ` (${named.join(", ")})`;
  return `${msg}${about}${err === undefined ? "" : `: ${err}`}\n`;
}
