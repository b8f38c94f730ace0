import { writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { argumentsOrExit, checkJsonFile, namedOrFormer, positive } from "../../deploy/tools/arguments.ts";
import { benchCalls } from "./calls.ts";
import { benchDataPlane } from "./data-plane.ts";
import { soak } from "./soak.ts";
import { type Figure, isReached, table } from "./table.ts";

const USAGE = `usage: npm run bench:cloud -- [options]
  --seconds 5       how long each rate is measured
  --soak            random calls and faults instead of the benchmark
  --minutes 60      of the soak, in the cloud's time
  --time-scale 20   how many times as fast as real time the soak runs
  --random-seed 1   same seed, same calls and faults
  --json FILE       writes the figures as JSON too
Former names, for one version: --scale of --time-scale, --seed of --random-seed.
Exit code 1 only for errors: a figure that misses its goal is marked, for machines differ. 2 for a mistake in the options.`;

const FLAGS = {
  seconds: { type: "string", default: "5" },
  soak: { type: "boolean", default: false },
  minutes: { type: "string", default: "60" },
  "time-scale": { type: "string" },
  "random-seed": { type: "string" },
  /** The former names of these two, for one version. */
  scale: { type: "string" },
  seed: { type: "string" },
  json: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

/** Throws an Error that names the option. */
function readOptions(args: string[]) {
  const { values } = parseArgs({ args, options: FLAGS });
  checkJsonFile(values.json);
  const numbers = {
    seconds: positive("seconds", values.seconds),
    minutes: positive("minutes", values.minutes),
    scale: positive(...namedOrFormer(values, ["time-scale", "scale"], "20")),
    seed: positive(...namedOrFormer(values, ["random-seed", "seed"], "1")),
  };
  return { ...numbers, isSoak: values.soak, json: values.json, help: values.help };
}

async function main({ seconds, minutes, scale, seed, isSoak, json }: ReturnType<typeof readOptions>): Promise<void> {
  const [load = 0] = loadavg(); // of others, before we begin
  const figures: Figure[] = isSoak
    ? await soak({ minutes, scale, seed, report: console.log })
    : [...(await benchCalls(seconds)), ...(await benchDataPlane(seconds))];
  console.log(table(figures));
  console.log(`on ${cpus().length} cores with a load of ${load.toFixed(1)} before: rates suffer from others, CPU less so`);
  if (json === undefined) return;
  const machine = { cores: cpus().length, model: cpus()[0]?.model ?? "", node: process.version, loadBefore: load };
  const written = figures.map((figure) => ({ ...figure, reached: isReached(figure) }));
  await writeFile(json, `${JSON.stringify({ machine, figures: written }, undefined, 2)}\n`);
}

const options = argumentsOrExit(USAGE, readOptions);
try {
  await main(options);
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.stack : error);
  process.exit(1);
}
