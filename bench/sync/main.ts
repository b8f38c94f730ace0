/**
 * `npm run bench:sync`: how long a load balancer takes to follow its wishes, beside what was published and beside the lower bound.
 * In virtual time; `--wire` repeats some rows over real HTTP.
 */
import { parseArgs } from "node:util";
import { argumentsOrExit, checkJsonFile, exitAfter, namedOrFormer, positive } from "../../deploy/tools/arguments.ts";

const USAGE = `usage: npm run bench:sync -- [options]
  --quick          two rows of each table, nothing else (seconds)
  --no-rollout     no rollout of 200 Pods and no thousand changes, which take real time
  --wire           two rows of each table over real HTTP and the real SDK as well
  --time-scale 5   how many times as fast as real time the wire runs. Former name, for one version: --scale
  --json FILE      writes the figures as JSON too
Exit code 1 if a column does not reproduce its published figure, or ours misses its limit; 2 for a mistake in the options.`;

const FLAGS = {
  quick: { type: "boolean", default: false },
  "no-rollout": { type: "boolean", default: false },
  wire: { type: "boolean", default: false },
  "time-scale": { type: "string" },
  /** The former name of `time-scale`, for one version. */
  scale: { type: "string" },
  json: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

/** Throws an Error that names the option. */
function readOptions(args: string[]) {
  const { values } = parseArgs({ args, options: FLAGS });
  checkJsonFile(values.json);
  return { ...values, scale: positive(...namedOrFormer(values, ["time-scale", "scale"], "5")), noRollout: values["no-rollout"] };
}

const options = argumentsOrExit(USAGE, readOptions);
const { run } = await import("./run.ts"); // a mistake in the options is told without it
await exitAfter(() => run(options));
