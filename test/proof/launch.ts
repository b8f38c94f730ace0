/**
 * `npm run proof:install`, as root: makes the image, brings two real nodes up with kube-proxy and DNS, installs with Helm as docs/install.md says,
 * rolls the example under load, upgrades under load, retires, uninstalls, and looks for what was left behind; or leaves all but the nodes to a
 * person (by-hand.ts). What needs a network is made first, here.
 */
import { cpSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { argumentsOrExit, checkJsonFile, positive } from "../../deploy/tools/arguments.ts";
import { CHART } from "../../deploy/tools/render.ts";
import { launch } from "../cluster/namespace.ts";
import { startedUnderEmulation } from "./emulation.ts";
import { proofFolder } from "./folder.ts";
import { makeTwoImages, missingForProof } from "./images.ts";

const USAGE = `usage: npm run proof:install -- [options], as root
  --json FILE         writes what is measured as JSON too
  --limit-minutes 20  the longest that all of it may take, from cold caches
  --by-hand           only the image, the nodes and an emulated cloud, until Ctrl-C: prints how to go the way of docs/install.md there yourself
Exit code 0: all of it held, in time. 1: something did not (a run that hangs is ended, says where, and takes down what it put up), or something that it
needs is missing, with the fix. 2: a mistake in the options.`;

const values = argumentsOrExit(USAGE, (args) => {
  const { values: given } = parseArgs({
    args,
    options: {
      json: { type: "string" },
      "limit-minutes": { type: "string", default: "20" },
      "by-hand": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  checkJsonFile(given.json);
  if (given["by-hand"] && given.json !== undefined)
    throw new RangeError(`--json ${given.json}: with --by-hand nothing is measured; leave one of both out`);
  return { ...given, limitMinutes: positive("limit-minutes", given["limit-minutes"]) };
});
const { env } = process;
const { limitMinutes } = values;
const byHand = values["by-hand"];
const begunMs = performance.now();
/** For the inside to take down what it put up. */
const GRACE_MS = 120_000;
const { directory, handOver } = proofFolder();
const late = (): never => {
  console.error(`the proof may take ${limitMinutes} minutes: it hangs, and is ended`);
  return process.exit(1); // what runs inside is told by that, and nothing of it is left
};
const tooLate = byHand ? undefined : setTimeout(late, limitMinutes * 60_000 + GRACE_MS);
try {
  const reason = await missingForProof(env);
  if (reason !== undefined) throw new Error(`the proof of an installation cannot run here: ${reason}`);
  const startedMs = performance.now();
  const image = await makeTwoImages(directory, byHand ? [process.arch === "arm64" ? "arm64" : "amd64"] : ["amd64", "arm64"], env);
  const own = image.images.find(({ architecture }) => architecture === (process.arch === "x64" ? "amd64" : process.arch));
  if (own === undefined) throw new Error(`there is no image for ${process.arch}`);
  const imageMiB = own.bytes / 2 ** 20;
  console.log(
    `image ${image.digest}: ${imageMiB.toFixed(1)} MiB packed; two builds for ${image.images.map(({ architecture }) => architecture).join(" and ")} in ${seconds(startedMs)} s`,
  );
  if (!byHand) console.log(startedUnderEmulation(join(directory, "layout-1"), image));
  mkdirSync(join(directory, "run"));
  cpSync(CHART, join(directory, "chart"), { recursive: true }); // as it is now, whatever is edited meanwhile
  const script = ["node", "test/proof/install.ts", "--directory", directory, "--image-mib", String(imageMiB)];
  if (byHand) script.push("--by-hand");
  else script.push("--limit-seconds", String(Math.max(1, limitMinutes * 60 - (performance.now() - begunMs) / 1000)));
  handOver();
  process.exitCode = await launch([...script, ...(values.json === undefined ? [] : ["--json", resolve(values.json)])]);
  const minutes = (performance.now() - begunMs) / 60_000;
  console.log(`all of it took ${minutes.toFixed(1)} minutes`);
  if (!byHand && minutes > limitMinutes) throw new Error(`the proof may take ${limitMinutes} minutes`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  clearTimeout(tooLate);
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1);
}
