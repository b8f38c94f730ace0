import type { TestEvent } from "node:test/reporters";

/** Reporter behind the closing line of `npm test`, e.g. "120 passed, 0 failed, 2 skipped". */
export default async function* counts(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    if (event.type !== "test:summary" || event.data.file !== undefined) continue; // per-file summaries carry a file
    const { tests, passed, skipped, todo } = event.data.counts;
    yield `${passed} passed, ${tests - passed - skipped - todo} failed, ${skipped + todo} skipped\n`;
  }
}
