import { performance } from "node:perf_hooks";

/**
 * So long may passes follow each other without a turn of the event loop, milliseconds of real time: a Lease is renewed every second, a
 * stream is read and a timer fires no later than this after its time. Where timers and I/O take longer than `leastMs` in each turn, passes may
 * take as long as they did: else a busy process would read ever more and do ever less of what follows from it. Own choice.
 */
const TURN = { leastMs: 5, mostMs: 10 } as const;

/** When the first pass of the present turn of the event loop began, as far as there was one, and how long passes may follow it. */
let turn: { readonly beganMs: number; readonly lastsMs: number } | undefined;
/** Who waits, by kind: those of a kind in the order of coming. */
const waiting = new Map<string, (() => void)[]>();
/**
 * How long passes of each kind have taken since somebody waited; of one for which nobody waited, as if it had taken its share meanwhile.
 * Milliseconds. What a kind takes while nobody waits is taken from nobody.
 */
const tookMs = new Map<string, number>();
/** Whoever goes on: what it does is not over; or the next turn is awaited. */
let present: { readonly kind: string; readonly fromMs: number } | "next turn" | undefined;
/** The least that a kind had taken which went on last. */
let evenMs = 0;

/**
 * Lets timers and I/O have their turn when the work of this turn has taken long; else resolves as soon as whoever went on before has done all
 * that it does without waiting. One for the whole process, because passes of all queues run in the same turn. Nobody overtakes others of the
 * same `kind`, e.g. the name of a queue; of several kinds each gets as much time as the others, so that a short pass does not wait for a
 * hundred long ones of another kind.
 */
export async function yieldTurn(kind = ""): Promise<void> {
  if (present === undefined && hasTime()) return take(kind);
  await new Promise<void>((resolve) => {
    const others = waiting.get(kind);
    if (others !== undefined) others.push(resolve);
    else {
      waiting.set(kind, [resolve]);
      tookMs.set(kind, Math.max(tookMs.get(kind) ?? 0, evenMs));
    }
    if (present === undefined) awaitTurn();
  });
}

/** A tick that is asked for among microtasks comes when none of them is left. */
function take(kind: string): void {
  present = { kind, fromMs: performance.now() };
  queueMicrotask(() => process.nextTick(goOn));
}

function awaitTurn(): void {
  present = "next turn";
  const fromMs = performance.now();
  setImmediate(() => {
    const nowMs = performance.now();
    beginTurn(nowMs, Math.min(Math.max(nowMs - fromMs, TURN.leastMs), TURN.mostMs)); // so that one at least goes on in each turn
    next();
  });
}

function goOn(): void {
  if (typeof present === "object") tookMs.set(present.kind, (tookMs.get(present.kind) ?? 0) + performance.now() - present.fromMs);
  next();
}

function next(): void {
  present = undefined;
  if (waiting.size === 0) {
    tookMs.clear();
    evenMs = 0;
    return;
  }
  if (!hasTime()) return awaitTurn();
  const [kind = ""] = [...waiting.keys()].sort((a, b) => (tookMs.get(a) ?? 0) - (tookMs.get(b) ?? 0));
  evenMs = tookMs.get(kind) ?? 0;
  const resolves = waiting.get(kind);
  const resolve = resolves?.shift();
  if (resolves?.length === 0) waiting.delete(kind);
  take(kind);
  resolve?.();
}

function hasTime(): boolean {
  const nowMs = performance.now();
  const { beganMs, lastsMs } = turn ?? beginTurn(nowMs, TURN.leastMs);
  return nowMs - beganMs < lastsMs;
}

function beginTurn(beganMs: number, lastsMs: number): NonNullable<typeof turn> {
  const begun = { beganMs, lastsMs };
  turn = begun;
  setImmediate(() => {
    if (turn === begun) turn = undefined;
  });
  return begun;
}
