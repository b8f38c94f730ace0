import type { Remedy } from "../../common/errors.ts";
import type { RefusedCall } from "../domain/refused-call.ts";

/** `code` is the cloud's own code, e.g. "RequestLimitExceeded", or "Transport" where no answer came; `requestId` is what support asks for. */
export type FailedCall = { readonly action: string; readonly code: string; readonly requestId: string };

/** A call to the cloud that failed. `ambiguous`: it may have taken effect, or we are wrong about what is there: read before you repeat it. */
export class ClbApiError extends Error {
  override readonly name = "ClbApiError";
  readonly call: FailedCall;
  /** What the cloud said, without the code, e.g. "the account is in arrears". */
  readonly words: string;
  readonly remedy: Remedy;
  readonly ambiguous: boolean;

  constructor(call: FailedCall, words: string, remedy: Remedy, ambiguous: boolean, options?: ErrorOptions) {
    super(`${call.action} failed: ${call.code}: ${words}`, options);
    this.call = call;
    this.words = words;
    this.remedy = remedy;
    this.ambiguous = ambiguous;
  }
}

/** The same failure, for a caller that must not try again sooner. */
export const restedFor = (error: ClbApiError, delayMs: number): ClbApiError =>
  new ClbApiError(error.call, error.words, { kind: "retryAfter", delayMs }, error.ambiguous, { cause: error });

/** Code of a failure without an answer of the cloud: refused, reset, timeout, not JSON. */
const TRANSPORT = "Transport";
/** Code of a task that ended with status 1. */
export const TASK_FAILED = "TaskFailed";
/** Code of a batch call that was answered well but names listeners that failed (clb-api.md §3.6). */
export const PARTIAL_FAILURE = "PartialFailure";

/** Retry waits. The lock: a write takes 0.4 to 5 s (clb-api.md §7.5), and nobody queues at the server. */
const LOCKED_RETRY_MS = 300;
const THROTTLED_RETRY_MS = 1_000;
const UNANSWERED_RETRY_MS = 500;
/** A parameter that is wrong now is wrong again in a second; a try now and then is enough, since the world changes. */
const HOPELESS_RETRY_MS = 30_000;
/** Of a read: what cannot be seen holds up everything at its load balancer, drains as well. */
const HOPELESS_READ_RETRY_MS = 5_000;

/** A quota: what is being drained makes room within its drain time. */
const OVER_QUOTA_RETRY_MS = 5_000;

/** Codes whose cause passes by itself. Source: clb-api.md §1.6. */
const PASSING = [/^InternalError/, /^ServiceUnavailable/, /^ResourceInUse/, /^ResourceUnavailable/, /^FailedOperation/];

const DENIED = /^(UnauthorizedOperation|AuthFailure|UnsupportedRegion|InvalidParameter\.RegionNotFound)/;

/** What we believed to be there is not: somebody removed it. Source: clb-api.md §1.6. */
const GONE = /^InvalidParameter\.(LBId|ListenerId|Location)NotFound$/;
/** These name targets that are bound as far as we know; one that is not refuses the whole call, with a code that nobody documents (clb-api.md §9). */
const ABOUT_BOUND = new Set(["BatchDeregisterTargets", "BatchModifyTargetWeight"]);
const REFUSED = /^(InvalidParameter|FailedOperation|ResourceNotFound|UnsupportedOperation)/;
/** The cloud's codes, e.g. "InvalidParameterValue.Length"; not those of the operating system, e.g. "ECONNRESET" while a body is read. */
const CLOUD_CODE = /^[A-Z][a-z][A-Za-z0-9.]+$/;

