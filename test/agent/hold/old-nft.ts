/** What tests of rules need. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** Whether rules can be made here: nft is installed and the network is one of our own. */
export const rules = process.env["CLB_DIRECT_NETWORK"] === "namespace" && spawnSync("nft", ["list", "tables"]).status === 0;

/** A PATH with an nft as it speaks for a kernel before 5.12, which knows no owners. */
export function oldNft(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "old-nft-"));
  const [path, found] = [process.env["PATH"] ?? "", spawnSync("sh", ["-c", "command -v nft"], { encoding: "utf8" }).stdout.trim()];
  const script = `#!/bin/sh\nsed -u 's/flags owner/flags no-such-flag/' | ${found} "$@"\n`;
  writeFileSync(join(directory, "nft"), script, { mode: 0o755 });
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return `${directory}:${path}`;
}
