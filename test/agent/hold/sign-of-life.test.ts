/** The probe of the manifests, as the kubelet runs it: a program and its exit code. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { keepSignOfLife } from "../../../agent/hold/sign-of-life.ts";
import { makeWallClock } from "../../../common/clock.ts";
import { parseManifests } from "../../cluster/manifests.ts";
import { until } from "../../cluster/process.ts";

type Probe = { readonly exec: { readonly command: readonly string[] } };
type Container = { readonly name: string; readonly env: readonly { name: string; value?: string }[]; readonly livenessProbe: Probe };

function holdContainer(): Container {
  const manifests = parseManifests(readFileSync("deploy/install.yaml", "utf8"), "deploy/install.yaml");
  const found = manifests.find(({ kind }) => kind === "DaemonSet");
  const { spec } = found as unknown as { spec: { template: { spec: { containers: readonly Container[] } } } };
  const hold = spec.template.spec.containers.find(({ name }) => name === "hold");
  assert.ok(hold !== undefined);
  return hold;
}

test("the liveness probe passes while the hold server's event loop turns, and fails once it hangs", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "hold-alive-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { livenessProbe, env } = holdContainer();
  const inImage = env.find(({ name }) => name === "STATE_DIRECTORY")?.value ?? "";
  const [program = "", ...args] = livenessProbe.exec.command.map((part) => part.replace(inImage, directory));
  const isAlive = (): boolean => spawnSync(program, args).status === 0;
  assert.equal(isAlive(), false, "before it has begun");
  const over = new AbortController();
  const running = keepSignOfLife({ directory, clock: makeWallClock(), aliveMs: 2_000 }, over.signal);
  assert.equal(isAlive(), true);
  over.abort(); // as if no timer came any more
  await running;
  const hungAtMs = Date.now();
  await until("it is given up", () => !isAlive(), 10_000);
  assert.ok(Date.now() - hungAtMs >= 1_000, "not before its time");
});

test("the sign is given again and again", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "hold-alive-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const over = new AbortController();
  const sleeps: number[] = [];
  const clock = {
    ...makeWallClock(),
    sleep: async (ms: number) => {
      sleeps.push(ms);
      if (sleeps.length === 3) over.abort();
    },
  };
  await keepSignOfLife({ directory, clock }, over.signal);
  assert.deepEqual(sleeps, [5_000, 5_000, 5_000], "so that a restart of the probe's period or a slow turn makes no difference within 30 s");
});
