import type { Clock } from "../../common/clock.ts";
import { OVER } from "../../common/signals.ts";
import type { NodeWatchEvent, WatchNode, WatchNodes } from "./node-session.ts";

export type PacedDeps = {
  readonly watchNode: WatchNode;
  readonly watchNodes: WatchNodes;
  readonly clock: Clock;
  /** Agents come in numbers just now: most nodes will have theirs in a moment. */
  readonly crowded: () => boolean;
};

/**
 * So many nodes are listed at once, each by itself; thousands that lose their agents at the same time would else be one storm of LIST requests, and as
 * many connections to the API server afterwards. Own choice.
 */
const MOST_LISTING = 20;
/** A node waits no longer than that for its turn, however slowly the others are listed and however many agents come. */
const LONGEST_MS = 30_000;
/** How often those who wait are looked at, and how long a crowd of them is gathered. */
const LOOK_MS = 250;
/** A shared watch with so few nodes left gives them to watches of their own: it reads every change of every Pod of the cluster. */
const FEW = 5;

type Entry = {
  readonly node: string;
  readonly onEvent: (event: NodeWatchEvent) => void;
  readonly signal: AbortSignal;
  readonly dueAtMs: number;
  readonly urgent: boolean;
  lastByteAtMs: () => number;
};

/**
 * The same watches, of which at most 20 make their first list at a time. Where more wait, they share one watch of the whole cluster. A node
 * whose agent comes back before its turn is never listed.
 */
export function paced(deps: PacedDeps): WatchNode {
  const { clock } = deps;
  const waiting = new Set<Entry>();
  let listing = 0;
  let isLooking = false;

  const watchAlone = (entry: Entry): void => {
    const { node, onEvent, signal } = entry;
    let isListing = true;
    const listed = (): void => {
      if (!isListing) return;
      isListing = false;
      listing -= 1;
      look();
    };
    listing += 1;
    signal.addEventListener("abort", listed, { once: true });
    const hear: typeof onEvent = (event) => {
      listed();
      onEvent(event);
    };
    const watch = deps.watchNode(node, hear, signal);
    entry.lastByteAtMs = () => watch.lastByteAtMs;
  };
  const watchTogether = (entries: readonly Entry[]): void => {
    const members = new Map(entries.map((entry) => [entry.node, entry]));
    const over = new AbortController();
    const hear = (node: string, event: NodeWatchEvent): void => {
      const member = members.get(node);
      if (member?.signal.aborted === false) member.onEvent(event);
    };
    const leave = (entry: Entry): void => {
      if (members.get(entry.node) !== entry || over.signal.aborted) return;
      members.delete(entry.node);
      if (members.size > FEW) return;
      over.abort(OVER);
      for (const left of members.values()) if (!left.signal.aborted) watchAlone(left);
    };
    const watch = deps.watchNodes(new Set(members.keys()), hear, over.signal);
    for (const entry of entries) {
      entry.lastByteAtMs = () => watch.lastByteAtMs;
      entry.signal.addEventListener("abort", () => leave(entry), { once: true });
    }
  };

  /** Who may begin now does. */
  const look = (): void => {
    const nowMs = clock.now();
    const crowded = deps.crowded();
    const may = [...waiting].filter(({ dueAtMs, urgent }) => urgent || !crowded || nowMs >= dueAtMs);
    const isTooLate = may.some(({ dueAtMs }) => nowMs >= dueAtMs) && listing >= MOST_LISTING;
    const together = may.length > MOST_LISTING || isTooLate;
    const begin = together ? may : may.slice(0, Math.max(0, MOST_LISTING - listing));
    for (const entry of begin) waiting.delete(entry);
    if (together) watchTogether(begin);
    else begin.forEach(watchAlone);
  };
  const lookOn = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    while (waiting.size > 0) {
      await clock.sleep(LOOK_MS);
      look();
    }
    isLooking = false;
  };

  return (node, onEvent, signal, urgent = false) => {
    const nowMs = clock.now();
    const entry: Entry = { node, onEvent, signal, urgent, dueAtMs: nowMs + LONGEST_MS, lastByteAtMs: () => nowMs };
    signal.addEventListener("abort", () => waiting.delete(entry), { once: true });
    if (listing < MOST_LISTING && (urgent || !deps.crowded())) watchAlone(entry);
    else {
      waiting.add(entry);
      void lookOn();
    }
    return {
      get lastByteAtMs() {
        return entry.lastByteAtMs();
      },
    };
  };
}
