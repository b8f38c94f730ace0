import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutManagedFields } from "../../../../coordinator/domain/admission/managed-fields.ts";

const read = (json: string): unknown => JSON.parse(withoutManagedFields(Buffer.from(json)));
const MANAGER = { manager: "ü] \\", fieldsV1: { 'k:{"name":"]["}': { "v:\\": [[], ['\\"']] } } };

for (const [name, metadata] of [
  ["the last member, as the API server writes it", { name: "é", managedFields: [MANAGER, MANAGER] }],
  ["one in the middle", { name: "a", managedFields: [MANAGER], labels: { app: "web" } }],
  ["an empty list", { name: "a", managedFields: [] }],
] as const)
  test(`a review is read without its managed fields: ${name}`, () => {
    const { managedFields: _, ...rest } = metadata;
    const spec = { containers: [{ name: "web" }] };
    assert.deepEqual(read(JSON.stringify({ metadata, spec })), { metadata: rest, spec });
  });

for (const [name, review] of [
  ["none", { metadata: { name: "a" } }],
  ["no list", { metadata: { name: "a", managedFields: null } }],
  ["the first member", { metadata: { managedFields: [MANAGER], name: "a" } }],
  ["the words in a text", { metadata: { name: "a", annotations: { x: ',"managedFields":[', ',"managedFields":[': "]" } } }],
  ["a name that ends so", { metadata: { name: "a", ',"managedFields': ["x"] } }],
] as const)
  test(`what is no member managedFields behind another one stays: ${name}`, () => assert.deepEqual(read(JSON.stringify(review)), review));

for (const json of ['{"a":1,"managedFields":[{"x":"]"}', '{"a":1,"managedFields":["\\', '{"a":1,"managedFields":[]'])
  test(`what is no JSON does not become any: ${json}`, () => assert.throws(() => read(json), SyntaxError));
