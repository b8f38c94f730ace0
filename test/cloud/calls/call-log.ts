import type { Happening, Journal } from "../journal/journal.ts";

/** Calls since the start, by action; `refused` counts answers with an error, by code. */
export type CallCounts = {
  readonly calls: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
};

/** What is written of one call; `code` is "OK" or why it has no answer. */
export type EndedCall = Omit<Extract<Happening, { kind: "call" }>, "kind">;

/** Counts calls and writes them into the journal. */
export interface CallLog {
  begin(action: string): void;
  end(call: EndedCall): void;
  counts(): CallCounts;
}

export function makeCallLog(journal: Pick<Journal, "add">): CallLog {
  const calls = new Map<string, number>();
  const refused = new Map<string, number>();
  return {
    begin: (action) => count(calls, action),
    end: (call) => {
      if (call.code !== "OK") count(refused, call.code);
      journal.add({ kind: "call", ...call });
    },
    counts: () => ({ calls: Object.fromEntries(calls), refused: Object.fromEntries(refused) }),
  };
}

const count = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
