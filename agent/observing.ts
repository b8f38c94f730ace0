import type { Clock } from "../common/clock.ts";
import { loop, type Part } from "../common/lifecycle.ts";
import type { Logger } from "../common/log.ts";
import type { NodeFacts } from "../common/reachability.ts";
import { fromPodTask } from "../proto/wire-reachability.ts";
import { type HostNetwork, makeHostNetwork } from "./adapters/host-network.ts";
import { makeKernel } from "./adapters/kernel.ts";
import { watchMetadata } from "./adapters/metadata.ts";
import { makePortProbe } from "./adapters/port-probe.ts";
import type { StreamDeps } from "./coordinator-stream.ts";
import type { Report } from "./domain/plan-report.ts";
import type { AgentMetrics } from "./metrics.ts";
import { makeReachability, type Reachability, type ReachabilityDeps } from "./reachability.ts";

export type ObservingDeps = {
  readonly pods: ReachabilityDeps["pods"];
  /** Of the metadata service; "" asks nobody. */
  readonly metadataUrl: string;
  /** Something new may be known. */
  readonly onChange: () => void;
  readonly metrics: Pick<AgentMetrics, "onProbe" | "onNetworkRead">;
  readonly clock: Clock;
  readonly log: Logger;
};

/** Everything by which an agent finds out what the API server does not know: the kernel, connections to Pods, the metadata service. */
export interface Observing {
  readonly network: HostNetwork;
  /** The latest of what was found out. */
  readonly findings: () => Pick<Report, "verdicts" | "node">;
  readonly onAsked: StreamDeps["onAsked"];
  readonly parts: readonly Part[];
}

export function makeObserving({ pods, metadataUrl, onChange, metrics, clock, log }: ObservingDeps): Observing {
  const network = makeHostNetwork({ kernel: makeKernel(), clock, log, onRead: metrics.onNetworkRead, onChange });
  const reachability = makeReachability({ pods, probe: makePortProbe(clock), onChange, onProbe: metrics.onProbe, clock, log });
  let node: NodeFacts | undefined;
  const onFacts = (facts: NodeFacts): void => {
    node = facts;
    onChange();
  };
  return {
    network,
    findings: () => ({ verdicts: reachability.verdicts, node }),
    onAsked: hearing(reachability),
    parts: [
      loop("reachability", (signal) => reachability.run(signal)),
      loop("metadata", (signal) => watchMetadata({ url: metadataUrl, onFacts, clock, log }, signal)),
      loop("kernel", (signal) => network.run(signal)),
    ],
  };
}

/** What a coordinator asks, as it comes over the wire. */
export const hearing =
  (reachability: Pick<Reachability, "setGroup" | "setTasks">): StreamDeps["onAsked"] =>
  (asked) => {
    if (asked.$case === "securityGroup") reachability.setGroup(asked.value);
    else reachability.setTasks(asked.value.pods.map(fromPodTask), asked.value.removed, asked.value.complete);
  };
