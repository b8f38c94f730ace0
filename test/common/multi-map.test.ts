import assert from "node:assert/strict";
import { test } from "node:test";
import { MultiMap } from "../../common/multi-map.ts";

test("keeps what was added under each key, once and in order, and forgets what was deleted", () => {
  const map = new MultiMap<string, { readonly n: number }>();
  const [a, b, c] = [1, 2, 3].map((n) => ({ n }));
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  assert.deepEqual(map.of("k"), []);
  for (const value of [a, a, b, c, b]) map.add("k", value);
  map.add("other", c);
  assert.deepEqual([map.of("k"), map.of("other"), map.size], [[a, b, c], [c], 2]);
  map.delete("k", b);
  map.delete("k", { n: 1 }); // another object
  assert.deepEqual(map.of("k"), [a, c]);
  map.delete("k", a);
  assert.deepEqual(map.of("k"), [c]);
  map.add("k", b);
  assert.deepEqual(map.of("k"), [c, b]);
  for (const value of [b, c, c]) map.delete("k", value);
  assert.deepEqual([map.of("k"), map.size], [[], 1]);
  map.delete("unknown", a);
});
