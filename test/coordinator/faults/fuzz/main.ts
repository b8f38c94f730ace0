/** `npm run fuzz -- --seeds 300 [--from 1]`: exit code 1 with the shortest history of each seed that shows a difference. */
import { parseArgs } from "node:util";
import { differenceOf } from "./differential.ts";

const { values } = parseArgs({ options: { seeds: { type: "string", default: "300" }, from: { type: "string", default: "1" } } });
const [count, from] = [Number(values.seeds), Number(values.from)];
if (!Number.isInteger(count) || !Number.isInteger(from) || count < 1) throw new Error("use whole numbers: --seeds 300 --from 1");
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
