/**
 * `npm run proof:install [-- --json FILE] [--limit-minutes 20]`, as root: makes the image, brings two real nodes up with kube-proxy and DNS, installs with Helm as
 * docs/install.md says, rolls the example under load, upgrades under load, retires, uninstalls, and looks for what was left behind. Exit code 0:
 * all of it held, in time; one that hangs is ended then, says where, and takes down what it put up. 1: something did not, or something that it needs is missing, with the fix. What needs a network is made first, here.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { CHART } from "../../deploy/tools/render.ts";
import { launch } from "../cluster/namespace.ts";
import { startedUnderEmulation } from "./emulation.ts";
import { makeTwoImages, missingForProof } from "./images.ts";

const { values } = parseArgs({ options: { json: { type: "string" }, "limit-minutes": { type: "string", default: "20" } } });
const { env } = process;
/** Of all of it, from cold caches. */
const limitMinutes = Number(values["limit-minutes"]);
if (!(limitMinutes > 0)) throw new RangeError(`--limit-minutes must be a number above 0, got "${values["limit-minutes"]}"`);
const begunMs = performance.now();
/** For the inside to take down what it put up. */
const GRACE_MS = 120_000;
const directory = mkdtempSync(join(tmpdir(), `clb-direct-proof-${process.pid}-`));
const tooLate = setTimeout(
  () => {
    console.error(`the proof may take ${limitMinutes} minutes: it hangs, and is ended`);
    rmSync(directory, { recursive: true, force: true });
    process.exit(1); // what runs inside is told by that, and nothing of it is left
  },
  limitMinutes * 60_000 + GRACE_MS,
);
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
  script.push("--limit-seconds", String(Math.max(1, limitMinutes * 60 - (performance.now() - begunMs) / 1000)));
  process.exitCode = await launch([...script, ...(values.json === undefined ? [] : ["--json", resolve(values.json)])]);
  const minutes = (performance.now() - begunMs) / 60_000;
  console.log(`all of it took ${minutes.toFixed(1)} minutes`);
  if (minutes > limitMinutes) throw new Error(`the proof may take ${limitMinutes} minutes`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  clearTimeout(tooLate);
  rmSync(directory, { recursive: true, force: true });
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1);
}
