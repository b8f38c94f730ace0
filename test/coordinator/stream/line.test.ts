import assert from "node:assert/strict";
import { test } from "node:test";
import { makeLine } from "../../../coordinator/stream/line.ts";

test("addresses take turns, and each has its own order; who may not is passed over and keeps its turn", () => {
  const line = makeLine<string>({ each: 10, all: 10 }, () => assert.fail());
  for (const one of ["a1", "a2", "a3", "b1", "b2", "c1"]) assert.ok(line.add(one.slice(0, 1), one));
  line.delete("a", "a2");
  line.delete("a", "a2"); // counts once
  assert.equal(line.size, 5);
  assert.deepEqual([line.some((address) => address === "b"), line.some((address) => address === "d")], [true, false]);
  const served = [line.next(), line.next((address) => address !== "b"), line.next(), line.next(), line.next()];
  assert.deepEqual(served, ["a1", "c1", "b1", "a3", "b2"]);
  assert.deepEqual([line.next(), line.size, line.all()], [undefined, 0, []]);
});

test("so many of one address may wait, and so many at all; who leaves makes room", () => {
  const line = makeLine<number>({ each: 2, all: 3 }, () => assert.fail());
  assert.deepEqual([line.add("a", 1), line.add("a", 2), line.add("a", 3)], [true, true, false]);
  assert.deepEqual([line.add("b", 4), line.add("b", 5)], [true, false]);
  line.next();
  assert.deepEqual([line.add("a", 6), line.add("a", 7)], [true, false]);
});

test("where too many wait at all the last one of the address that has the most makes way, unless the other has about as many", () => {
  const away: string[] = [];
  const line = makeLine<string>({ each: 4, all: 6 }, (one) => away.push(one));
  for (const one of ["a1", "a2", "b1", "b2", "b3", "b4"]) line.add(one.slice(0, 1), one);
  const added = ["c1", "b5", "c2", "c3", "d1", "d2", "e1"].map((one) => line.add(one.slice(0, 1), one));
  assert.deepEqual(added, [true, false, true, false, true, false, true]);
  assert.deepEqual([away, line.size], [["b4", "b3", "a2", "b2"], 6]);
  assert.deepEqual(
    Array.from({ length: 7 }, () => line.next()),
    ["a1", "b1", "c1", "d1", "e1", "c2", undefined],
  );
});
