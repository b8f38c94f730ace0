import assert from "node:assert/strict";
import { test } from "node:test";
import { isLocked, isThrottled, toClbApiError } from "../../../coordinator/cloud/clb-error.ts";

/** As the SDK throws it: a code where the cloud answered, none where it did not. */
const sdkError = (code: string | undefined, more: object = {}): Error =>
  Object.assign(new Error("what the cloud said"), { requestId: code === undefined ? "" : "req-1" }, code !== undefined && { code }, more);

const CODES: readonly (readonly [thrown: string, error: unknown, code: string, delayMs: number, ambiguous: boolean])[] = [
  ["the lock", sdkError("FailedOperation.ResourceInOperating"), "FailedOperation.ResourceInOperating", 300, false],
  ["the rate limit", sdkError("RequestLimitExceeded"), "RequestLimitExceeded", 1_000, false],
  [
    "the rate limit of the account",
    sdkError("RequestLimitExceeded.UinLimitExceeded"),
    "RequestLimitExceeded.UinLimitExceeded",
    1_000,
    false,
  ],
  ["a fault of the cloud", sdkError("InternalError"), "InternalError", 500, true],
  ["a fault of the cloud, told closer", sdkError("InternalError.Db"), "InternalError.Db", 500, true],
  ["a service that is away", sdkError("ServiceUnavailable"), "ServiceUnavailable", 500, true],
  ["what passes", sdkError("FailedOperation"), "FailedOperation", 1_000, false],
  ["what passes", sdkError("ResourceInUse"), "ResourceInUse", 1_000, false],
  ["a wrong parameter", sdkError("InvalidParameterValue.Length"), "InvalidParameterValue.Length", 30_000, false],
  ["a code with a digit", sdkError("InvalidParameterValue.Http2NotSupported"), "InvalidParameterValue.Http2NotSupported", 30_000, false],
  ["a quota", sdkError("LimitExceeded"), "LimitExceeded", 5_000, false],
  ["missing rights", sdkError("AuthFailure.UnauthorizedOperation"), "AuthFailure.UnauthorizedOperation", 30_000, false],
  ["a listener that is not there", sdkError("InvalidParameter.ListenerIdNotFound"), "InvalidParameter.ListenerIdNotFound", 1_000, true],
  ["a load balancer that is not there", sdkError("InvalidParameter.LBIdNotFound"), "InvalidParameter.LBIdNotFound", 1_000, true],
  ["a refused connection", sdkError(undefined), "Transport", 500, true],
  ["an HTTP status", sdkError(undefined, { httpCode: 502 }), "Transport", 500, true],
  [
    "a body that is not JSON",
    Object.assign(new Error("invalid json"), { name: "FetchError", type: "invalid-json" }),
    "Transport",
    500,
    true,
  ],
  // The SDK passes on what reading the body throws: codes of the operating system are not codes of the cloud.
  ["a body cut off", Object.assign(new Error("aborted"), { code: "ECONNRESET" }), "Transport", 500, true],
  ["a body cut off", Object.assign(new Error("premature close"), { code: "ERR_STREAM_PREMATURE_CLOSE" }), "Transport", 500, true],
  ["a numeric code", sdkError(undefined, { code: 500 }), "Transport", 500, true],
  ["text", "broken", "Transport", 500, true],
  ["nothing", undefined, "Transport", 500, true],
];

for (const [title, thrown, code, delayMs, ambiguous] of CODES)
  test(`classifies ${title}: ${code}`, () => {
    const error = toClbApiError("BatchRegisterTargets", thrown);
    assert.deepEqual([error.call.action, error.call.code], ["BatchRegisterTargets", code]);
    assert.deepEqual([error.remedy, error.ambiguous], [{ kind: "retryAfter", delayMs }, ambiguous]);
    assert.equal(error.cause, thrown);
  });

test("a read that is refused for a reason that lasts is tried again sooner than a write", () => {
  const waitMs = (action: string): unknown => Reflect.get(toClbApiError(action, sdkError("UnauthorizedOperation")).remedy, "delayMs");
  assert.deepEqual([waitMs("DescribeListeners"), waitMs("CreateListener")], [5_000, 30_000]);
});

test("tells action, code, sentence and the request id that support asks for", () => {
  const error = toClbApiError("CreateListener", sdkError("LimitExceeded"));
  assert.equal(error.message, "CreateListener failed: LimitExceeded: what the cloud said");
  assert.equal(error.call.requestId, "req-1");
});

test("knows the lock and throttling, and nothing else, by their codes", () => {
  assert.deepEqual(["FailedOperation.ResourceInOperating", "FailedOperation", "RequestLimitExceeded"].map(isLocked), [true, false, false]);
  assert.deepEqual(["RequestLimitExceeded", "RequestLimitExceeded.IPLimitExceeded", "LimitExceeded"].map(isThrottled), [true, true, false]);
});
