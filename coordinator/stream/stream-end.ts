import { Metadata, status } from "@grpc/grpc-js";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { TokenRefused } from "./token-review.ts";

/** An end that the agent is told as this gRPC status. */
export class StreamEnd extends Error {
  override readonly name = "StreamEnd";
  readonly code: status;
  /** How long the agent is to wait before it comes again, milliseconds; undefined: as it likes. */
  readonly retryAfterMs: number | undefined;

  constructor(code: status, message: string, retryAfterMs?: number) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** What ends all streams when this process stops. */
export const stopping = (): StreamEnd => new StreamEnd(status.UNAVAILABLE, "this coordinator is stopping: use the other replica");

/** What the client is told of an error: one of ours, or an unknown one as INTERNAL. */
export const statusOf = (error: unknown): { readonly code: status; readonly details: string; readonly metadata: Metadata } => {
  const { code, message, retryAfterMs } = toStatus(error);
  return { code, details: message, metadata: pushbackOf(retryAfterMs) };
};

/** What gRPC clients understand as "not before". Source: gRPC's retry design (gRFC A6), "pushback". */
function pushbackOf(retryAfterMs: number | undefined): Metadata {
  const metadata = new Metadata();
  if (retryAfterMs !== undefined) metadata.set("grpc-retry-pushback-ms", String(retryAfterMs));
  return metadata;
}

export function toStatus(error: unknown): { readonly code: status; readonly message: string; readonly retryAfterMs?: number | undefined } {
  if (error instanceof StreamEnd) return error;
  if (error instanceof TokenRefused)
    return { code: error.kind === "forbidden" ? status.PERMISSION_DENIED : status.UNAUTHENTICATED, message: error.message };
  if (error instanceof KubeApiError) return { code: status.UNAVAILABLE, message: `token cannot be reviewed now: ${error.message}` };
  return { code: status.INTERNAL, message: error instanceof Error ? error.message : String(error) };
}
