import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { GateStatus, PodPhase } from "../../common/vocabulary.ts";
import { PodReport, RemovalEvidence, GateStatus as WireGate, PodPhase as WirePhase } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { digestOf, evidenceOf, toPodFact, toPodReport, toRemovedPod } from "../../proto/wire.ts";
import { aPod } from "../builders.ts";

const PHASES: readonly PodPhase[] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
const GATES: readonly GateStatus[] = ["absent", "True", "False", "Unknown"];

test("a Pod survives the wire, whatever its phase and gate", () => {
  for (const phase of PHASES)
    for (const gate of GATES) {
      const hostInterface = { name: "eth1", mac: "20:90:6f:01:02:03", kind: "eni", table: 4_002 } as const;
      const networks = { asked: ["tke-route-eni"], statusName: "tke-route-eni", statusMac: "20:90:6f:01:02:03", fault: "" };
      const pod = aPod({
        phase,
        gate,
        deletionAtMs: 1_790_000_000_000,
        hostInterface,
        networks,
        networkNote: "x",
        gateWish: "open",
        restarts: 7,
        weights: { service: "50", ingress: "7" },
      });
      const sent = PodReport.decode(PodReport.encode(toPodReport(pod)).finish());
      assert.deepEqual(toPodFact(sent, "node-a"), pod);
    }
});

test("what a Pod does not have survives the wire as well", () => {
  const pod = aPod({
    ips: [],
    labels: {},
    ports: [],
    containersReady: false,
    containersReadyAtMs: undefined,
    startedAtMs: undefined,
    restarts: undefined,
    hasGate: false,
  });
  assert.deepEqual(toPodFact(PodReport.decode(PodReport.encode(toPodReport(pod)).finish()), "node-a"), pod);
});

test("the session says which node a Pod is on, not the message", () => {
  assert.equal(toPodFact(toPodReport(aPod({ nodeName: "node-b" })), "node-a").nodeName, "node-a");
});

test("a note and a wish are cut where they are longer than anybody reads", () => {
  const { networkNote, gateWish } = toPodFact(toPodReport(aPod({ networkNote: "n".repeat(9_999), gateWish: "w".repeat(9_999) })), "node-a");
  assert.deepEqual([networkNote, gateWish], ["n".repeat(4_096), "w".repeat(64)]);
});

test("numbers that a newer version may send become Unknown", () => {
  const raw = Buffer.from([0x38, 0x63, 0x58, 0x63]); // fields 7 (phase) and 11 (gate), both 99
  const { phase, gate } = toPodFact(PodReport.decode(raw), "node-a");
  assert.deepEqual({ phase, gate }, { phase: "Unknown", gate: "Unknown" });
  const unset = toPodFact(PodReport.decode(Buffer.alloc(0)), "node-a");
  assert.deepEqual([unset.phase, unset.gate], ["Unknown", "absent"]);
  assert.deepEqual([WirePhase.POD_PHASE_UNSPECIFIED, WireGate.GATE_STATUS_UNSPECIFIED], [0, 0]);
});

test("only a seen deletion is told as one", () => {
  assert.equal(evidenceOf(toRemovedPod({ uid: "a", evidence: "deleted" })), "deleted");
  assert.equal(evidenceOf(toRemovedPod({ uid: "a", evidence: "absent" })), "absent");
  assert.equal(evidenceOf({ uid: "a", evidence: RemovalEvidence.REMOVAL_EVIDENCE_UNSPECIFIED }), "absent");
  assert.equal(evidenceOf({ uid: "a", evidence: RemovalEvidence.UNRECOGNIZED }), "absent");
});

test("the digest is the one of the protocol, in any order", () => {
  const pods = [
    { uid: "b", resourceVersion: "7" },
    { uid: "a", resourceVersion: "12" },
    { uid: "B", resourceVersion: "3" },
  ];
  const expected = createHash("sha256").update("B 3\na 12\nb 7\n").digest();
  assert.deepEqual(digestOf(pods), expected);
  assert.deepEqual(digestOf(pods.toReversed()), expected);
  assert.notDeepEqual(digestOf([{ uid: "a", resourceVersion: "13" }]), digestOf([{ uid: "a", resourceVersion: "12" }]));
  assert.deepEqual(digestOf([]), createHash("sha256").digest());
});
