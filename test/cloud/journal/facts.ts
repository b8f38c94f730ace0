import type { JournalEntry } from "./journal.ts";

/** Two writes of one load balancer of which the second began before the first was over; the lock refused it, or it was lucky. Times in ms. */
export type Overlap = { readonly loadBalancerId: string; readonly first: string; readonly second: string; readonly atMs: number };

type Span = { readonly action: string; readonly startMs: number; readonly endMs: number };

/** Pure: what a client wrote at the same time to one load balancer; none if it never does. Only the cloud's own journal is believed. */
export function overlaps(entries: readonly JournalEntry[]): Overlap[] {
  const found: Overlap[] = [];
  for (const [loadBalancerId, spans] of writesByLoadBalancer(entries)) {
    let longest: Span | undefined;
    for (const span of spans.toSorted((left, right) => left.startMs - right.startMs)) {
      if (longest !== undefined && span.startMs < longest.endMs)
        found.push({ loadBalancerId, first: longest.action, second: span.action, atMs: span.startMs });
      if (longest === undefined || span.endMs > longest.endMs) longest = span;
    }
  }
  return found;
}

/** A write lasts from its arrival until its answer or, if that is later, the end of its task. */
function writesByLoadBalancer(entries: readonly JournalEntry[]): Map<string, Span[]> {
  const taskEnds = new Map<string, number>();
  for (const entry of entries) if (entry.kind === "task") taskEnds.set(entry.taskId, entry.change === "accepted" ? Infinity : entry.timeMs);
  const spans = new Map<string, Span[]>();
  for (const entry of entries) {
    if (entry.kind !== "call" || !entry.isWrite) continue;
    const span = { action: entry.action, startMs: entry.startMs, endMs: Math.max(entry.timeMs, taskEnds.get(entry.requestId) ?? 0) };
    for (const id of entry.loadBalancerIds) {
      const known = spans.get(id);
      if (known === undefined) spans.set(id, [span]);
      else known.push(span);
    }
  }
  return spans;
}

/** `refused` counts answers other than "OK"; `targets` those of the calls that were not refused; `totalMs` is time within calls. */
export type ActionFacts = { calls: number; refused: number; targets: number; totalMs: number; longestMs: number };

/** Pure: what was called how often and how long it took, e.g. `callsByAction(entries).get("BatchRegisterTargets")?.calls`. */
export function callsByAction(entries: readonly JournalEntry[]): Map<string, ActionFacts> {
  const byAction = new Map<string, ActionFacts>();
  for (const entry of entries) {
    if (entry.kind !== "call") continue;
    const facts = byAction.get(entry.action) ?? { calls: 0, refused: 0, targets: 0, totalMs: 0, longestMs: 0 };
    byAction.set(entry.action, facts);
    const tookMs = entry.timeMs - entry.startMs;
    facts.calls++;
    facts.totalMs += tookMs;
    facts.longestMs = Math.max(facts.longestMs, tookMs);
    if (entry.code === "OK") facts.targets += entry.targets;
    else facts.refused++;
  }
  return byAction;
}

/** One stay of a target in one place; times are undefined for what has not happened. */
export type TargetTimes = {
  readonly loadBalancerId: string;
  readonly listenerId: string;
  readonly locationId: string | undefined;
  readonly ip: string;
  readonly port: number;
  readonly boundMs: number;
  /** When it first turned Alive. */
  healthyMs: number | undefined;
  unboundMs: number | undefined;
};

/** Pure: when each target was bound, turned healthy and was unbound, in the order of binding; one that comes back has another row. */
export function targetTimes(entries: readonly JournalEntry[]): TargetTimes[] {
  const rows: TargetTimes[] = [];
  const present = new Map<string, TargetTimes>();
  for (const entry of entries) {
    if (entry.kind !== "target" && entry.kind !== "health") continue;
    const { loadBalancerId, listenerId, locationId, ip, port, timeMs } = entry;
    const key = `${listenerId}/${locationId ?? ""} ${ip}:${port}`;
    if (entry.kind === "target" && entry.change === "bound") {
      const row: TargetTimes = {
        loadBalancerId,
        listenerId,
        locationId,
        ip,
        port,
        boundMs: timeMs,
        healthyMs: undefined,
        unboundMs: undefined,
      };
      rows.push(row);
      present.set(key, row);
      continue;
    }
    const row = present.get(key);
    if (row === undefined) continue; // bound before the first entry
    if (entry.kind === "target" && entry.change === "unbound") {
      row.unboundMs = timeMs;
      present.delete(key);
    } else if (entry.kind === "health" && entry.to === "Alive") row.healthyMs ??= timeMs;
  }
  return rows;
}
