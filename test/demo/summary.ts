/** What the run has shown: requests by the load generator, cloud times by the cloud's journal, Pod times by a watch of the API server. */
import type { JournalEntry } from "../cloud/journal/journal.ts";
import type { Failure, LoadResult } from "./load.ts";
import type { PodTimes } from "./pods.ts";

/**
 * What is not the cloud's work of the time from ready to gate, `ownMs`, has three parts: `oursMs`, from ready (and the load balancer known to be
 * idle) to the write, and from the answer that told of health to the gate; `pollMs`, from healthy to the question that heard of it, and from the
 * end of the task that held the load balancer to the question that heard of that; `apiMs`, the rest of these questions, or of the write where
 * health is not checked. Times of the `At` kind are milliseconds since the epoch: containers ready,
 * healthy by the cloud's journal, deletion asked for, object gone.
 */
export type PodShare = {
  readonly name: string;
  readonly readyAtMs: number;
  readonly aliveAtMs: number;
  readonly endingAtMs: number | undefined;
  readonly goneAtMs: number | undefined;
  readonly cloudMs: number;
  readonly ownMs: number;
  readonly oursMs: number;
  readonly pollMs: number;
  readonly apiMs: number;
};
export type Summary = {
  readonly requests: number;
  /** Requests that were due and were not sent, because the load generator stood still or had too many in flight. */
  readonly unsent: number;
  readonly failed: number;
  readonly causes: Readonly<Record<string, number>>;
  readonly minRate: number;
  readonly rolloutSeconds: number;
  readonly ownMsP50: number;
  readonly ownMsP99: number;
  /** p50 and p99 of each part of it. */
  readonly ownParts: Readonly<Record<Part, readonly [p50: number, p99: number]>>;
  readonly pods: readonly PodShare[];
  readonly calls: Readonly<Record<string, number>>;
  /** How long a write of backends keeps its load balancer, on the average. */
  readonly writeMs: number;
};

type Part = "ours" | "poll" | "api";

/** A failure with the Pod that it hit, where anybody knows: "old" was ending at that time, "new" had never been ready. */
export type NamedFailure = Failure & { readonly backend: string | undefined; readonly victim: string };

export function summarize(from: {
  readonly load: LoadResult;
  readonly failures: readonly NamedFailure[];
  readonly pods: Iterable<PodTimes>;
  readonly journal: readonly JournalEntry[];
  readonly busyAfterReturnMs: number;
  readonly rolloutSeconds: number;
}): Summary {
  const pods = [...from.pods].flatMap((pod) => shareOf(pod, from.journal, from.busyAfterReturnMs) ?? []);
  const own = pods.map(({ ownMs }) => ownMs).sort((a, b) => a - b);
  const part = (of: (pod: PodShare) => number): [number, number] => {
    const all = pods.map(of).sort((a, b) => a - b);
    return [percentile(all, 0.5), percentile(all, 0.99)];
  };
  const causes: Record<string, number> = {};
  for (const failure of from.failures) {
    const cause = `${failure.cause} at ${failure.victim}`;
    causes[cause] = (causes[cause] ?? 0) + 1;
  }
  const calls: Record<string, number> = {};
  for (const entry of from.journal) if (entry.kind === "call") calls[entry.action] = (calls[entry.action] ?? 0) + 1;
  return {
    requests: from.load.requests,
    unsent: from.load.unsent,
    failed: from.failures.length,
    causes,
    minRate: from.load.minRate,
    rolloutSeconds: Math.round(from.rolloutSeconds * 10) / 10,
    ownMsP50: percentile(own, 0.5),
    ownMsP99: percentile(own, 0.99),
    ownParts: { ours: part(({ oursMs }) => oursMs), poll: part(({ pollMs }) => pollMs), api: part(({ apiMs }) => apiMs) },
    pods,
    calls,
    writeMs: Math.round(meanWriteMs(from.journal, from.busyAfterReturnMs)),
  };
}

/**
 * Ours: containers ready (but not before the load balancer is idle) -> the bind is issued, plus the cloud's state turns healthy in the last of its places -> gate True.
 * The cloud's: the rest of the time from containers ready to gate True. Undefined for a Pod that was not seen through all of it.
 */
