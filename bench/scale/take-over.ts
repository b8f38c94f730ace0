/**
 * `npm run bench:take-over`: thousands of Pods become ready in the moment in which the leader is replaced, and wait for the new one to
 * bind them and to open their gates. Two real coordinator processes; everything else as in `bench:scale`.
 */
import { argumentsOrExit, exitAfter } from "../../deploy/tools/arguments.ts";
import { ADVISED, flagsOf, sizedOptions } from "./whole.ts";

const USAGE = `usage: npm run bench:take-over -- [options]
  --pods 10000      Pods with gates that wait for the new leader
  --services 2000   that select them, 50 on each load balancer
  --quick           600 Pods, 100 Services: less than a minute, without a goal of loop delay
  --node-flags LIST flags of the coordinators' Node, e.g. --max-semi-space-size=16; the default is what the chart advises for the size
  --json FILE       writes the row as JSON too
Exit code 1 if a goal is missed by more than a control process beside the coordinators explains; 2 for a mistake in the options.
The goals are those of the default size.`;

const FULL = { pods: 10_000, services: 2_000 };
const QUICK: typeof FULL = { pods: 600, services: 100 };

/** Throws an Error that names the option. */
function readOptions(args: string[]) {
  const texts = { "node-flags": ADVISED };
  const { sizes, isQuick, json, help, given } = sizedOptions(args, FULL, QUICK, { texts });
  return { ...sizes, flags: flagsOf(given["node-flags"], sizes.services), size: isQuick ? "quick" : "full", json, help } as const;
}

const options = argumentsOrExit(USAGE, readOptions);
const { run } = await import("./take-over-run.ts"); // a mistake in the options is told without it
await exitAfter(() => run(options));
