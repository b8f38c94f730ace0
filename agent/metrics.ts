import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { RestartCause } from "../common/kubernetes/list-watch.ts";
import { METRIC_PREFIX } from "../common/names.ts";
import type { ProbeResult } from "../common/reachability.ts";
import type { LinkObserver, LinkState } from "./coordinator-stream.ts";
import type { Released } from "./hold/messages.ts";

/** What gauges show at the moment of a scrape. */
export type AgentView = {
  readonly pods: () => number;
  /** Since the API server was last heard. */
  readonly podWatchAgeSeconds: () => number;
  readonly linkStates: () => readonly LinkState[];
  /** Pods whose preStop calls wait. */
  readonly held: () => number;
  /** Whether a preStop call would reach the hold server. */
  readonly holdProven: () => boolean;
};

export type AgentMetrics = {
  readonly registry: Registry;
  /** `onState` does nothing here. */
  readonly links: LinkObserver;
  readonly onRelist: () => void;
  readonly onRestart: (cause: RestartCause) => void;
  readonly onProbe: (result: ProbeResult) => void;
  readonly onNetworkRead: (outcome: "ok" | "failed", seconds: number) => void;
  readonly onReleased: (pod: Released) => void;
  readonly onLate: (connections: number) => void;
};

const NAME = `${METRIC_PREFIX}agent_`;
/** An acknowledgement takes a round trip, a millisecond or less within a zone; beyond 5 s a snapshot follows. */
const ACK_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20];
/** Two runs of `ip`: 5 ms each, more on a full node. */
const READ_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
/** Up to a grace period; the usual one is 30 s. */
const HOLD_BUCKETS = [0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300];
const LINK_STATES: readonly LinkState[] = ["away", "connected", "acknowledged"];

/** Every metric of the agent. */
export function makeMetrics(view: AgentView): AgentMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
    new Counter({ name: `${NAME}${name}`, help, labelNames, registers });

  const links: Gauge<"state"> = new Gauge({
    name: `${NAME}links`,
    help: "Links to coordinators, by how far they got",
    labelNames: ["state"],
    registers: [],
    collect() {
      const states = view.linkStates();
      for (const state of LINK_STATES) this.set({ state }, states.filter((it) => it === state).length);
    },
  });
  registry.registerMetric(links);
  registry.registerMetric(gauge("pods", "Pods of this node", view.pods));
  registry.registerMetric(gauge("pod_watch_age_seconds", "Since the API server was last heard on the Pod watch", view.podWatchAgeSeconds));
  registry.registerMetric(gauge("held_pods", "Pods whose preStop calls wait", view.held));
  registry.registerMetric(
    gauge("hold_proven", "1 where a preStop call on this node would reach the hold server, else 0", () => (view.holdProven() ? 1 : 0)),
  );
  const onReleased = holdMetrics(registers);
  const late = counter("connections_after_hold_total", "New connections to Pods within 3 s of the answer to their hold", []);
  const relists = counter("pod_relists_total", "Complete lists of the node's Pods", []);
  const restarts = counter("pod_watch_restarts_total", "Lists and watches of Pods begun anew, by cause", ["cause"]);
  const reads = counter("network_reads_total", "Reads of the kernel's rules, routes and links", ["outcome"]);
  const readSeconds = new Histogram({
    name: `${NAME}network_read_seconds`,
    help: "Length of a read of the kernel",
    buckets: READ_BUCKETS,
    registers,
  });
  const probes = counter("probes_total", "Connections to ports of Pods that are to be bound, by result", ["result"]);
  const sent = counter("messages_sent_total", "Messages to coordinators", ["kind"]);
  const resends = counter("resends_total", "Snapshots that coordinators asked for", []);
  const timeouts = counter("ack_timeouts_total", "Differences that were not acknowledged in time", []);
  const ended = counter("streams_ended_total", "Streams to coordinators that ended, by gRPC status", ["code"]);
  const acks = new Histogram({ name: `${NAME}ack_seconds`, help: "From sending to acknowledgement", buckets: ACK_BUCKETS, registers });

  return {
    registry,
    links: {
      onSent: (kind) => sent.inc({ kind }),
      onAck: (seconds) => acks.observe(seconds),
      onAckTimeout: () => timeouts.inc(),
      onResend: () => resends.inc(),
      onStreamEnd: (code) => ended.inc({ code }),
      onState: () => undefined,
    },
    onRelist: () => relists.inc(),
    onRestart: (cause) => restarts.inc({ cause }),
    onProbe: (result) => probes.inc({ result }),
    onNetworkRead: (outcome, seconds) => {
      reads.inc({ outcome });
      readSeconds.observe(seconds);
    },
    onReleased,
    onLate: (connections) => late.inc(connections),
  };
}

/** A hold is cut where a backend may still have been sent to: before weight 0 was effective (truncated), or before its connections ended. */
function holdMetrics(registers: Registry[]): AgentMetrics["onReleased"] {
  const ended = new Counter({ name: `${NAME}holds_ended_total`, help: "Holds, by why they ended", labelNames: ["end"], registers });
  const truncated = new Counter({
    name: `${NAME}holds_truncated_total`,
    help: "Holds that ended before weight 0 was effective",
    registers,
  });
  const cut = new Counter({ name: `${NAME}drains_cut_total`, help: "Holds that the grace period ended while they drained", registers });
  const killed = new Counter({
    name: `${NAME}holds_killed_total`,
    help: "Holds for which SIGTERM did not wait: the Pod was deleted by force, or the kubelet hung up",
    registers,
  });
  const held = new Histogram({
    name: `${NAME}hold_seconds`,
    help: "From a Pod's first preStop call to its answer",
    buckets: HOLD_BUCKETS,
    registers,
  });
  const drain = new Histogram({ name: `${NAME}drain_seconds`, help: "From weight 0 to the answer", buckets: HOLD_BUCKETS, registers });
  return ({ end, lowered, heldMs, killed: isKilled, drainMs }) => {
    ended.inc({ end });
    if (isKilled) killed.inc();
    held.observe(heldMs / 1_000);
    if (drainMs !== undefined) drain.observe(drainMs / 1_000);
    if (!lowered && end !== "released") truncated.inc();
    if (lowered && end === "budget") cut.inc();
  };
}

function gauge(name: string, help: string, value: () => number): Gauge {
  return new Gauge({
    name: `${NAME}${name}`,
    help,
    registers: [],
    collect() {
      this.set(value());
    },
  });
}
