import assert from "node:assert/strict";
import { test } from "node:test";
import { isCancelled, type Remedy, remedyOf } from "../../common/errors.ts";

test("takes the remedy from the error, and retries what says nothing", () => {
  const remedy: Remedy = { kind: "retryAfter", delayMs: 300 };
  assert.deepEqual(remedyOf(Object.assign(new Error("locked"), { remedy })), remedy);
  assert.deepEqual(remedyOf(new Error("no idea")), { kind: "retry" });
  assert.deepEqual(remedyOf({ remedy }), { kind: "retry" });
  assert.deepEqual(remedyOf(undefined), { kind: "retry" });
});

test("tells being called off from failing", () => {
  const calledOff = new AbortController();
  const failure = new Error("connection reset");
  const abort = new DOMException("This operation was aborted", "AbortError");
  assert.equal(isCancelled(abort, calledOff.signal), false); // nobody called it off: some other signal did
  calledOff.abort(new Error("shutting down"));
  assert.equal(isCancelled(calledOff.signal.reason, calledOff.signal), true);
  assert.equal(isCancelled(abort, calledOff.signal), true);
  assert.equal(isCancelled(failure, calledOff.signal), false); // failed by itself in the same moment
});
