/**
 * `npm run proof:install [-- --json FILE]`, as root: makes the image, brings two real nodes up with kube-proxy and DNS, installs with Helm as
 * docs/install.md says, rolls the example under load, upgrades under load, retires, uninstalls, and looks for what was left behind. Exit code 0:
 * all of it held, within 20 minutes; 1: something did not, or something that it needs is missing, with the fix. What needs a network is made first, here.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { CHART } from "../../deploy/tools/render.ts";
import { launch } from "../cluster/namespace.ts";
import { startedUnderEmulation } from "./emulation.ts";
import { makeTwoImages, missingForProof } from "./images.ts";

const { values } = parseArgs({ options: { json: { type: "string" } } });
const { env } = process;
/** Of all of it, from cold caches. */
const LIMIT_MINUTES = 20;
const begunMs = performance.now();
const directory = mkdtempSync(join(tmpdir(), `clb-direct-proof-${process.pid}-`));
try {
  const reason = await missingForProof(env);
  if (reason !== undefined) throw new Error(`the proof of an installation cannot run here: ${reason}`);
  const startedMs = performance.now();
  const image = await makeTwoImages(directory, ["amd64", "arm64"], env);
  const own = image.images.find(({ architecture }) => architecture === (process.arch === "x64" ? "amd64" : process.arch));
  if (own === undefined) throw new Error(`there is no image for ${process.arch}`);
  const imageMiB = own.bytes / 2 ** 20;
  console.log(`image ${image.digest}: ${imageMiB.toFixed(1)} MiB packed; two builds for two architectures in ${seconds(startedMs)} s`);
  console.log(startedUnderEmulation(join(directory, "layout-1"), image));
  mkdirSync(join(directory, "run"));
  cpSync(CHART, join(directory, "chart"), { recursive: true }); // as it is now, whatever is edited meanwhile
  const script = ["node", "test/proof/install.ts", "--directory", directory, "--image-mib", String(imageMiB)];
  process.exitCode = await launch([...script, ...(values.json === undefined ? [] : ["--json", resolve(values.json)])]);
  const minutes = (performance.now() - begunMs) / 60_000;
  console.log(`all of it took ${minutes.toFixed(1)} minutes`);
  if (minutes > LIMIT_MINUTES) throw new Error(`the proof may take ${LIMIT_MINUTES} minutes`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1);
}
