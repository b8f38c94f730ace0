/**
 * `npm run proof:rollout [-- --quick] [--json FILE]`, as root: two real nodes (stock kubelet, containerd), the product as it is installed with
 * Helm from the image, containers that stop accepting at SIGTERM and know no preStop, a load of 500 requests a second on new and on kept
 * connections. Rolls, drains, deletes, updates the agents, deletes the leader, and counts what failed; beside it rows that lack something.
 * Exit code 0: the product's rows have no failed request, whatever the others lost. `--quick`: fast cloud, three rows, less than 4 minutes.
 * `--rows product,no-hold`, `--profiles fast`: only these; `--share 0.2`: so much of what the product has to stand; `--pods 10`: in each row.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { CHART } from "../../deploy/tools/render.ts";
import { launch } from "../cluster/namespace.ts";
import { makeTwoImages, missingForProof } from "./images.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    rows: { type: "string" },
    profiles: { type: "string" },
    share: { type: "string" },
    pods: { type: "string" },
  },
});
const { env } = process;
const directory = mkdtempSync(join(tmpdir(), `clb-direct-proof-${process.pid}-`));
try {
  const reason = await missingForProof(env);
  if (reason !== undefined) throw new Error(`the proof of rollouts cannot run here: ${reason}`);
  await makeTwoImages(directory, [process.arch === "arm64" ? "arm64" : "amd64"], env);
  mkdirSync(join(directory, "run"));
  cpSync(CHART, join(directory, "chart"), { recursive: true }); // as it is now, whatever is edited meanwhile
  const flags = {
    ...(values.json !== undefined && { json: resolve(values.json) }),
    ...(values.rows !== undefined && { rows: values.rows }),
    ...(values.profiles !== undefined && { profiles: values.profiles }),
    ...(values.share !== undefined && { share: values.share }),
    ...(values.pods !== undefined && { pods: values.pods }),
  };
  const more = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
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
} finally {
  rmSync(directory, { recursive: true, force: true });
}
