import assert from "node:assert/strict";
import { test } from "node:test";
import { FINALIZER } from "../../../common/names.ts";
import { type StatusDeps, tellReadiness } from "../../../coordinator/owners/owner-status.ts";
import { StatusContest } from "../../../coordinator/owners/status-contest.ts";
import { aService, CLUSTER } from "../../builders.ts";
import { aFakeClock } from "../pods.ts";

/** Somebody takes the condition away as soon as we have written it; when it was written, seconds after the first time. */
async function writesIn(seconds: number): Promise<number[]> {
  const clock = aFakeClock();
  const writes: number[] = [];
  let version = 1;
  const contest = new StatusContest({ client: { list: () => Promise.reject(new Error("nobody is told")) }, clock, tell: () => undefined });
  const patch = async <T>(): Promise<T> => {
    writes.push(clock.now());
    version += 1; // ours, and theirs
    return await Promise.resolve({} as T);
  };
  const deps: StatusDeps = {
    client: { patch },
    clock,
    contest,
    mirror: { read: () => undefined },
    clusterId: CLUSTER,
    tell: () => undefined,
  };
  const { signal } = new AbortController();
  const ready = { status: "True", reason: "Success", message: "listens" } as const;
  for (const endMs = clock.now() + seconds * 1_000; clock.now() < endMs; await clock.advance(100)) {
    const object = aService({ resourceVersion: String(version), finalizers: [FINALIZER], generation: 1, ready: undefined });
    await tellReadiness(deps, object, ready, signal);
  }
  return writes.map((atMs) => (atMs - (writes[0] ?? 0)) / 1_000);
}

test("a condition that somebody else takes away is put back at once, then ever more rarely, once in 30 s at last", async () => {
  const writes = await writesIn(180);
  const pauses = writes.slice(1).map((atS, index) => Math.round(atS - (writes[index] ?? 0)));
  assert.deepEqual(pauses, [0, 1, 2, 4, 8, 16, 30, 30, 30, 30]);
});
