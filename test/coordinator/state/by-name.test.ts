import assert from "node:assert/strict";
import { test } from "node:test";
import { ByName } from "../../../coordinator/state/by-name.ts";

const named = (uid: string, namespace = "demo") => ({ uid, namespace, name: "checks", resourceVersion: "1" });

test("finds what has a name now, also where it was deleted and made anew", () => {
  const records = new ByName<ReturnType<typeof named>>();
  const before = records.version;
  records.changed({ kind: "added", record: named("a") });
  records.changed({ kind: "added", record: named("b") }); // the end of the first one is told later
  records.changed({ kind: "removed", record: named("a"), evidence: "deleted" });
  assert.deepEqual([records.get("demo", "checks")?.uid, records.get("shop", "checks")], ["b", undefined]);
  assert.notEqual(records.version, before);
  records.changed({ kind: "removed", record: named("b"), evidence: "deleted" });
  assert.equal(records.get("demo", "checks"), undefined);
});
