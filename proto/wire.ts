/** Generated messages <-> vocabulary. Numbers of enums that this version does not know stop here. */
import { createHash } from "node:crypto";
import {
  type GateStatus,
  type HostInterface,
  type InterfaceKind,
  NO_NETWORKS,
  NO_WEIGHTS,
  type PodFact,
  type PodPhase,
} from "../common/vocabulary.ts";
import { cutText } from "./cut-text.ts";
import * as wire from "./gen/clb/direct/v1/node_stream.ts";

/** How the agent knows that a Pod is over. */
type Evidence = "deleted" | "absent";

/** The version of the protocol that this code speaks; both ends must be equal. Source: Hello.protocol_version in node_stream.proto. */
export const PROTOCOL_VERSION = 1;

/** No message is longer: a stranger costs no more memory, and a node's 500 Pods are below 0.5 MB. Longer snapshots come in parts. */
export const MAX_MESSAGE_BYTES = 1_048_576;
/** For a person; what is longer is cut. */
const LONGEST_NOTE = 4_096;
/** As an agent reads it (common/kubernetes/node-pods.ts). */
const LONGEST_WISH = 64;
/** Of a message with Pods, what is left for its other fields and the framing. */
const MESSAGE_RESERVE_BYTES = 4_096;

/** The Pods of a snapshot in parts of at most so many bytes, at least one part; `maxBytes` 0: the other end takes no parts. */
export function inParts(pods: readonly wire.PodReport[], maxBytes: number): readonly (readonly wire.PodReport[])[] {
  if (maxBytes === 0) return [pods];
  const room = Math.max(1, maxBytes - MESSAGE_RESERVE_BYTES);
  const parts: wire.PodReport[][] = [[]];
  let bytes = 0;
  for (const pod of pods) {
    const size = wire.PodReport.encode(pod).finish().length + 8; // tag and length
    const part = parts.at(-1);
    if (part === undefined || (part.length > 0 && bytes + size > room)) {
      parts.push([pod]);
      bytes = size;
    } else {
      part.push(pod);
      bytes += size;
    }
  }
  return parts;
}

const PHASE_NUMBERS: Readonly<Record<PodPhase, wire.PodPhase>> = {
  Pending: wire.PodPhase.POD_PHASE_PENDING,
  Running: wire.PodPhase.POD_PHASE_RUNNING,
  Succeeded: wire.PodPhase.POD_PHASE_SUCCEEDED,
  Failed: wire.PodPhase.POD_PHASE_FAILED,
  Unknown: wire.PodPhase.POD_PHASE_UNSPECIFIED,
};
const GATE_NUMBERS: Readonly<Record<GateStatus, wire.GateStatus>> = {
  absent: wire.GateStatus.GATE_STATUS_UNSPECIFIED,
  True: wire.GateStatus.GATE_STATUS_TRUE,
  False: wire.GateStatus.GATE_STATUS_FALSE,
  Unknown: wire.GateStatus.GATE_STATUS_UNKNOWN,
};
const KIND_NUMBERS: Readonly<Record<InterfaceKind, wire.InterfaceKind>> = {
  eni: wire.InterfaceKind.INTERFACE_KIND_ENI,
  "sub-eni": wire.InterfaceKind.INTERFACE_KIND_SUB_ENI,
  pod: wire.InterfaceKind.INTERFACE_KIND_POD,
  bridge: wire.InterfaceKind.INTERFACE_KIND_BRIDGE,
  overlay: wire.InterfaceKind.INTERFACE_KIND_OVERLAY,
  node: wire.InterfaceKind.INTERFACE_KIND_NODE,
  route: wire.InterfaceKind.INTERFACE_KIND_ROUTE,
  unknown: wire.InterfaceKind.INTERFACE_KIND_UNSPECIFIED,
};