function shareOf(pod: PodTimes, journal: readonly JournalEntry[], busyAfterReturnMs: number): PodShare | undefined {
  const { name, ip, containersReadyMs, gateTrueMs } = pod;
  if (ip === undefined || containersReadyMs === undefined || gateTrueMs === undefined) return undefined;
  const last = lastPlace(pod, journal);
  if (last === undefined) return undefined;
  const { bound, healthy } = last;
  const write = journal.find(
    (entry) =>
      entry.kind === "call" && entry.action === "BatchRegisterTargets" && entry.startMs <= bound.timeMs && entry.timeMs >= bound.timeMs,
  );
  if (write?.kind !== "call") return undefined;
  const held = heldBefore(journal, bound.loadBalancerId, write.startMs, busyAfterReturnMs);
  const fromMs = Math.max(containersReadyMs, held.untilMs);
  const bindMs = Math.max(0, write.startMs - fromMs);
  // What ended is known by a question only.
  const askedMs = Math.max(fromMs, held.told?.startMs ?? fromMs);
  const heard = { pollMs: askedMs - fromMs, apiMs: Math.max(askedMs, held.told?.timeMs ?? askedMs) - askedMs };
  const aliveMs = Math.max(healthy.timeMs, containersReadyMs);
  const gateMs = Math.max(0, gateTrueMs - aliveMs);
  const told = healthy.to === "Close" ? write : questionAfter(journal, healthy.seq, bound.loadBalancerId);
  const toldMs = Math.min(gateTrueMs, Math.max(aliveMs, told?.timeMs ?? aliveMs));
  const pollMs = Math.min(toldMs, Math.max(aliveMs, told?.startMs ?? aliveMs)) - aliveMs;
  return {
    name,
    readyAtMs: containersReadyMs,
    aliveAtMs: healthy.timeMs,
    endingAtMs: pod.terminatingMs,
    goneAtMs: pod.goneMs,
    ownMs: Math.round(bindMs + gateMs),
    cloudMs: Math.round(gateTrueMs - containersReadyMs - bindMs - gateMs),
    oursMs: Math.round(bindMs - heard.pollMs - heard.apiMs + Math.max(0, gateTrueMs - toldMs)),
    pollMs: Math.round(heard.pollMs + pollMs),
    apiMs: Math.round(heard.apiMs + Math.max(0, toldMs - aliveMs - pollMs)),
  };
}

type Of<K extends JournalEntry["kind"]> = Extract<JournalEntry, { readonly kind: K }>;

/**
 * Where the gate waited longest: an Ingress binds a Pod in a listener for HTTP, in one for HTTPS and in more rules, each of which the cloud checks
 * for itself. By the cloud's journal alone: what is bound with the Pod's address when its gate is seen open. A former Pod's places are unbound by
 * then, and when our own watch has seen the Pod ready says nothing: it may be later than the bind. Undefined: it is bound nowhere, or one of the
 * places was not seen healthy.
 */
function lastPlace({ ip, gateTrueMs = 0 }: PodTimes, journal: readonly JournalEntry[]) {
  const places = new Map<string, { readonly bound: Of<"target">; readonly healthy?: Of<"health"> }>();
  for (const entry of journal) {
    if ((entry.kind !== "target" && entry.kind !== "health") || entry.ip !== ip || entry.timeMs > gateTrueMs) continue;
    const key = `${entry.listenerId}/${entry.locationId ?? ""}:${entry.port}`;
    const place = places.get(key);
    if (entry.kind === "target" && entry.change === "bound") places.set(key, { bound: entry });
    if (entry.kind === "target" && entry.change === "unbound") places.delete(key);
    if (entry.kind === "health" && SERVES.has(entry.to) && place !== undefined) places.set(key, { healthy: entry, ...place });
  }
  const seen = [...places.values()].flatMap(({ bound, healthy }) => (healthy ? { bound, healthy } : []));
  return seen.length < places.size ? undefined : seen.toSorted((a, b) => b.healthy.timeMs - a.healthy.timeMs)[0];
}

/** The first question about health that the cloud answered after this happening: an answer tells what is so when it is given. */
const questionAfter = (journal: readonly JournalEntry[], seq: number, loadBalancerId: string) =>
  journal
    .filter((entry) => entry.kind === "call")
    .find(
      (entry) =>
        entry.seq > seq && entry.action === "DescribeTargetHealth" && entry.code === "OK" && entry.loadBalancerIds.includes(loadBalancerId),
    );

/** Healthy, or not checked at all. */
const SERVES: ReadonlySet<string> = new Set(["Alive", "Close"]);

const BATCH = /^Batch(De)?[Rr]egisterTargets$/;

/** From the arrival of a write of backends to the free lock: the end of its task, or of the call and what it is busy after that. */
function meanWriteMs(journal: readonly JournalEntry[], busyAfterReturnMs: number): number {
  const ends = new Map<string, number>();
  for (const entry of journal) if (entry.kind === "task" && entry.change !== "accepted") ends.set(entry.taskId, entry.timeMs);
  const took = journal.flatMap((entry) => {
    if (entry.kind !== "call" || entry.code !== "OK") return [];
    if (BATCH.test(entry.action)) return entry.timeMs + busyAfterReturnMs - entry.startMs;
    const endMs = ends.get(entry.requestId);
    return entry.action !== "BatchModifyTargetWeight" || endMs === undefined ? [] : endMs - entry.startMs;
  });
  return took.length === 0 ? 0 : took.reduce((sum, ms) => sum + ms, 0) / took.length;
}

/**
 * Until when another write held the load balancer before the call at `issuedMs`: the end of the last task or synchronous batch call. `told`: where
 * it is a task, the question whose answer told of its end before the call.
 */
