import assert from "node:assert/strict";
import { test } from "node:test";
import { keyTwice } from "../../../../coordinator/domain/intent/json-keys.ts";

for (const [value, twice] of [
  ['{"80": 1, "80": 2}', '"80"'],
  ['[{"a": 1}, {"a": 2}]', undefined],
  ['{"a": {"b": 1, "c": {"b": 1}}, "b": 1}', undefined],
  ['{"a": {"b": 1, "c": [1], "b": 2}}', '"b"'],
  ['{"a": "x\\"y", "b": "{\\"a\\": 1, \\"a\\": 2}"}', undefined],
  ['{"a" : "a", "c": ["a", "a"]}', undefined],
  ["80:80", undefined],
  ["{", undefined],
] as const)
  test(`a key that is there twice: ${value}`, () => {
    assert.equal(keyTwice(value), twice && `the key ${twice} is there twice: leave one of them`);
  });
