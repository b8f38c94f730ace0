/** What the benchmark of paths prints: its table, and the claims of the documents beside it. */
import type { ProxyMode } from "../../test/cluster/real/nodes/kube-proxy.ts";
import type { Told, Tracked } from "./asking.ts";

export const PATHS = ["Pod", "NodePort", "NodePort, Local"] as const;
export type Path = (typeof PATHS)[number];

/** Microseconds of one request after the other, requests per second of eight at a time. */
export type Speed = { readonly p50: number; readonly p99: number; readonly perSecond: number };

export type Row = {
  readonly mode: ProxyMode;
  /** Behind the Service, on both nodes. */
  readonly pods: number;
  readonly path: Path;
  /** Every request on a connection of its own; and on connections that are kept. */
  readonly fresh: Speed;
  readonly kept: Speed;
  readonly requests: number;
  readonly failed: number;
  /** From which addresses the Pods saw the requests come. */
  readonly sources: readonly string[];
  readonly tracked: Tracked;
  /** Pods that answered each of the sessions, e.g. [1, 1, 2]. */
  readonly sessions: readonly number[];
};

/** Of some rounds: the middle of each figure. */
export function speedOf(alone: readonly Told[], together: readonly Told[]): Speed {
  const perSecond = together.map(({ requests, seconds }) => requests / seconds);
  return { p50: middle(alone.map(({ p50 }) => p50)), p99: middle(alone.map(({ p99 }) => p99)), perSecond: middle(perSecond) };
}

const middle = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN;

const speed = ({ p50, p99, perSecond }: Speed): string => `${p50} / ${p99}, ${perSecond.toFixed(0)}/s`;
const whole = ({ sessions }: Row): number => sessions.filter((pods) => pods === 1).length;

export function tableOf(rows: readonly Row[], client: string): string {
  const head =
    "| kube-proxy | Pods | path | new connections: p50 / p99 µs, requests/s | kept ones | source seen | conntrack entries a connection (new target, new source) | sessions at one Pod |";
  const line = (row: Row): string => {
    const { entries, newTarget, newSource } = row.tracked;
    const sources = row.sources.map((source) => (source === client ? "client's" : `node's (${source})`)).join(", ");
    const tracked = `${entries.toFixed(2)} (${newTarget.toFixed(2)}, ${newSource.toFixed(2)})`;
    const cells = [
      row.mode,
      row.pods,
      row.path,
      speed(row.fresh),
      speed(row.kept),
      sources,
      tracked,
      `${whole(row)} of ${row.sessions.length}`,
    ];
    return `| ${cells.join(" | ")} |`;
  };
  return [head, "|---|---|---|---|---|---|---|---|", ...rows.map(line)].join("\n");
}

/** What TKE's documents say of direct access, and what these rows say to it. Source: tke-contract.md §1, R1. */
export function claimsOf(rows: readonly Row[], client: string): readonly string[] {
  const of = (path: Path): readonly Row[] => rows.filter((row) => row.path === path);
  const hasClient = ({ sources }: Row): boolean => sources.length === 1 && sources[0] === client;
  const others = PATHS.slice(1);
  const seen = (path: Path): string => `${path} ${of(path).filter(hasClient).length} of ${of(path).length} rows`;
  const stayed = (path: Path): string =>
    `${path} ${of(path).reduce((sum, row) => sum + whole(row), 0)} of ${of(path).reduce((sum, { sessions }) => sum + sessions.length, 0)}`;
  return [
    `Claim: about 10 % less latency. Measured, p50 of a Pod beside ${others.map((path) => `${path}: ${lessOf(rows, path)}`).join("; ")}.`,
    `Claim: no source NAT. The client's own address and no other was seen by Pods: ${PATHS.map(seen).join(", ")}.`,
    `Claim: sessions persist. Each session went to one backend of a load balancer (a Pod or a node), 100 new connections; it met one Pod only: ${PATHS.map(stayed).join(", ")}.`,
    "A veth is no wire: both nodes are network namespaces of one kernel, joined by veth pairs and a bridge. A packet between them is handed over in memory, without network card, switch or VPC, " +
      "so a second hop costs microseconds here and far more in a VPC; what these figures compare is the work of the kernel along each path, on processors that client, Pods and forwarding share.",
  ];
}

/** E.g. "−12 % to 3 % on new connections, …": the change of the p50 over all rows that differ in nothing but the path. */
function lessOf(rows: readonly Row[], path: Path): string {
  const changes = (kind: "fresh" | "kept"): string => {
    const found = rows.flatMap((row) => {
      const other = rows.find(({ mode, pods, path: its }) => mode === row.mode && pods === row.pods && its === path);
      return row.path === "Pod" && other !== undefined ? [(row[kind].p50 / other[kind].p50 - 1) * 100] : [];
    });
    return found.length === 0 ? "not measured" : `${Math.min(...found).toFixed(0)} % to ${Math.max(...found).toFixed(0)} %`;
  };
  return `${changes("fresh")} on new connections, ${changes("kept")} on kept ones`;
}

/** What a request straight to a Pod must be, whatever the machine; undefined: it was. */
export function faultOf(rows: readonly Row[], client: string): string | undefined {
  const failed = rows.find((row) => row.failed > 0);
  if (failed !== undefined)
    return `${failed.failed} of ${failed.requests} requests failed (${failed.mode}, ${failed.pods} Pods, ${failed.path})`;
  const foreign = rows.find((row) => row.path === "Pod" && (row.sources.length !== 1 || row.sources[0] !== client));
  if (foreign !== undefined) return `a Pod that was asked directly saw ${foreign.sources.join(", ")} instead of ${client}`;
  const split = rows.find((row) => row.path === "Pod" && row.sessions.some((pods) => pods !== 1));
  return split === undefined ? undefined : `a session that went to one Pod met ${split.sessions.join(", ")}`;
}