/** The node's name stays behind: the session says it. */
export function toPodReport(pod: PodFact): wire.PodReport {
  const { nodeName: _, containersReadyAtMs, deletionAtMs, startedAtMs, hostInterface, networks, weights, gateWish = "", ...same } = pod;
  return {
    ...same,
    gateWish,
    hostInterface: hostInterface && { ...hostInterface, kind: KIND_NUMBERS[hostInterface.kind] },
    networks: networks === NO_NETWORKS ? undefined : { ...networks, asked: [...networks.asked] },
    weights: weights && { ...weights },
    ips: [...pod.ips],
    ports: [...pod.ports],
    phase: PHASE_NUMBERS[pod.phase],
    gate: GATE_NUMBERS[pod.gate],
    containersReadyAt: toDate(containersReadyAtMs),
    deletionAt: toDate(deletionAtMs),
    startedAt: toDate(startedAtMs),
  };
}

/** `nodeName` is that of the session, e.g. "node-a": an agent reports on its own node only. */
export function toPodFact(report: wire.PodReport, nodeName: string): PodFact {
  const { hostInterface, networks, weights } = report;
  // Each field by its name: an object that is copied field by field takes twice the memory, and there are 150 000 of them.
  const fact: PodFact = {
    uid: report.uid,
    resourceVersion: report.resourceVersion,
    namespace: report.namespace,
    name: report.name,
    nodeName,
    ips: [...report.ips], // what was pushed to has room for 17
    hostNetwork: report.hostNetwork,
    phase: nameOf(PHASE_NUMBERS, report.phase) ?? "Unknown",
    containersReady: report.containersReady,
    containersReadyAtMs: report.containersReadyAt?.getTime(),
    hasGate: report.hasGate,
    gate: nameOf(GATE_NUMBERS, report.gate) ?? "Unknown",
    deletionAtMs: report.deletionAt?.getTime(),
    labels: report.labels,
    ports: report.ports,
    startedAtMs: report.startedAt?.getTime(),
    restarts: report.restarts,
    hostInterface: hostInterface && toHostInterface(hostInterface),
    networks: networks ?? NO_NETWORKS,
    networkNote: cutText(report.networkNote, LONGEST_NOTE),
    weights: weights && (weights.service === "" && weights.ingress === "" ? NO_WEIGHTS : weights),
  };
  return report.gateWish === "" ? fact : { ...fact, gateWish: cutText(report.gateWish, LONGEST_WISH) };
}

const toHostInterface = ({ kind, ...same }: wire.HostInterface): HostInterface => ({
  ...same,
  kind: nameOf(KIND_NUMBERS, kind) ?? "unknown",
});

/** E.g. ({ uid: "5e21…", evidence: "deleted" }) */
export const toRemovedPod = ({ uid, evidence }: { readonly uid: string; readonly evidence: Evidence }): wire.RemovedPod => ({
  uid,
  evidence: evidence === "deleted" ? wire.RemovalEvidence.REMOVAL_EVIDENCE_DELETED : wire.RemovalEvidence.REMOVAL_EVIDENCE_ABSENT,
});

/** Whatever is not known to be a seen deletion counts as absence, the weaker evidence. */
export const evidenceOf = ({ evidence }: wire.RemovedPod): Evidence =>
  evidence === wire.RemovalEvidence.REMOVAL_EVIDENCE_DELETED ? "deleted" : "absent";

/** Fingerprint of what a node has reported: SHA-256 over the lines "<uid> <resourceVersion>\n" in ascending order of uid (by code unit). */
export function digestOf(pods: Iterable<{ readonly uid: string; readonly resourceVersion: string }>): Buffer {
  const sorted = Array.from(pods).sort((one, other) => (one.uid < other.uid ? -1 : Number(one.uid > other.uid)));
  let lines = "";
  for (const { uid, resourceVersion } of sorted) lines += `${uid} ${resourceVersion}\n`;
  return createHash("sha256").update(lines).digest();
}

const toDate = (ms: number | undefined): Date | undefined => (ms === undefined ? undefined : new Date(ms));

function nameOf<K extends string>(numbers: Readonly<Record<K, number>>, wanted: number): K | undefined {
  for (const name in numbers) if (numbers[name] === wanted) return name;
  return undefined;
}
