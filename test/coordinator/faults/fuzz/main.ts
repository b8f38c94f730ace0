/** `npm run fuzz -- --seeds 300 [--from 1]`: exit code 1 with the shortest history of each seed that shows a difference. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { argumentsOrExit, wholeAboveZero } from "../../../../deploy/tools/arguments.ts";
import type { Tried } from "./child.ts";

const USAGE = `usage: npm run fuzz -- [options]
  --seeds 300    how many histories
  --from 1       the first of them
  --workers ${availableParallelism()}    how many are run at once
Exit code 1 with the shortest history of each seed that shows a difference; 2 for a mistake in the options.`;
/** A line of progress each so many seeds. */
const PROGRESS = 100;

const { count, from, workers } = argumentsOrExit(USAGE, (args) => {
  const { values } = parseArgs({
    args,
    options: {
      seeds: { type: "string", default: "300" },
      from: { type: "string", default: "1" },
      workers: { type: "string", default: String(availableParallelism()) },
      help: { type: "boolean", default: false },
    },
  });
  return {
    help: values.help,
    count: wholeAboveZero("seeds", values.seeds),
    from: wholeAboveZero("from", values.from),
    workers: wholeAboveZero("workers", values.workers),
  };
});
const startedMs = performance.now();
let [next, tried, different] = [from, 0, 0];
const summary = (): string => `${tried} seeds, ${different} with a difference, ${Math.round((performance.now() - startedMs) / 1000)} s`;

/** Hands a process one seed after the other until none is left; throws where the process ends by itself. */
async function work(): Promise<void> {
  const child = fork(new URL("child.ts", import.meta.url));
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`a process of the fuzzer ended by itself: exit code ${code}`);
  });
  ended.catch(() => undefined); // also when all seeds are through
  while (next < from + count) {
    const answered = once(child, "message");
    child.send(next++);
    const [{ seed, found }] = (await Promise.race([answered, ended])) as [Tried];
    tried += 1;
    if (found !== undefined) {
      different += 1;
      console.log(`seed ${seed}: ${found.what}\n${JSON.stringify(found.history, null, 1)}`);
    }
    if (tried % PROGRESS === 0 && tried < count) console.log(summary());
  }
  child.disconnect();
}

await Promise.all(Array.from({ length: Math.min(workers, count) }, work));
console.log(summary());
process.exitCode = different > 0 ? 1 : 0;
