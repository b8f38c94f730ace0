import assert from "node:assert/strict";
import { POD_OF, takeOver, testTroubles, type Writer, writersOf, writesSince } from "./two-coordinators.ts";
import { until, type World } from "./world.ts";

/** A Lease of 4 s, looked at four times a second, and the first read of the load balancers. */
const TAKE_OVER_MS = 5_000;
/** After the call that was under way: it is finished before the Lease is released. */
const HAND_OVER_MS = 1_000;

const secondWrites = (world: World, sinceMs: number): Promise<unknown> =>
  until("a write of the second", () => writersOf(writesSince(world, sinceMs)).at(-1) === "second", 20_000);

function assertWithin(limitMs: number, fromMs: number, toMs: number): void {
  assert.ok(toMs - fromMs <= limitMs, `took over after ${toMs - fromMs} ms`);
}

const BOTH: readonly Writer[] = ["first", "second"];

testTroubles({
  "a leader that is killed in the middle of a rollout is replaced within 5 s": {
    writers: BOTH,
    befall: async (world) => {
      const fromMs = Date.now();
      world.product.coordinator(0)?.signal("SIGKILL");
      assertWithin(TAKE_OVER_MS, fromMs, await takeOver(world, "second"));
    },
  },
  "a leader that is stopped finishes its call and hands over within a second": {
    writers: BOTH,
    befall: async (world, sinceMs) => {
      const fromMs = Date.now();
      const stopped = world.product.coordinator(0)?.stop();
      const takenMs = await takeOver(world, "second");
      assert.equal(await stopped, 0);
      const calls = writesSince(world, sinceMs).filter(({ by, fromMs: begunMs }) => by === "first" && begunMs <= fromMs);
      assertWithin(HAND_OVER_MS, Math.max(fromMs, ...calls.map(({ toMs }) => toMs)), takenMs);
    },
  },
  "a leader that is frozen for longer than its Lease writes nothing when it goes on": {
    writers: BOTH,
    befall: async (world, sinceMs) => {
      const fromMs = Date.now();
      world.product.coordinator(0)?.signal("SIGSTOP");
      assertWithin(TAKE_OVER_MS, fromMs, await takeOver(world, "second"));
      await secondWrites(world, sinceMs);
      world.product.coordinator(0)?.signal("SIGCONT");
    },
  },
  "a leader that is cut off from the API server, and from nothing else, has stopped writing when the other begins": {
    writers: BOTH,
    befall: async (world, sinceMs) => {
      const fromMs = Date.now();
      const mend = world.wires.get(POD_OF[0])?.cut();
      assertWithin(TAKE_OVER_MS, fromMs, await takeOver(world, "second"));
      await secondWrites(world, sinceMs);
      mend?.();
    },
  },
});
