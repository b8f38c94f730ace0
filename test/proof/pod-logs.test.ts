import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../cluster/process.ts";
import { followPodLogs } from "./pod-logs.ts";

const POD = "clb-direct_agent-1_5e21";

test("keeps what a container said beyond its Pod, over a rotation, and leaves other Namespaces out", async (t) => {
  const node = mkdtempSync(join(tmpdir(), "pod-logs-"));
  t.after(() => rmSync(node, { recursive: true, force: true }));
  const logs = join(node, "root/var/log/pods", POD, "hold");
  const others = join(node, "root/var/log/pods/demo_web-1_77aa/web");
  for (const folder of [logs, others]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(others, "0.log"), "not ours\n");
  writeFileSync(join(logs, "0.log"), "begins\n");
  const directory = join(node, "kept");
  const end = followPodLogs({ nodes: [{ name: "node-a", netns: join(node, "ns/net") }], namespace: "clb-direct", directory });
  const copy = join(directory, "node-a", POD, "hold/0.log");
  const kept = (): string => readFileSync(copy, "utf8");
  await until("the log is followed", () => existsSync(copy) && kept() === "begins\n", 5_000);
  renameSync(join(logs, "0.log"), join(logs, "0.log.20260101"));
  writeFileSync(join(logs, "0.log"), "goes on\n");
  await until("the next file is followed", () => kept() === "begins\ngoes on\n", 5_000);
  appendFileSync(join(logs, "0.log"), "ends\n");
  rmSync(join(node, "root"), { recursive: true });
  end();
  assert.equal(kept(), "begins\ngoes on\nends\n");
  assert.equal(existsSync(join(directory, "node-a/demo_web-1_77aa")), false);
});