function heldBefore(journal: readonly JournalEntry[], loadBalancerId: string, issuedMs: number, busyAfterReturnMs: number) {
  let last: { readonly untilMs: number; readonly taskSeq?: number } = { untilMs: 0 };
  for (const entry of journal) {
    if (entry.timeMs > issuedMs || !("loadBalancerIds" in entry) || !entry.loadBalancerIds.includes(loadBalancerId)) continue;
    if (entry.kind === "task" && entry.change !== "accepted" && entry.timeMs > last.untilMs)
      last = { untilMs: entry.timeMs, taskSeq: entry.seq };
    if (entry.kind === "call" && entry.code === "OK" && BATCH.test(entry.action) && entry.timeMs + busyAfterReturnMs > last.untilMs)
      last = { untilMs: entry.timeMs + busyAfterReturnMs };
  }
  return { untilMs: last.untilMs, told: last.taskSeq === undefined ? undefined : toldOfTask(journal, last.taskSeq, issuedMs) };
}

/** The first question about a task that the cloud answered after this happening; it names no load balancer. */
const toldOfTask = (journal: readonly JournalEntry[], seq: number, beforeMs: number) =>
  journal
    .filter((entry) => entry.kind === "call")
    .find((entry) => entry.seq > seq && entry.action === "DescribeTaskStatus" && entry.code === "OK" && entry.timeMs <= beforeMs);

/** Of ascending values; 0 for none. */
function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.ceil(share * ascending.length) - 1)] ?? 0;
}

/** Client and cloud see the same connection break at about the same time; a port of the client is not used again so soon. */
const SAME_BREAK_MS = 2_000;

/** The backend of the failed connection by the cloud's journal, "" if it had none to choose; undefined if the cloud saw no failure. */
export function brokenBackend({ atMs, localPort }: Failure, journal: readonly JournalEntry[]): string | undefined {
  const away = ({ timeMs }: JournalEntry): number => Math.abs(timeMs - atMs);
  const same = journal
    .filter((entry) => entry.kind === "data-plane")
    .filter((entry) => entry.clientPort === localPort && away(entry) <= SAME_BREAK_MS);
  return same.sort((a, b) => away(a) - away(b))[0]?.backend;
}

/** A kubelet may learn of a deletion, and act on it, a moment before our watch shows it. */
const WATCH_LAG_MS = 1_000;

/** Who the failure hit, by the address that the cloud had chosen and what the Pods were doing at that time. */
export function nameVictim(failure: Failure, backend: string | undefined, pods: Iterable<PodTimes>): NamedFailure {
  const ip = backend?.split(":")[0];
  const hit = [...pods].filter((pod) => (ip === undefined || ip === "" ? pod.name === failure.pod : pod.ip === ip));
  const ending = hit.some(({ terminatingMs }) => terminatingMs !== undefined && terminatingMs <= failure.atMs + WATCH_LAG_MS);
  const nobody =
    backend === "" ? "no Pod: the load balancer had none to send to" : "a Pod that nobody knows: the load balancer saw no failure";
  const victim = hit.length === 0 ? nobody : ending ? "an old Pod that was ending" : "a Pod in service";
  return { ...failure, backend, victim };
}

export function summaryText(summary: Summary): string {
  const lines = [
    `requests ${summary.requests}, failed ${summary.failed}; lowest rate of any second ${summary.minRate}/s; rollout ${summary.rolloutSeconds} s`,
    ...unsentLines(summary),
    ...Object.entries(summary.causes).map(([cause, count]) => `  failed ${count}: ${cause}`),
    "",
    ...(summary.pods.length === 0 ? ["no gates: there is no time from ready to gate to measure"] : shareLines(summary)),
    "",
    `calls to the cloud: ${Object.entries(summary.calls)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([action, count]) => `${action} ${count}`)
      .join(", ")}`,
  ];
  return lines.join("\n");
}

/** Told apart from failures: what was not sent says nothing about the load balancer. */
function unsentLines({ requests, unsent }: Summary): string[] {
  if (unsent === 0) return [];
  const missed = `  not sent ${unsent} of ${requests + unsent}: the load generator was held up`;
  return unsent > requests ? [missed, "this machine is too slow for the rate"] : [missed];
}

/** Of the p99. Own choice. */
const OWN_LIMIT_MS = 500;
const COLUMNS = ["READY -> GATE", "CLOUD", "OURS", "POLL", "API"] as const;

const shareLine = (name: string, cells: readonly string[]): string =>
  [name.padEnd(28), ...cells.map((cell, index) => cell.padStart(index === 0 ? 14 : 9))].join(" ");

const shareLines = ({ pods, ownMsP50, ownMsP99, ownParts: { ours, poll, api } }: Summary): string[] => [
  shareLine("POD", COLUMNS),
  ...pods.map(({ name, cloudMs, ownMs, oursMs, pollMs, apiMs }) =>
    shareLine(
      name,
      [cloudMs + ownMs, cloudMs, oursMs, pollMs, apiMs].map((ms) => `${ms} ms`),
    ),
  ),
  `our share (what is not CLOUD): p50 ${ownMsP50} ms, p99 ${ownMsP99} ms (limit ${OWN_LIMIT_MS} ms${ownMsP99 > OWN_LIMIT_MS ? ", missed: on a machine that is busy otherwise all of it takes longer" : ""}); of it ours ${ours.join(" and ")} ms, waiting for the question that hears of health ${poll.join(" and ")} ms, the API's time ${api.join(" and ")} ms`,
];
