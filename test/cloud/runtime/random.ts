/** Evenly spread numbers in [0, 1), the same row for the same seed (mulberry32). */
export type Random = () => number;

export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d_2b_79_f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** An identifier as the cloud makes them, e.g. `newId("lb", random)` -> "lb-5t0qz1x8". */
export function newId(prefix: string, random: Random): string {
  let id = `${prefix}-`;
  for (let digit = 0; digit < 8; digit++) id += Math.floor(random() * 36).toString(36);
  return id;
}
