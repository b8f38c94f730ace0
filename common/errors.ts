/** What to do after a failure. `delayMs` is the least wait that the other side asked for. */
export type Remedy = { readonly kind: "retry" } | { readonly kind: "retryAfter"; readonly delayMs: number } | { readonly kind: "giveUp" };

/** The remedy that an error of one of our boundaries carries (KubeApiError, ClbApiError); unknown errors are retried. */
export function remedyOf(error: unknown): Remedy {
  const remedy: unknown = error instanceof Error ? Reflect.get(error, "remedy") : undefined;
  return isRemedy(remedy) ? remedy : { kind: "retry" };
}

const isRemedy = (value: unknown): value is Remedy => typeof value === "object" && value !== null && "kind" in value;

/** True where the work was called off: not a failure, not to be logged as one. */
export function isCancelled(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && (error === signal.reason || (error instanceof Error && error.name === "AbortError"));
}

/** Configuration that cannot work; the message lists every mistake at once. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}
