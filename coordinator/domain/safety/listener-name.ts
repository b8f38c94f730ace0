import { ownerMarkOf } from "../../../common/names.ts";
import type { ListenerRecord } from "../intent/owner-record.ts";

/** A listener that was renamed again within this time is given up. Milliseconds. */
const DAY_MS = 86_400_000;

/** What to make of the name that a listener of ours has in the cloud. `record`: what has to be stored of it; undefined: nothing new. */
export type NameVerdict = {
  /** `ours`: it has its name. `rename`: it gets it, once that is stored. `given-up`: it is not ours any more. */
  readonly kind: "ours" | "rename" | "given-up";
  readonly record: ListenerRecord | undefined;
  /** Why it was given up just now. */
  readonly because?: string;
};

/**
 * Pure. A listener is known by its id; one that somebody renamed is named back once. Whoever renames it again within a day means it, and
 * so does somebody who gives it the mark of another owner.
 */
export function judgeName(from: {
  readonly clusterId: string;
  readonly listener: ListenerRecord;
  /** The name that it should have, and the one that it has. */
  readonly name: string;
  readonly shown: string;
  readonly nowMs: number;
}): NameVerdict {
  const { clusterId, listener, name, shown, nowMs } = from;
  const { renamed, formerName } = listener;
  if (shown === name) {
    if (renamed?.state === "naming-back") return { kind: "ours", record: { ...listener, renamed: { ...renamed, state: "named-back" } } };
    const isStale = formerName !== undefined || renamed?.state === "given-up";
    return { kind: "ours", record: isStale ? withoutName(listener) : undefined };
  }
  if (shown === formerName) return { kind: "rename", record: undefined };
  if (renamed?.state === "given-up") return { kind: "given-up", record: undefined };
  if (renamed?.state === "naming-back" && renamed.to === shown) return { kind: "rename", record: undefined };
  const giveUp = (because: string): NameVerdict => ({
    kind: "given-up",
    record: { ...listener, renamed: { to: shown, atMs: nowMs, state: "given-up" } },
    because,
  });
  const mark = ownerMarkOf(shown, clusterId);
  if (mark !== undefined && mark !== ownerMarkOf(name, clusterId)) return giveUp("the new name carries the mark of another owner");
  if (renamed !== undefined && nowMs - renamed.atMs < DAY_MS) return giveUp("it was renamed again within a day");
  return { kind: "rename", record: { ...listener, renamed: { to: shown, atMs: nowMs, state: "naming-back" } } };
}

function withoutName({ id, healthCheck, scheduler }: ListenerRecord): ListenerRecord {
  return { id, healthCheck, scheduler };
}
