import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Image } from "../../deploy/tools/image.ts";

const EMULATOR = "qemu-aarch64-static";

/** Starts both processes of the arm64 image; a sentence about it. Throws Error where one does not start. */
export function startedUnderEmulation(layout: string, image: Image): string {
  if (spawnSync(EMULATOR, ["--version"]).status !== 0) return `arm64: not started, there is no ${EMULATOR} (package qemu-user-static)`;
  const digest = image.images.find(({ architecture }) => architecture === "arm64")?.digest ?? "";
  const blob = (of: string): Buffer => readFileSync(join(layout, "blobs", of.replace(":", "/")));
  const root = mkdtempSync(join(layout, "..", "arm64-"));
  try {
    const { layers } = JSON.parse(blob(digest).toString("utf8")) as { layers: { digest: string }[] };
    for (const layer of layers) spawnSync("tar", ["xf", "-", "-C", root], { input: gunzipSync(blob(layer.digest)) });
    for (const command of ["agent", "coordinator"]) {
      const args = ["-L", root, join(root, "usr/local/bin/node"), join(root, "app", `${command}.mjs`), "--help"];
      const { status, stdout, stderr } = spawnSync(EMULATOR, args, { encoding: "utf8", env: {} });
      if (status !== 0 || !stdout.startsWith("usage:")) throw new Error(`arm64: ${command} does not start: ${stdout}${stderr}`);
    }
    return "arm64: agent and coordinator start under emulation";
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
