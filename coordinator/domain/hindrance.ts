import type { PodVerdict, SourceKind } from "../../common/reachability.ts";
import type { FaultReason } from "./reasons.ts";

/**
 * Why a load balancer will not reach a Pod at a place, e.g. { place: "lb-1 TCP:443", reason: "SecurityGroupDenies", message: "sg-web rule 3 (…)
 * blocks …" }. `place` undefined: at none. A verdict is no veto: it holds a bind back until `untilMs`, never longer; undefined: for as long
 * as it stands (a network mode that no load balancer reaches).
 */
export type Hindrance = {
  readonly place: string | undefined;
  readonly reason: FaultReason;
  readonly message: string;
  readonly untilMs: number | undefined;
};

/** It keeps the Pod from being bound at this time, milliseconds since the epoch. What is bound already stays. */
export const holdsBack = ({ untilMs }: Hindrance, nowMs: number): boolean => untilMs === undefined || nowMs < untilMs;

/** The key of a place in tasks and verdicts, e.g. "lb-1 TCP:443". */
export const placeTaskKey = (loadBalancerId: string, place: string): string => `${loadBalancerId} ${place}`;

const SENDERS: Readonly<Record<SourceKind, string>> = { clients: "clients", "health-check": "health checks" };

/** Pure: what an agent's verdict says against a Pod, by place. `holds`: until when each keeps the Pod from being bound. */
export function hindrancesOf(verdict: PodVerdict, ports: ReadonlyMap<string, number>, untilMs: number): Hindrance[] {
  return verdict.ports.flatMap(({ key, probe, probeText, sources }): Hindrance[] => {
    const port = ports.get(key) ?? 0;
    const denied = sources.find((source) => source.verdict === "denied");
    if (denied !== undefined) {
      const message = `${denied.because} blocks ${SENDERS[denied.kind]} of ${key.replace(" TCP:", ":").replace(" UDP:", ":")} on port ${port}`;
      return [{ place: key, reason: "SecurityGroupDenies", message, untilMs }];
    }
    // Told, but no reason to wait: an application may listen a moment after its containers are ready, and is tried once a second only.
    if (probe === "refused")
      return [{ place: key, reason: "PortNotListening", message: `nothing listens on port ${port}: ${probeText}`, untilMs: 0 }];
    if (probe === "timed-out" || probe === "unreachable") {
      const message = `port ${port} is not reached from its own node (${probe === "timed-out" ? "timed out" : "unreachable"}): ${probeText}`;
      return [{ place: key, reason: "PortNotListening", message, untilMs: 0 }];
    }
    return [];
  });
}
