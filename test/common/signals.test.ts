import assert from "node:assert/strict";
import { test } from "node:test";
import { eitherSignal, withEither } from "../../common/signals.ts";

test("aborts with the first signal and its reason, also one that was aborted before", () => {
  const [a, b] = [new AbortController(), new AbortController()];
  const either = eitherSignal(a.signal, b.signal);
  assert.equal(either.aborted, false);
  b.abort("enough");
  a.abort("too late");
  assert.deepEqual([either.aborted, either.reason], [true, "enough"]);
  assert.equal(eitherSignal(new AbortController().signal, b.signal).reason, "enough");
});

test("work ends with the first signal, and leaves no listener behind", async () => {
  const [a, b] = [new AbortController(), new AbortController()];
  let listeners = 0;
  for (const { signal } of [a, b]) {
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add(...args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners--, remove(...args));
  }
  assert.equal(await withEither([a.signal, b.signal], async () => 7), 7);
  assert.equal(listeners, 0);
  const work = withEither(
    [a.signal, b.signal],
    (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason))),
  );
  b.abort("stop");
  assert.equal(await work, "stop");
  assert.equal(await withEither([a.signal, b.signal], async (signal) => signal.aborted), true);
});
