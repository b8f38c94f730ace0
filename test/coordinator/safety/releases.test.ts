import assert from "node:assert/strict";
import { test } from "node:test";
import { Releases, releaseIds } from "../../../coordinator/safety/releases.ts";

test("ids are read however a person separates and writes them", () => {
  for (const written of ["r-1,r-2", "R-1; r-2", " r-1\n\tr-2 ", ";r-1,,R-2;"])
    assert.deepEqual(releaseIds(written), ["r-1", "r-2"], written);
  for (const written of [undefined, "", " ,; "]) assert.deepEqual(releaseIds(written), []);
});

test("an id is astray until a removal of that name has waited, and again when it was written anew", () => {
  const releases = new Releases();
  releases.look(new Set(["r-1", "r-wrong"]), 0);
  assert.deepEqual([releases.judge("r-1", 0), releases.judge("r-2", 0)], ["good", undefined]);
  assert.deepEqual(releases.strays, ["r-wrong"]);
  releases.use("r-1");
  assert.deepEqual(releases.strays, ["r-wrong"]); // it has named something
  releases.look(new Set(), 0);
  releases.look(new Set(["r-1"]), 0);
  assert.deepEqual(releases.strays, ["r-1"]);
});
