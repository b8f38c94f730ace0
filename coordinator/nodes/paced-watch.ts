import type { Clock } from "../../common/clock.ts";
import type { WatchNode } from "./node-session.ts";

/** So many nodes are listed at once; thousands that lose their agents at the same time would else be one storm of LIST requests. Own choice. */
const MOST_LISTING = 20;
/** A node waits no longer than that for its turn, however slowly the others are listed. */
const LONGEST_MS = 30_000;

/** The same watches, of which at most 20 make their first list at a time. A node whose agent comes back before its turn is never listed. */
export function paced(watchNode: WatchNode, clock: Clock): WatchNode {
  let listing = 0;
  const waiting = new Set<() => void>();
  const next = (): void => {
    const [first] = waiting;
    if (listing < MOST_LISTING) first?.();
  };
  return (node, onEvent, signal) => {
    const sinceMs = clock.now();
    let watch: ReturnType<WatchNode> | undefined;
    let isListing = false;
    const listed = (): void => {
      if (!isListing) return;
      isListing = false;
      listing -= 1;
      next();
    };
    const start = (): void => {
      waiting.delete(start);
      if (signal.aborted || watch !== undefined) return;
      isListing = true;
      listing += 1;
      const hear: typeof onEvent = (event) => {
        listed();
        onEvent(event);
      };
      watch = watchNode(node, hear, signal);
    };
    const leave = (): void => {
      waiting.delete(start);
      listed();
    };
    signal.addEventListener("abort", leave, { once: true });
    if (listing < MOST_LISTING) start();
    else {
      waiting.add(start);
      clock.sleep(LONGEST_MS, signal).then(start, () => undefined);
    }
    return {
      get lastByteAtMs() {
        return watch?.lastByteAtMs ?? sinceMs;
      },
    };
  };
}