/** Classifies what the transport threw, once and for all. Cancellation is passed on as it is. */
export function toClbApiError(action: string, error: unknown): ClbApiError {
  const text = (name: string): string => {
    const value: unknown = typeof error === "object" && error !== null ? Reflect.get(error, name) : undefined;
    return typeof value === "string" ? value : "";
  };
  const code = text("code");
  const call = { action, code: CLOUD_CODE.test(code) ? code : TRANSPORT, requestId: text("requestId") };
  const message = steadyWords(text("message"));
  const fail = (delayMs: number, ambiguous: boolean): ClbApiError =>
    new ClbApiError(call, message, { kind: "retryAfter", delayMs }, ambiguous, { cause: error });
  if (call.code === TRANSPORT) return fail(UNANSWERED_RETRY_MS, true);
  if (isThrottled(call.code)) return fail(THROTTLED_RETRY_MS, false);
  if (isQuota(call.code)) return fail(OVER_QUOTA_RETRY_MS, false);
  if (isLocked(call.code)) return fail(LOCKED_RETRY_MS, false);
  if (/^InternalError|^ServiceUnavailable/.test(call.code)) return fail(UNANSWERED_RETRY_MS, true);
  if (isGone(call.code) || (ABOUT_BOUND.has(action) && REFUSED.test(call.code))) return fail(THROTTLED_RETRY_MS, true);
  if (PASSING.some((pattern) => pattern.test(call.code))) return fail(THROTTLED_RETRY_MS, false);
  return fail(isRead(action) ? HOPELESS_READ_RETRY_MS : HOPELESS_RETRY_MS, false);
}

/** Without what changes from one call to the next: CAM names the request in its words, e.g. "[request id:6c915c06-…]you are not authorized". */
function steadyWords(message: string): string {
  const named = /\[?\(?request ?id:? ?\[?[0-9a-f-]{8,}\]?\)?\]?[,.:;]? ?/gi;
  return message.replace(named, "").replaceAll(/\s+/g, " ").trim();
}

export const isRead = (action: string): boolean => action.startsWith("Describe");
export const isThrottled = (code: string): boolean => code.startsWith("RequestLimitExceeded");
/** More than the account may have. Source: clb-api.md §1.6. */
export const isQuota = (code: string): boolean => code.startsWith("LimitExceeded");
/** A listener, rule or load balancer that was named is not there. */
export const isGone = (code: string): boolean => GONE.test(code);
/** The account is in arrears. Source: clb-api.md §1.6. */
export const isArrears = (code: string): boolean => code === "FailedOperation.InsufficientBalance";
/** The key, its rights or its region: nothing that a single object asks for. Source: clb-api.md §1.6. */
export const isDenied = (code: string): boolean => DENIED.test(code);
/** An order of a load balancer that meets this would be refused for every other owner as well. */
export const isAccountWide = (code: string): boolean => isArrears(code) || isQuota(code) || isDenied(code);
export const isLocked = (code: string): boolean => code === "FailedOperation.ResourceInOperating";

const LASTING = /^(InvalidParameter|UnsupportedOperation|ResourceNotFound|MissingParameter)/;

/** The call itself was refused, not the moment at which it came. */
export const isLasting = ({ call: { code } }: ClbApiError): boolean => code === PARTIAL_FAILURE || isQuota(code) || LASTING.test(code);

/** What was asked for was refused, for what it is; the lock, throttling and lost answers say nothing about that. */
export const isRefusal = (error: ClbApiError): boolean => {
  const { code } = error.call;
  if (isLocked(code) || isThrottled(code) || isGone(code)) return false;
  return isLasting(error) || code === TASK_FAILED || code.startsWith("FailedOperation");
};

/** A failure as it is told to those whom it holds up; undefined: it is told where it belongs, by item. What is said to be gone and is still listed is told when that lasts. */
export function refusedCallOf(error: ClbApiError): RefusedCall | undefined {
  const { call, words } = error;
  const { action, code } = call;
  if (isDenied(code)) return { action, code, words, cause: "denied" };
  const hasItems = !isRead(action) && action !== "DeleteLoadBalancer"; // its refusal is nobody else's to tell
  if (hasItems && isRefusal(error)) return undefined;
  return { action, code, words, cause: code === TRANSPORT ? "unanswered" : "failing" };
}
