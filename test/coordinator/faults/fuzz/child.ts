/** A process of the fuzzer: takes seeds as messages and answers each with what it found; a seed that throws ends it. */
import { type Difference, differenceOf } from "./differential.ts";

/** `found` undefined: no difference. */
export type Tried = { readonly seed: number; readonly found: Difference | undefined };

async function answer(seed: number): Promise<void> {
  process.send?.({ seed, found: await differenceOf(seed) } satisfies Tried);
}

process.on("message", (seed: number) => void answer(seed));
