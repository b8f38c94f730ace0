import type { Remedy } from "./errors.ts";

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

/** RBAC and tokens get fixed by people or by rotation: slow, but not never. */
const DENIED_RETRY_MS = 30_000;
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
      return { kind: "retryAfter", delayMs: DENIED_RETRY_MS };
    case "denied": // in a namespace that ends nothing can be created any more (kubernetes.md §9)
      return causes.some(({ reason }) => reason === "NamespaceTerminating")
        ? { kind: "giveUp" }
        : { kind: "retryAfter", delayMs: DENIED_RETRY_MS };
    case "badRequest":
    case "notFound":
    case "invalid":
      return { kind: "giveUp" };
    default:
      return failure satisfies never;
  }
}
