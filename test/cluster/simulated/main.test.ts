import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startApiServer } from "../embedded/server.ts";
import { claimSlot } from "../network.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;

for (const way of ["SIGTERM", "end of its parent"] as const)
  test(`as a process: says when it is ready, and ends cleanly at ${way}`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "simulated-main-"));
    const slot = await claimSlot();
    const api = await startApiServer();
    t.after(async () => {
      await api.stop();
      await slot.release();
      await rm(folder, { recursive: true });
    });
    const kubeconfig = join(folder, "kubeconfig");
    await writeFile(kubeconfig, api.kubeconfig());
    const options = ["--kubeconfig", kubeconfig, "--slot", String(slot.plan.slot), "--nodes", "node-x", "--json", "--exit-with-parent"];
    const child = spawn(process.execPath, [MAIN, ...options], { stdio: ["pipe", "pipe", "inherit"] });
    const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
    assert.deepEqual(JSON.parse(line), { ready: true, nodes: [{ name: "node-x", address: slot.plan.nodeAddress(0) }] });
    assert.ok(api.store.get("nodes", undefined, "node-x"));
    if (way === "SIGTERM") child.kill("SIGTERM");
    else child.stdin.end();
    assert.deepEqual(await once(child, "exit"), [0, null]);
    assert.equal(api.watchCount(), 0);
  });
