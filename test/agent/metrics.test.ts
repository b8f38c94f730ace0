import assert from "node:assert/strict";
import { test } from "node:test";
import { makeMetrics } from "../../agent/metrics.ts";

test("shows what is at the moment of the scrape, under the agent's prefix", async () => {
  let pods = 3;
  const metrics = makeMetrics({
    pods: () => pods,
    podWatchAgeSeconds: () => 1.5,
    linkStates: () => ["acknowledged", "away", "acknowledged"],
  });
  metrics.links.onSent("snapshot");
  metrics.links.onAck(0.004);
  metrics.links.onStreamEnd("UNAVAILABLE");
  metrics.onRestart("gone");
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
  ])
    assert.ok(text.split("\n").includes(`clb_direct_agent_${line}`), `${line} is missing in\n${text}`);
  const own = text
    .matchAll(/^# TYPE (\S+)/gm)
    .map(([, name = ""]) => name)
    .filter((name) => !/^(process|nodejs)_/.test(name)); // prom-client's defaults
  for (const name of own) assert.match(name, /^clb_direct_agent_/);
});
