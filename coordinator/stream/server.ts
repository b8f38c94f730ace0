import type { HealthImplementation } from "grpc-health-check";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import type { ServingSource } from "../tls/serving.ts";
import type { NodeStream } from "./node-stream.ts";

export type StreamServerDeps = {
  /** E.g. "0.0.0.0:9443"; port 0 takes a free one. */
  readonly address: string;
  readonly stream: NodeStream;
  readonly serving: ServingSource;
  readonly health: HealthImplementation;
  readonly clock: Clock;
  readonly log: Logger;
  /** Defaults 10 s + 5 s (design §10). */
  readonly keepalive?: { readonly timeMs: number; readonly timeoutMs: number };
};

export interface StreamServer {
  /** Resolves with the port. Rejects when the address cannot be bound. */
  start(): Promise<number>;
  /** Streams end with UNAVAILABLE; bounded in time. */
  stop(): Promise<void>;
}

export function makeStreamServer(_deps: StreamServerDeps): StreamServer {
  throw new Error("not built yet");
}
