import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { METRIC_PREFIX } from "../common/names.ts";
import { CALL_LIMITS, type Call, itemsOf } from "./domain/call.ts";
import { expirySeconds } from "./tls/certificate.ts";

/** Values that are read when somebody asks. */
export type Gauges = {
  readonly queueDepth: () => Readonly<Record<string, number>>;
  /** Seconds since the last byte of each watch. */
  readonly watchAgeSeconds: () => Readonly<Record<string, number>>;
  /** Seconds since the oldest load balancer was read as a whole. */
  readonly mirrorAgeSeconds: () => number;
  /** Where each node's Pod facts come from. */
  readonly nodes: () => readonly ("agent" | "watch" | "none")[];
  readonly pods: () => number;
  /** On the port for agents. */
  readonly connections: () => { readonly open: number; readonly waiting: number };
  readonly leading: () => boolean;
  /** Removals that the brake holds now. */
  readonly parkedRemovals: () => number;
  /** When the certificates in use expire, seconds since the epoch. */
  readonly certificateExpiry: () => { readonly serving: number; readonly authority: number };
};

/** Where nobody asks, or nothing runs. */
export const NO_GAUGES: Gauges = {
  queueDepth: () => ({}),
  watchAgeSeconds: () => ({}),
  mirrorAgeSeconds: () => 0,
  nodes: () => [],
  pods: () => 0,
  connections: () => ({ open: 0, waiting: 0 }),
  leading: () => false,
  parkedRemovals: () => 0,
  certificateExpiry: () => ({ serving: 0, authority: 0 }),
};

/** A review takes 0.2 ms (policies.md F). */
const REVIEW_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1];

type Makers = ReturnType<typeof makersIn>;

/** What only a leader can tell. */
export type LeaderGauges = Pick<Gauges, "queueDepth" | "parkedRemovals" | "mirrorAgeSeconds">;

/** Where the values are read from; made after the metrics, so `parts` is asked when somebody asks. */
export const gaugesFrom = (
  parts: () => {
    readonly objects: { readonly watchAgeSeconds: Readonly<Record<string, number>> };
    readonly registry: { nodes(): readonly { readonly source: "agent" | "watch" | "none" }[]; readonly pods: { readonly size: number } };
    readonly leading: { readonly controllers: { readonly gauges: LeaderGauges } | undefined };
    readonly elector: { readonly leading: boolean };
    readonly streams: { readonly connections: { readonly open: number; readonly waiting: number } };
    readonly serving: { readonly current: { readonly certPem: string; readonly caBundlePem: string } };
  },
): Gauges => ({
  queueDepth: () => parts().leading.controllers?.gauges.queueDepth() ?? {},
  mirrorAgeSeconds: () => parts().leading.controllers?.gauges.mirrorAgeSeconds() ?? 0,
  parkedRemovals: () => parts().leading.controllers?.gauges.parkedRemovals() ?? 0,
  watchAgeSeconds: () => parts().objects.watchAgeSeconds,
  nodes: () =>
    parts()
      .registry.nodes()
      .map(({ source }) => source),
  pods: () => parts().registry.pods.size,
  connections: () => parts().streams.connections,
  leading: () => parts().elector.leading,
  certificateExpiry: () => {
    const { certPem, caBundlePem } = parts().serving.current;
    return { serving: expirySeconds(certPem), authority: expirySeconds(caBundlePem) };
  },
});

/** Makers of metrics of one registry, with our prefix. */
function makersIn(registry: Registry) {
  const options = (name: string, help: string) => ({ name: `${METRIC_PREFIX}${name}`, help, registers: [registry] });
  return {
    counter: <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
      new Counter({ ...options(name, help), labelNames }),
    histogram: <L extends string>(name: string, help: string, labelNames: readonly L[], buckets: number[]) =>
      new Histogram({ ...options(name, help), labelNames, buckets }),
    /** Read when somebody asks: value by value of the label. */
    gauge: <L extends string>(name: string, help: string, label: L, read: () => Readonly<Record<string, number>>) =>
      new Gauge({
        ...options(name, help),
        labelNames: [label],
        collect() {
          this.reset();
          for (const [value, number] of Object.entries(read())) this.set({ [label]: value } as Record<L, string>, number); // oxlint-disable-line typescript/no-unsafe-type-assertion -- one label, named by the type
        },
      }),
    plainGauge: (name: string, help: string, read: () => number) =>
      new Gauge({
        ...options(name, help),
        collect() {
          this.set(read());
        },
      }),
  };
}

