/** `npm run fuzz -- --seeds 300 [--from 1]`: exit code 1 with the shortest history of each seed that shows a difference. */
import { parseArgs } from "node:util";
import { argumentsOrExit, wholeAboveZero } from "../../../../deploy/tools/arguments.ts";
import { differenceOf } from "./differential.ts";

const USAGE = `usage: npm run fuzz -- [options]
  --seeds 300  how many histories
  --from 1     the first of them
Exit code 1 with the shortest history of each seed that shows a difference; 2 for a mistake in the options.`;

const { count, from } = argumentsOrExit(USAGE, (args) => {
  const { values } = parseArgs({
    args,
    options: {
      seeds: { type: "string", default: "300" },
      from: { type: "string", default: "1" },
      help: { type: "boolean", default: false },
    },
  });
  return { help: values.help, count: wholeAboveZero("seeds", values.seeds), from: wholeAboveZero("from", values.from) };
});
const startedMs = performance.now();
let different = 0;
for (let seed = from; seed < from + count; seed++) {
  const found = await differenceOf(seed);
  if (found === undefined) continue;
  different += 1;
  console.log(`seed ${seed}: ${found.what}\n${JSON.stringify(found.history, null, 1)}`);
}
console.log(`${count} seeds, ${different} with a difference, ${Math.round((performance.now() - startedMs) / 1000)} s`);
process.exitCode = different > 0 ? 1 : 0;
