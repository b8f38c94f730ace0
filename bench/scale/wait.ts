/** How long something may stand still, and how long it may take at most, in milliseconds. */
export type Patience = { readonly stalledMs: number; readonly mostMs: number };

const LOOK_MS = 10;

/** Waits until as many are there as are wanted. Returns how many there are then: fewer where nothing came for too long. */
export async function untilAll(count: () => number, wanted: number, { stalledMs, mostMs }: Patience): Promise<number> {
  const limitMs = performance.now() + mostMs;
  let most = count();
  for (let grewAtMs = performance.now(); count() < wanted; ) {
    const nowMs = performance.now();
    if (count() > most) [most, grewAtMs] = [count(), nowMs];
    if (nowMs - grewAtMs >= stalledMs || nowMs >= limitMs) break;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return count();
}