function registerGauges({ gauge, plainGauge }: Makers, gauges: Gauges): void {
  gauge("queue_depth", "Keys that are due or run, by queue", "queue", gauges.queueDepth);
  gauge("watch_age_seconds", "Seconds since the last byte of a watch", "resource", gauges.watchAgeSeconds);
  gauge("nodes", "Nodes by the source of their Pod facts", "source", () => {
    const counts = { agent: 0, watch: 0, none: 0 };
    for (const source of gauges.nodes()) counts[source] += 1;
    return counts;
  });
  gauge("connections", "Connections on the port for agents; `waiting`: of them, for their handshake", "state", () => ({
    ...gauges.connections(),
  }));
  gauge(
    "certificate_expiry_timestamp_seconds",
    "When the certificate for agents and the API server, and the authority that signs it, expire",
    "certificate",
    gauges.certificateExpiry,
  );
  plainGauge("leader", "1 while this replica leads", () => Number(gauges.leading()));
  plainGauge("mirror_age_seconds", "Seconds since the longest unread load balancer was read as a whole", gauges.mirrorAgeSeconds);
  plainGauge("brake_parked", "Removals that wait because they would take too much away without a confirmed end", gauges.parkedRemovals);
  plainGauge("pods", "Pods known", gauges.pods);
}

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const OWN_SECONDS = [0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1, 2, 5];
const FILLS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 1];

/** Every metric of the coordinator; docs/metrics.md explains them. Labels come from closed sets. */
export function makeMetrics(gauges: Gauges) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const makers = makersIn(registry);
  const { counter, histogram } = makers;
  registerGauges(makers, gauges);
  const apiSeconds = histogram("api_call_seconds", "Calls to the cloud, until their answer", ["action"], SECONDS);
  const apiErrors = counter("api_errors_total", "Calls to the cloud that failed, by the cloud's code", ["action", "code"]);
  const writes = histogram("write_items", "Targets, weights or listeners per write", ["lane"], [1, 2, 5, 10, 20, 50, 100, 200, 500]);
  const fill = histogram("write_fill_ratio", "Items of a write as a share of what one call takes", ["lane"], FILLS);
  const results = counter("writes_total", "Writes to load balancers by lane and result", ["lane", "result"]);
  const laneSeconds = histogram("lane_wait_seconds", "From the first plan that had something for a lane to its write", ["lane"], SECONDS);
  const parks = counter("brake_parks_total", "Removals that the brake has parked", []);
  const passes = counter("passes_total", "Passes by queue and outcome", ["queue", "outcome"]);
  const passSeconds = histogram("pass_seconds", "Length of a pass", ["queue"], SECONDS);
  const streams = counter("streams_total", "Agent streams opened, closed, and told to come back", ["change"]);
  const refused = counter("connections_refused_total", "Connections of agents above the limit", []);
  const messages = counter("stream_messages_total", "Messages of agents", ["kind"]);
  const resends = counter("stream_resends_total", "Snapshots that we had to ask for", ["reason"]);
  const fallbacks = counter("fallbacks_total", "Nodes taken over by our own watch and given back", ["change"]);
  const restarts = counter("watch_restarts_total", "Watches that ended and were begun anew", ["cause"]);

  const refusals = counter("reports_refused_total", "What agents said of Pods and was not believed", ["why"]);
  const podReads = counter("pod_reads_total", "Requests to the API server about Pods that agents have reported", ["kind", "outcome"]);
  const verdicts = counter("group_verdicts_total", "Verdicts of security groups on senders to Pods that wait", ["verdict"]);
  const denied = counter("kube_denied_total", "Writes to the API server that the coordinator's role does not allow", ["verb", "resource"]);

  return {
    registry,
    admission: admissionMetrics(makers),
    drains: drainMetrics(makers),
    ...gateMetrics(makers),
    onDenied: (verb: string, resource: string): void => {
      denied.inc({ verb, resource });
    },
    onCall: (action: string, code: string, seconds: number): void => {
      apiSeconds.observe({ action }, seconds);
      if (code !== "ok") apiErrors.inc({ action, code });
    },
    onWrite: (lane: Call["lane"], items: number): void => {
      writes.observe({ lane }, items);
    },
    /** A write that ended; those that met a lock are in api_errors_total. */
    onMade: (call: Call, result: string, waitedSeconds: number): void => {
      results.inc({ lane: call.lane, result });
      laneSeconds.observe({ lane: call.lane }, waitedSeconds);
      if (result === "ok") fill.observe({ lane: call.lane }, Math.min(1, itemsOf(call) / mostItems(call)));
    },
    onVerdict: (verdict: string): void => {
      verdicts.inc({ verdict });
    },
    onParked: (): void => {
      parks.inc();
    },
    onPass: (queue: string, outcome: string, seconds: number): void => {
      passes.inc({ queue, outcome });
      passSeconds.observe({ queue }, seconds);
    },
    onPodRead: (kind: string, outcome: string): void => {
      podReads.inc({ kind, outcome });
    },
    onRestart: (cause: string): void => {
      restarts.inc({ cause });
    },
    /** For the streams; see stream/node-pods.ts. */
    observer: {
      onStream: (change: "opened" | "closed" | "postponed" | "refused"): void => streams.inc({ change }),
      onConnectionRefused: (): void => refused.inc(),
      onMessage: (kind: string): void => messages.inc({ kind }),
      onResend: (reason: string): void => resends.inc({ reason }),
      onFallback: (_node: string, change: "on" | "off"): void => fallbacks.inc({ change }),
      onRefused: (why: string): void => refusals.inc({ why }),
    },
  };
}

