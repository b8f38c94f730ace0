/** Asks the API server who holds a token. Rejects with TokenRefused, or with the failure to ask (retried by the agent). */
export type ReviewToken = (token: string, nodeName: string, signal: AbortSignal) => Promise<{ readonly expiresAtMs: number }>;

/** The token proves nothing (`unauthenticated`) or another right than the one claimed (`forbidden`). */
export class TokenRefused extends Error {
  override readonly name = "TokenRefused";
  readonly kind: "unauthenticated" | "forbidden";
  constructor(kind: "unauthenticated" | "forbidden", message: string) {
    super(message);
    this.kind = kind;
  }
}

export function makeTokenReview(_deps: {
  readonly kube: unknown;
  readonly namespace: string;
  readonly clock: { now(): number };
}): ReviewToken {
  throw new Error("not built yet");
}
