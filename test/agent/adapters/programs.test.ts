import assert from "node:assert/strict";
import { test } from "node:test";
import { missingPrograms } from "../../../agent/adapters/programs.ts";

test("each program that is missing is named with its package; one that is there is not", () => {
  const [said, ...others] = missingPrograms("/bin:/usr/bin", { sh: "dash", "no-such-program": "some-package" });
  assert.match(said ?? "", /^no-such-program is not on PATH \(\/bin:\/usr\/bin\).*some-package/);
  assert.deepEqual(others, []);
  assert.match(missingPrograms("").join(), /^ip is not on PATH \(\).*iproute2/);
});