/** What one call of this kind takes at most. */
function mostItems(call: Call): number {
  if ("create" in call) return CALL_LIMITS.ports;
  if ("createRules" in call) return CALL_LIMITS.rules;
  if ("listenerIds" in call) return CALL_LIMITS.deletedListeners;
  if ("rules" in call) return CALL_LIMITS.deletedRules;
  if ("redirects" in call) return CALL_LIMITS.redirects;
  return "healthCheck" in call ? 1 : CALL_LIMITS.targets;
}

/** From a preStop call to weight 0, and to its answer. Own choice: a grace period is mostly 30 s. */
const DRAIN_SECONDS = [0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300];

/** Of Pods whose preStop hook was called. */
function drainMetrics({ counter, histogram }: Makers) {
  const lowered = histogram("hold_lowered_seconds", "From a Pod's preStop call to weight 0 wherever it is bound", [], DRAIN_SECONDS);
  const held = histogram("hold_seconds", "From a Pod's preStop call to its answer, by what ended it", ["end"], DRAIN_SECONDS);
  const truncated = counter("holds_truncated_total", "Holds that ended while their Pods were still sent to", ["end"]);
  return {
    onLowered: (seconds: number): void => lowered.observe(seconds),
    onReleased: (end: string, seconds: number): void => held.observe({ end }, seconds),
    onTruncated: (end: string): void => truncated.inc({ end }),
  };
}

/** For the gates: when they turn True, and what we had to do with how long that took. */
function gateMetrics({ histogram }: Makers) {
  const readyHelp = "From containers ready to the gate turning True (the start has whole seconds)";
  const gateSeconds = histogram("gate_flip_seconds", readyHelp, [], SECONDS);
  const ownSeconds = histogram("own_share_seconds", "Of the time to a gate what is not the cloud's work, by part", ["part"], OWN_SECONDS);
  const stages = histogram("gate_stage_seconds", "From containers ready to the gate turning True, by stage", ["stage"], SECONDS);
  return {
    onReady: (seconds: number): void => {
      gateSeconds.observe(seconds);
    },
    onGateStage: (stage: "wait" | "bind" | "check" | "patch", seconds: number): void => {
      stages.observe({ stage }, seconds);
    },
    onOwnShare: (part: "ours" | "late" | "turn" | "apiserver" | "poll" | "api", seconds: number): void => {
      ownSeconds.observe({ part }, seconds);
    },
  };
}

/** For the webhook and what keeps it. */
function admissionMetrics({ counter, histogram }: Makers) {
  const reviews = counter("admission_reviews_total", "Pods that the API server asked the webhook about, by what came of it", ["result"]);
  const reviewSeconds = histogram("admission_review_seconds", "Answering one of them, without the network", [], REVIEW_SECONDS);
  const connections = counter("admission_connections_total", "Connections to the webhook, each with a TLS handshake", []);
  const repairs = counter("admission_repairs_total", "Objects of the webhook that were put right", []);
  const checks = counter("admission_checks_total", "Dry runs that prove whether the gate arrives, by what stops it (none: it arrives)", [
    "cause",
  ]);
  return {
    onReview: (result: string, seconds: number): void => {
      reviews.inc({ result });
      reviewSeconds.observe(seconds);
    },
    onConnection: (): void => connections.inc(),
    onRepaired: (): void => repairs.inc(),
    onResult: (cause: string | undefined): void => checks.inc({ cause: cause ?? "none" }),
  };
}
