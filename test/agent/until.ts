import assert from "node:assert/strict";

/** Resolves as soon as the condition holds; fails with its source text after `ms` of real time. */
export async function until(condition: () => boolean, ms = 5_000): Promise<void> {
  const lastMs = Date.now() + ms;
  while (!condition()) {
    assert.ok(Date.now() < lastMs, `not within ${ms} ms: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
