import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { test } from "node:test";

test("the folder of a proof goes with it, also when somebody ends it before its nodes are up", async () => {
  const script = `const { proofFolder } = await import("./test/proof/folder.ts");
    process.stdout.write(proofFolder().directory);
    setInterval(() => {}, 60_000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  const directory = said.toString();
  assert.ok(existsSync(directory));
  child.kill("SIGTERM");
  const [code] = (await once(child, "exit")) as [number];
  assert.equal(code, 130);
  assert.ok(!existsSync(directory), directory);
});
