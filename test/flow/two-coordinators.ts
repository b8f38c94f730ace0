/** Two coordinators under traffic and rollout, something that befalls the leader, and what must hold: one writer at any time. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { TEST_KEY } from "../cloud/runtime/options.ts";
import type { Replica } from "../cluster/product.ts";
import { disturbedRollout } from "./disturbed-rollout.ts";
import { SECOND_KEY, startWorld, until, type World } from "./world.ts";

/** The coordinators by their keys in the cloud. */
export type Writer = "first" | "second";
const WRITERS: ReadonlyMap<string, Writer> = new Map([
  [TEST_KEY.secretId, "first"],
  [SECOND_KEY.secretId, "second"],
]);

/** A call that changes something, from its beginning to the end of the task that it began. Milliseconds since the epoch. */
export type Write = { readonly by: Writer | undefined; readonly action: string; readonly fromMs: number; readonly toMs: number };

/** Of the cloud's journal, in the order of their beginning. */
export function writesSince(world: World, sinceMs: number): readonly Write[] {
  const { journal } = world.cloud.cloud;
  const ends = new Map(journal.of("task").flatMap(({ change, taskId, timeMs }) => (change === "accepted" ? [] : [[taskId, timeMs]])));
  return journal
    .of("call")
    .filter(({ action, startMs }) => !action.startsWith("Describe") && startMs >= sinceMs)
    .map(({ caller, action, startMs, timeMs, requestId }) => ({
      by: WRITERS.get(caller),
      action,
      fromMs: startMs,
      toMs: ends.get(requestId) ?? timeMs,
    }))
    .sort((a, b) => a.fromMs - b.fromMs);
}

/** Who wrote, without repetitions, e.g. ["first", "second"]; an interleaving would show as ["first", "second", "first"]. */
export const writersOf = (writes: readonly Write[]): (Writer | undefined)[] =>
  writes.map(({ by }) => by).filter((writer, index, all) => writer !== all[index - 1]);

/** Fails if a coordinator wrote again after the other one, or began while a write of the other one ran. */
function assertOneWriter(writes: readonly Write[]): void {
  const told = writes
    .map(({ by, action, fromMs, toMs }) => `${new Date(fromMs).toISOString()} +${toMs - fromMs} ms ${by} ${action}`)
    .join("\n");
  const order = writersOf(writes);
  assert.equal(new Set(order).size, order.length, `writes interleave:\n${told}`);
  for (const [index, write] of writes.entries()) {
    const running = writes.slice(0, index).find(({ by, toMs }) => by !== write.by && toMs > write.fromMs);
    assert.equal(running, undefined, `${write.by}'s ${write.action} began while the other's ran:\n${told}`);
  }
}

const ADDRESS = { first: "coordinator", second: "standby" } as const;

/** Whether that coordinator says that it leads. */
export const leads = (world: World, who: Writer): Promise<boolean> =>
  fetch(`http://${world.plan[ADDRESS[who]]}:9090/metrics`, { signal: AbortSignal.timeout(1_000) }).then(
    async (answer) => /^clb_direct_leader 1$/m.test(await answer.text()),
    () => false,
  );

/** Waits until that coordinator leads; gives the milliseconds since the epoch. */
export async function takeOver(world: World, who: Writer): Promise<number> {
  await until(`the ${who} to lead`, () => leads(world, who), 20_000, 20);
  return Date.now();
}

export const POD_OF: Readonly<Record<Replica, string>> = { 0: "clb-direct-coordinator-0", 1: "clb-direct-coordinator-1" };

export type Trouble = {
  /** Befalls in the middle of a rollout, when the first coordinator has written; resolves when the rollout can go on. */
  readonly befall: (world: World, sinceMs: number) => Promise<unknown>;
  /** Who must have written at the end; either order where it is open who leads. */
  readonly writers?: readonly Writer[];
};

/** One test per trouble; each also checks all that disturbedRollout does: no failed request, nothing unbound that lives, no overlap. */
export function testTroubles(troubles: Readonly<Record<string, Trouble>>): void {
  for (const [what, trouble] of Object.entries(troubles)) test(what, { timeout: 150_000 }, (t) => underTrouble(t, trouble));
}

async function underTrouble(t: TestContext, { befall, writers }: Trouble): Promise<void> {
  const world = await startWorld(t, { replicas: 2, wired: true });
  await world.product.startCoordinator(1);
  assert.ok(await leads(world, "first"), "who comes first leads");
  let sinceMs = 0;
  await disturbedRollout(t, world, async () => {
    sinceMs = Date.now();
    await until("a write of the first in this rollout", () => writersOf(writesSince(world, sinceMs)).at(-1) === "first");
    await befall(world, sinceMs);
  });
  const writes = writesSince(world, sinceMs);
  assertOneWriter(writes);
  if (writers !== undefined) assert.deepEqual(writersOf(writes), writers);
}
