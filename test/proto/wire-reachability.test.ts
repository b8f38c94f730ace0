import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodVerdict } from "../../common/reachability.ts";
import { NodeFacts, PodVerdict as WireVerdict } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { fromNodeFacts, fromPodVerdict, toPodVerdict } from "../../proto/wire-reachability.ts";

const sources: PodVerdict["ports"][number]["sources"] = [
  { kind: "health-check", verdict: "allowed", because: "sg-a rule 1" },
  { kind: "clients", verdict: "denied", because: "sg-a rule 2" },
];
const verdict = (over: Partial<PodVerdict["ports"][number]> = {}): PodVerdict => ({
  uid: "p1",
  ports: [{ key: "lb-1 TCP:80", probe: "refused", probeText: "connect ECONNREFUSED 10.0.3.7:80", sources, ...over }],
});
const sent = (said: PodVerdict): PodVerdict => fromPodVerdict(WireVerdict.decode(WireVerdict.encode(toPodVerdict(said)).finish()));

test("a verdict and what the metadata service tells survive the wire", () => {
  assert.deepEqual(sent(verdict()), verdict());
  const facts = { instanceId: "ins-node0001", region: "ap-guangzhou", zone: "ap-guangzhou-3", macs: ["20:90:6f:01:02:03"] };
  assert.deepEqual(fromNodeFacts(NodeFacts.decode(NodeFacts.encode(facts).finish())), facts);
});

test("texts and lists that nobody needs are cut: one agent's words take no more than so much", () => {
  const long = "\u{1f600}x".repeat(100_000);
  const [port] = sent(
    verdict({
      probeText: long,
      sources: Array.from({ length: 500 }, () => ({ ...sources[0], because: long }) as (typeof sources)[number]),
    }),
  ).ports;
  assert.deepEqual([port?.probeText.length, port?.sources.length, port?.sources[0]?.because], [1_000, 8, port?.probeText]);
  assert.ok(port && long.startsWith(port.probeText));
  const facts = fromNodeFacts({ instanceId: long, region: long, zone: long, macs: Array.from({ length: 9_000 }, () => long) });
  assert.deepEqual([facts.instanceId.length, facts.macs.length, facts.macs[0]?.length], [128, 64, 128]);
});
