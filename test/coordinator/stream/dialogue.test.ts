import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import type { NodeSession } from "../../../coordinator/nodes/node-session.ts";
import { makeDialogue } from "../../../coordinator/stream/dialogue.ts";
import { standStill } from "../../stand-still.ts";

/** How long what one agent says takes; all of them together many turns of the event loop. */
const EACH_MS = 2;
const AGENTS = 50;

const quiet = (): void => undefined;

test("when thousands of agents speak at once, timers and I/O have their turn between them", async () => {
  const said: string[] = [];
  const session: NodeSession = {
    told: new Map(),
    heard: () => true,
    leaving: () => undefined,
    snapshot: () => {
      standStill(EACH_MS);
      return "applied";
    },
    difference: () => "applied",
    vanished: () => undefined,
    close: () => undefined,
  };
  const dialogues = Array.from({ length: AGENTS }, (_, index) =>
    makeDialogue({
      session,
      nodeName: `node-${index}`,
      life: { offer: () => undefined, run: () => Promise.resolve() },
      say: (body) => Promise.resolve(void said.push(body.$case)),
      findings: undefined,
      holds: undefined,
      observer: { onStream: quiet, onMessage: quiet, onResend: quiet, onFallback: quiet, onRefused: quiet },
      log: pino({ level: "silent" }),
    }),
  );
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    turns += 1;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const snapshot = { $case: "snapshot" as const, value: { sequence: 1n, pods: [], more: false } };
  await Promise.all(dialogues.map((dialogue) => dialogue.hear(snapshot)));
  isOver = true;
  assert.deepEqual(said, Array<string>(AGENTS).fill("ack"));
  assert.ok(turns >= 5, `${turns} turns`);
});
