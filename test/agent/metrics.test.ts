import assert from "node:assert/strict";
import { test } from "node:test";
import { makeMetrics } from "../../agent/metrics.ts";

test("shows what is at the moment of the scrape, under the agent's prefix", async () => {
  let pods = 3;
  const metrics = makeMetrics({
    pods: () => pods,
    podWatchAgeSeconds: () => 1.5,
    linkStates: () => ["acknowledged", "away", "acknowledged"],
    held: () => 2,
    holdProven: () => true,
  });
  metrics.links.onSent("snapshot");
  metrics.links.onAck(0.004);
  metrics.links.onStreamEnd("UNAVAILABLE");
  metrics.onRestart("gone");
  metrics.onReleased({ uid: "1", end: "drained", lowered: true, heldMs: 4_000, killed: false, drainMs: 900 });
  metrics.onReleased({ uid: "2", end: "budget", lowered: false, heldMs: 23_000, killed: false });
  metrics.onReleased({ uid: "3", end: "released", lowered: false, heldMs: 5, killed: false }); // bound nowhere: nothing was cut
  metrics.onReleased({ uid: "4", end: "budget", lowered: true, heldMs: 23_000, killed: false, drainMs: 20_000 });
  metrics.onReleased({ uid: "5", end: "aborted", lowered: false, heldMs: 23_000, killed: true });
  pods = 4;
  const text = await metrics.registry.metrics();
  for (const line of [
    "pods 4",
    "pod_watch_age_seconds 1.5",
    'links{state="acknowledged"} 2',
    'links{state="connected"} 0',
    'messages_sent_total{kind="snapshot"} 1',
    'streams_ended_total{code="UNAVAILABLE"} 1',
    'pod_watch_restarts_total{cause="gone"} 1',
    'ack_seconds_bucket{le="0.005"} 1',
    'ack_seconds_bucket{le="0.0025"} 0',
    "held_pods 2",
    "hold_proven 1",
    'holds_ended_total{end="budget"} 2',
    "holds_truncated_total 2",
    "holds_killed_total 1",
    "drains_cut_total 1",
    'drain_seconds_bucket{le="1"} 1',
    "hold_seconds_count 5",
  ])
    assert.ok(text.split("\n").includes(`clb_direct_agent_${line}`), `${line} is missing in\n${text}`);
  const own = text
    .matchAll(/^# TYPE (\S+)/gm)
    .map(([, name = ""]) => name)
    .filter((name) => !/^(process|nodejs)_/.test(name)); // prom-client's defaults
  for (const name of own) assert.match(name, /^clb_direct_agent_/);
});
