import assert from "node:assert/strict";
import { test } from "node:test";
import { differenceOf } from "./differential.ts";

/** More with `npm run fuzz -- --seeds 2000`. */
const SEEDS = 100;

test(`a leader that is killed at any point leaves what it would have left undisturbed: ${SEEDS} histories`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const found = await differenceOf(seed);
    assert.equal(found, undefined, found && `seed ${seed}: ${found.what}\n${JSON.stringify(found.history, null, 1)}`);
  }
});
