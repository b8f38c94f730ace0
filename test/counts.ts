import { readFileSync } from "node:fs";
import { relative } from "node:path";
import type { TestEvent } from "node:test/reporters";

/** A unit of time in /proc, the same on every architecture that Node knows. Source: proc(5), USER_HZ. */
const TICKS_PER_SECOND = 100;

/** Processor time of this process and of all its children that have ended, with theirs. */
function cpuSeconds(): number {
  const fields = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /s, "") // the name, which may have spaces
    .split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND; // utime, stime, cutime, cstime
}

/**
 * Reporter behind the sum of `npm test`: a line for each file, "file test/flow/bind.test.ts: 33.1 s, cpu 6.2 s", and one for all,
 * "120 passed, 0 failed, 2 skipped". What a process does before its first test counts for the file of that test.
 */
export default async function* counts(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const files = new Map<string, { seconds: number; cpu: number }>();
  let last = { seconds: 0, cpu: 0 };
  for await (const { type, data } of source) {
    if ((type === "test:pass" || type === "test:fail") && data.nesting === 0 && data.file !== undefined) {
      const now = { seconds: process.uptime(), cpu: cpuSeconds() };
      const file = relative("", data.file);
      const { seconds = 0, cpu = 0 } = files.get(file) ?? {};
      files.set(file, { seconds: seconds + now.seconds - last.seconds, cpu: cpu + now.cpu - last.cpu });
      last = now;
    }
    if (type !== "test:summary") continue;
    for (const [file, { seconds, cpu }] of files) yield `file ${file}: ${seconds.toFixed(1)} s, cpu ${cpu.toFixed(1)} s\n`;
    const { tests, passed, skipped, todo } = data.counts;
    yield `${passed} passed, ${tests - passed - skipped - todo} failed, ${skipped + todo} skipped\n`;
  }
}
