/**
 * `npm run proof:rollout`, as root: two real nodes (stock kubelet, containerd), the product as it is installed with Helm from the image, containers
 * that stop accepting at SIGTERM and know no preStop, a load of 500 requests a second on new and on kept connections. Rolls, drains, deletes,
 * updates the agents, deletes the leader, and counts what failed; beside it rows that lack something.
 */
import { cpSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { argumentsOrExit, checkJsonFile, listed, wholeAboveZero } from "../../deploy/tools/arguments.ts";
import { CHART } from "../../deploy/tools/render.ts";
import { launch } from "../cluster/namespace.ts";
import { proofFolder } from "./folder.ts";
import { makeTwoImages, missingForProof } from "./images.ts";
import { MODES } from "./modes.ts";

const PROFILES = ["tke2020", "fast"] as const;
const USAGE = `usage: npm run proof:rollout -- [options], as root
  --quick                    fast cloud, three rows, one rollout and one drain each: about four minutes
  --rows ${MODES.join(",")}
                             only these
  --profiles tke2020,fast    only these clouds
  --share 0.2                so much of what the product has to stand, at most 1
  --pods 20                  in each row; with --quick 10
  --json FILE                writes the rows as JSON too, each as it ends
  --logs FOLDER              keeps there what the product, its nodes and the cloud say, beyond the run
Ctrl-C takes down what was put up; the rows that have ended are told.
Exit code 0: the product's rows have no failed request, whatever the others lost. 1: they have, or something that it needs is missing, with the fix; 2: a
mistake in the options.`;

const values = argumentsOrExit(USAGE, (args) => {
  const { values: given } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      rows: { type: "string" },
      profiles: { type: "string" },
      share: { type: "string" },
      pods: { type: "string" },
      logs: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  checkJsonFile(given.json);
  if (given.rows !== undefined) listed("rows", given.rows, MODES);
  if (given.profiles !== undefined) listed("profiles", given.profiles, PROFILES);
  if (given.pods !== undefined) wholeAboveZero("pods", given.pods);
  const share = Number(given.share ?? 1);
  if (!(share > 0 && share <= 1)) throw new RangeError(`--share must be a number above 0, at most 1, got "${given.share}"`);
  return given;
});
const { env } = process;
const { directory, handOver } = proofFolder();
try {
  const reason = await missingForProof(env);
  if (reason !== undefined) throw new Error(`the proof of rollouts cannot run here: ${reason}`);
  await makeTwoImages(directory, [process.arch === "arm64" ? "arm64" : "amd64"], env);
  mkdirSync(join(directory, "run"));
  if (values.logs !== undefined) mkdirSync(values.logs, { recursive: true });
  cpSync(CHART, join(directory, "chart"), { recursive: true }); // as it is now, whatever is edited meanwhile
  const flags = {
    ...(values.json !== undefined && { json: resolve(values.json) }),
    ...(values.rows !== undefined && { rows: values.rows }),
    ...(values.profiles !== undefined && { profiles: values.profiles }),
    ...(values.share !== undefined && { share: values.share }),
    ...(values.pods !== undefined && { pods: values.pods }),
    ...(values.logs !== undefined && { logs: resolve(values.logs) }),
  };
  const more = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  handOver();
  process.exitCode = await launch([
    "node",
    "test/proof/rollout.ts",
    "--directory",
    directory,
    ...(values.quick ? ["--quick"] : []),
    ...more,
  ]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
