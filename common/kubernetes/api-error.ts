import type { Remedy } from "../errors.ts";
import { member } from "./json-member.ts";

/** What kind of failure it was; a closed set, fit for a metric label. */
export type KubeFailure =
  | "badRequest" // 400, 405, 413, 415 …: the request itself is wrong
  | "unauthenticated" // 401
  | "denied" // 403
  | "notFound" // 404
  | "conflict" // 409
  | "gone" // 410: resourceVersion or continue token too old; as HTTP status or inside a watch
  | "invalid" // 422: see `causes`
  | "throttled" // 429
  | "server" // 5xx, or an answer that is no JSON
  | "timeout" // nothing within the time of the request
  | "transport"; // no answer: refused, reset, name not found, TLS

/** One entry of `details.causes` of a Status, e.g. { field: "metadata.uid", reason: "FieldValueInvalid", message: "field is immutable" }. */
export type KubeCause = { readonly field?: string; readonly reason?: string; readonly message?: string };

/** What an answer of the API server told besides its code. */
type Told = { readonly code?: number; readonly reason?: string; readonly causes?: readonly KubeCause[]; readonly retryAfterMs?: number };

/** A call to the Kubernetes API that failed. `request` is verb and path, e.g. "PATCH /api/v1/namespaces/shop/pods/web-1/status". */
export class KubeApiError extends Error {
  override readonly name = "KubeApiError";
  readonly request: string;
  readonly failure: KubeFailure;
  /** HTTP status; undefined where no answer came (timeout, transport). */
  readonly code: number | undefined;
  /** `reason` of the Status, e.g. "AlreadyExists". */
  readonly reason: string | undefined;
  readonly causes: readonly KubeCause[];
  readonly retryAfterMs: number | undefined;
  readonly remedy: Remedy;

  constructor(request: string, failure: KubeFailure, message: string, told: Told = {}, options?: ErrorOptions) {
    super(`${request}: ${message}`, options);
    this.request = request;
    this.failure = failure;
    this.code = told.code;
    this.reason = told.reason;
    this.causes = told.causes ?? [];
    this.retryAfterMs = told.retryAfterMs;
    this.remedy = remedyFor(failure, this.causes, told.retryAfterMs);
  }

  /** Status patches carry `metadata.uid`: 404, or 422 with that cause, means that this very object is gone (kubernetes.md §2). */
  get isOtherObject(): boolean {
    return this.failure === "notFound" || this.causes.some(({ field }) => field === "metadata.uid");
  }
}

/** Used when a 429 names no time; API servers send `Retry-After: 1` (kubernetes.md §12). */
const THROTTLED_RETRY_MS = 1_000;

function remedyFor(failure: KubeFailure, causes: readonly KubeCause[], retryAfterMs: number | undefined): Remedy {
  switch (failure) {
    case "throttled":
      return { kind: "retryAfter", delayMs: retryAfterMs ?? THROTTLED_RETRY_MS };
    case "server":
    case "timeout":
    case "transport":
    case "conflict":
    case "gone":
      return retryAfterMs === undefined ? { kind: "retry" } : { kind: "retryAfter", delayMs: retryAfterMs };
    case "unauthenticated":
      return { kind: "retry" };
    case "denied": // in a namespace that ends nothing can be created any more (kubernetes.md §9)
      return causes.some(({ reason }) => reason === "NamespaceTerminating") ? { kind: "giveUp" } : { kind: "retry" };
    case "badRequest":
    case "notFound":
    case "invalid":
      return { kind: "giveUp" };
    default:
      return failure satisfies never;
  }
}

/** The error for an answer that is not 2xx. `body` is a Status as JSON, or plain text (429 and proxies), or empty. */
export function errorFromAnswer(request: string, code: number, body: string, retryAfter?: string): KubeApiError {
  const { reason, message, causes } = statusOf(body);
  const seconds = Number(retryAfter);
  return new KubeApiError(request, failureOf(code), `${code} ${message ?? (body.trim().slice(0, 300) || "without a message")}`, {
    code,
    causes,
    ...(reason !== undefined && { reason }),
    ...(retryAfter !== undefined && seconds >= 0 && { retryAfterMs: seconds * 1_000 }),
  });
}

/** The error where no answer came: `error` as undici throws it. */
export function errorFromTransport(request: string, error: unknown): KubeApiError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && "code" in cause ? `${String(cause.code)} ` : "";
  return new KubeApiError(request, "transport", `${code}${cause instanceof Error ? cause.message : String(cause)}`, {}, { cause: error });
}

function failureOf(code: number): KubeFailure {
  switch (code) {
    case 401:
      return "unauthenticated";
    case 403:
      return "denied";
    case 404:
      return "notFound";
    case 409:
      return "conflict";
    case 410:
      return "gone";
    case 422:
      return "invalid";
    case 429:
      return "throttled";
    default:
      return code >= 400 && code < 500 ? "badRequest" : "server";
  }
}

/** Reads a Status without trusting it; whatever is not one gives no fields. */
function statusOf(body: string): { reason?: string; message?: string; causes: readonly KubeCause[] } {
  let status: unknown;
  try {
    status = JSON.parse(body);
  } catch {
    return { causes: [] }; // plain text: 429, or a proxy in between
  }
  const reason = member(status, "reason");
  const message = member(status, "message");
  const causes = member(member(status, "details"), "causes");
  return {
    ...(typeof reason === "string" && { reason }),
    ...(typeof message === "string" && { message }),
    causes: Array.isArray(causes) ? causes.map(causeOf) : [],
  };
}

function causeOf(raw: unknown): KubeCause {
  const [where, reason, message] = [member(raw, "field"), member(raw, "reason"), member(raw, "message")];
  return {
    ...(typeof where === "string" && { field: where }),
    ...(typeof reason === "string" && { reason }),
    ...(typeof message === "string" && { message }),
  };
}
