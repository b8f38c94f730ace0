import type { JournalEntry } from "../../test/cloud/journal/journal.ts";

/** What the generator did on one side, what the cloud's journal says on the other. */
export interface Intents {
  /** Makes the call and notes it; gives the answer, undefined for a refusal or none. */
  note<T extends { RequestId?: string }>(action: string, call: () => Promise<T>): Promise<T | undefined>;
  /** Reads what is new in the journal. */
  readJournal(): Promise<void>;
  /** What does not fit together, in words; empty if all does. */
  faults(): string[];
  summary(): { readonly made: number; readonly entries: number; readonly byCode: string };
}

type Page = { readonly entries: readonly JournalEntry[]; readonly lastSeq: number };

export function makeLedger(adminUrl: string): Intents {
  const made = new Map<string, number>();
  const answered = new Set<string>();
  const written = new Map<string, number>();
  const seen = new Map<string, number>();
  const codes = new Map<string, number>();
  const gaps: string[] = [];
  const broken = new Map<string, number>();
  let lastSeq = 0;

  const fold = (entry: JournalEntry): void => {
    if (entry.seq !== lastSeq + 1) gaps.push(`after entry ${lastSeq} of the journal comes ${entry.seq}`);
    lastSeq = entry.seq;
    if (entry.kind !== "call") return;
    add(written, entry.action);
    add(seen, entry.requestId);
    add(codes, entry.code);
    // What no fault asked for is a mistake of the cloud itself.
    if (entry.code === "InternalError" && !entry.faults.includes("error")) add(broken, `${entry.action}: ${entry.message ?? "no message"}`);
  };

  return {
    note: async (action, call) => {
      add(made, action);
      try {
        const answer = await call();
        if (answer.RequestId !== undefined) answered.add(answer.RequestId);
        return answer;
      } catch (error) {
        const id = typeof error === "object" && error !== null && "requestId" in error ? error.requestId : undefined;
        if (typeof id === "string" && id !== "") answered.add(id);
        return undefined;
      }
    },
    readJournal: async () => {
      for (;;) {
        const { entries, lastSeq: newest } = (await (await fetch(`${adminUrl}/journal?since=${lastSeq}`)).json()) as Page; // our own page
        for (const entry of entries) fold(entry);
        if (lastSeq >= newest) return;
      }
    },
    faults: () => [
      ...gaps,
      ...[...broken].map(([what, count]) => `${count} internal errors of its own in ${what}`),
      ...[...new Set([...made.keys(), ...written.keys()])]
        .filter((action) => made.get(action) !== written.get(action))
        .map((action) => `${action} was called ${made.get(action) ?? 0} times, and is in the journal ${written.get(action) ?? 0} times`),
      ...[...answered].filter((id) => seen.get(id) !== 1).map((id) => `request ${id} is in the journal ${seen.get(id) ?? 0} times`),
      ...(seen.size === total(written) ? [] : ["two calls share a request id"]),
    ],
    summary: () => ({
      made: total(made),
      entries: lastSeq,
      byCode: [...codes]
        .toSorted(([, left], [, right]) => right - left)
        .map(([code, count]) => `${code} ${count}`)
        .join(", "),
    }),
  };
}

const add = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
const total = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((sum, count) => sum + count, 0);
