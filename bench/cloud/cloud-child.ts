import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { makeClock } from "../../common/clock.ts";
import { startCloud } from "../../test/cloud/cli/start.ts";
import type { ChildAnswer, ChildQuestion } from "./cloud-process.ts";

/** The emulated cloud in a process of its own: the first message starts it, each further one asks what it costs. Ends with its parent. */
setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc"); // only a context made after the flag has it

async function answer(question: ChildQuestion): Promise<ChildAnswer> {
  if (question.kind === "start") {
    const { scale, ...options } = question.options;
    const { endpoint, adminUrl } = await startCloud({ ...options, clock: makeClock(scale) });
    return { kind: "started", endpoint, adminUrl };
  }
  if (question.garbage) collectGarbage();
  const { user, system } = process.cpuUsage();
  const { heapUsed, rss } = process.memoryUsage();
  return { kind: "usage", cpuMs: (user + system) / 1000, heapBytes: heapUsed, rssBytes: rss };
}

process.on("message", (question: ChildQuestion) => {
  void answer(question).then(
    (told) => process.send?.(told),
    (error: unknown) => process.send?.({ kind: "failed", reason: String(error) } satisfies ChildAnswer),
  );
});
process.once("disconnect", () => process.exit(0));
