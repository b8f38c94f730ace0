/** What to do after a failure. `delayMs` is the least wait that the other side asked for. */
export type Remedy = { readonly kind: "retry" } | { readonly kind: "retryAfter"; readonly delayMs: number } | { readonly kind: "giveUp" };

/** An error that knows its remedy; classes of their own exist per boundary (KubeApiError, ClbApiError). */
export type Remediable = Error & { readonly remedy: Remedy };

/** The remedy that an error carries; unknown errors are retried. */
export function remedyOf(error: unknown): Remedy {
  return error instanceof Error && "remedy" in error ? (error as Remediable).remedy : { kind: "retry" };
}

/** True where the work was called off: not a failure, not to be logged as one. */
export function isCancelled(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && (error === signal.reason || (error instanceof Error && error.name === "AbortError"));
}

/** Configuration that cannot work; the message lists every mistake at once. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}
