import type { TestEvent } from "node:test/reporters";

/** Reporter behind the sum of `npm test`: one line for one file, e.g. "120 passed, 0 failed, 2 skipped". */
export default async function* counts(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    if (event.type !== "test:summary") continue;
    const { tests, passed, skipped, todo } = event.data.counts;
    yield `${passed} passed, ${tests - passed - skipped - todo} failed, ${skipped + todo} skipped\n`;
  }
}
