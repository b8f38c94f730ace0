/** One minor version of difference, both ways: fields and messages that only one end knows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodTask, PodVerdict } from "../../common/reachability.ts";
import {
  ConnectRequest,
  ConnectResponse,
  PodReport,
  PodTask as WireTask,
  PodVerdict as WireVerdict,
} from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { toPodFact, toPodReport } from "../../proto/wire.ts";
import { fromPodTask, fromPodVerdict, toPodTask, toPodVerdict } from "../../proto/wire-reachability.ts";
import { aPod } from "../builders.ts";

/** The fields of a message, as any reader of the wire finds them: by number. */
function fieldNumbers(message: Uint8Array): number[] {
  const numbers: number[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++] ?? 0;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    numbers.push(Math.floor(tag / 8));
    const value = varint();
    if (tag % 8 === 2) at += value;
  }
  return numbers;
}

const task: PodTask = {
  uid: "p1",
  ip: "10.0.3.7",
  ports: [
    {
      key: "lb-1 TCP:443",
      protocol: "TCP",
      port: 8080,
      groups: ["sg-a"],
      unjudged: "",
      sources: [{ kind: "health-check", addresses: ["198.18.0.1"], admittedBy: ["sg-lb"], protocol: "TCP", port: 443 }],
    },
  ],
};
const verdict: PodVerdict = {
  uid: "p1",
  ports: [
    {
      key: "lb-1 TCP:443",
      probe: "timed-out",
      probeText: "no answer",
      sources: [{ kind: "clients", verdict: "partly", because: "sg-a rule 3 (…)" }],
    },
  ],
};

test("tasks and verdicts survive the wire", () => {
  assert.deepEqual(fromPodTask(WireTask.decode(WireTask.encode(toPodTask(task)).finish())), task);
  assert.deepEqual(fromPodVerdict(WireVerdict.decode(WireVerdict.encode(toPodVerdict(verdict)).finish())), verdict);
});

test("what a former version does not know comes under numbers that it skips", () => {
  // Former requests have bodies 1 to 5, former answers 1 to 4, former PodReports 1 to 16.
  const verdicts = ConnectRequest.encode({ body: { $case: "verdicts", value: { pods: [toPodVerdict(verdict)] } } }).finish();
  const facts = ConnectRequest.encode({
    body: { $case: "nodeFacts", value: { instanceId: "ins-1", region: "", zone: "", macs: [] } },
  }).finish();
  const tasks = ConnectResponse.encode({
    body: { $case: "tasks", value: { complete: true, pods: [toPodTask(task)], removed: [] } },
  }).finish();
  const group = ConnectResponse.encode({ body: { $case: "securityGroup", value: { id: "sg-a", version: "1", rules: [] } } }).finish();
  assert.deepEqual([verdicts, facts, tasks, group].map(fieldNumbers), [[10], [11], [10], [11]]);
  const pod = aPod({ networks: { asked: ["tke-route-eni"], statusName: "", statusMac: "", fault: "" }, networkNote: "x" });
  const known = fieldNumbers(PodReport.encode(toPodReport(pod)).finish()).filter((number) => number <= 16);
  const bare = fieldNumbers(PodReport.encode(toPodReport(aPod())).finish()).filter((number) => number <= 16);
  assert.deepEqual(known, bare, "the rest of a report is what it was");
});

test("a body that a later version sends is none, and the stream goes on", () => {
  const later = Buffer.from([0xa2, 0x06, 0x02, 0x08, 0x01]); // field 100, two bytes
  assert.equal(ConnectRequest.decode(later).body, undefined);
  assert.equal(ConnectResponse.decode(later).body, undefined);
});

test("a report of a former agent says nothing of kinds, networks, notes and weights", () => {
  const former = Buffer.from([0x82, 0x01, 0x06, 0x0a, 0x04, 0x65, 0x74, 0x68, 0x31]); // host_interface { name: "eth1" }
  const { hostInterface, networks, networkNote, weights } = toPodFact(PodReport.decode(former), "node-a");
  assert.deepEqual(hostInterface, { name: "eth1", mac: "", kind: "unknown", table: 0 });
  assert.deepEqual([networks, networkNote, weights], [{ asked: [], statusName: "", statusMac: "", fault: "" }, "", undefined]);
});

test("answers and kinds of senders that this version does not know are left out", () => {
  const wire = toPodVerdict(verdict);
  const [port] = wire.ports;
  assert.ok(port !== undefined);
  const odd = {
    ...wire,
    ports: [
      {
        ...port,
        probe: 99 as 0,
        sources: [
          { kind: 99 as 0, verdict: 1 as const, because: "" },
          { kind: 2 as const, verdict: 99 as 0, because: "" },
        ],
      },
    ],
  };
  assert.deepEqual(fromPodVerdict(odd).ports[0]?.sources, [{ kind: "clients", verdict: "unknown", because: "" }]);
  assert.equal(fromPodVerdict(odd).ports[0]?.probe, "pending");
});
