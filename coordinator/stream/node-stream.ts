import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import type { NodeStreamServiceServer } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import type { StreamObserver } from "./node-pods.ts";
import type { NodeRegistry } from "./node-registry.ts";
import type { ReviewToken } from "./token-review.ts";

export type NodeStreamDeps = {
  readonly registry: NodeRegistry;
  readonly review: ReviewToken;
  /** Identity of this replica, e.g. its Pod's name. */
  readonly replica: string;
  readonly observer: StreamObserver;
  readonly clock: Clock;
  readonly log: Logger;
};

/** The gRPC handler, and the way to end all its streams with UNAVAILABLE. */
export interface NodeStream {
  readonly service: NodeStreamServiceServer;
  close(): void;
}

export function makeNodeStream(_deps: NodeStreamDeps): NodeStream {
  throw new Error("not built yet");
}
