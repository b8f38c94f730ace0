/** The agent's side of the hold, against a hold server that the test plays. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import type { HoldsReport } from "../../agent/domain/say-holds.ts";
import { type FromAgent, type FromHold, lineOf, makeLines, readFromAgent } from "../../agent/hold/messages.ts";
import { makeHolding } from "../../agent/holding.ts";
import { makeClock } from "../../common/clock.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { aPod } from "../builders.ts";
import { until } from "./until.ts";

const HOLD = { token: "token-1", graceSeconds: 30, longestGraceSeconds: 90, deletionGraceSeconds: undefined };

async function start(t: TestContext, ...pods: readonly PodFact[]) {
  const directory = mkdtempSync(join(tmpdir(), "holding-"));
  const socketPath = join(directory, "hold.sock");
  const heard: FromAgent[] = [];
  let agent: Socket | undefined;
  const server = createServer((socket) => {
    agent = socket;
    const lines = makeLines((line) => void heard.push(readFromAgent(line)));
    socket.on("data", (chunk) => lines(String(chunk))).on("error", () => undefined);
  });
  await new Promise<void>((resolve) => void server.listen(socketPath, resolve));
  const records = new Map(pods.map((pod) => [pod.uid, pod]));
  const said: HoldsReport[] = [];
  const late: number[] = [];
  const holding = makeHolding({
    socketPath,
    pods: () => ({ synced: true, records, lastByteAtMs: 0 }),
    onHolds: (holds) => void said.push(holds),
    onReleased: () => undefined,
    onLate: (connections) => void late.push(connections),
    clock: makeClock(),
    log: pino({ level: "silent" }),
  });
  await holding.part.start();
  t.after(async () => {
    await holding.part.stop?.(new AbortController().signal);
    agent?.destroy();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  await until(() => heard.length === 1);
  const tell = (message: FromHold): void => void agent?.write(lineOf(message));
  const leave = (): Promise<void> => Promise.resolve(holding.leave.stop?.(new AbortController().signal));
  return { holding, records, heard, said, late, tell, leave, hangUp: () => agent?.destroy() };
}

test("a hold server that connects hears all Pods with a token, then each that changes in what concerns it, at once", async (t) => {
  const held = aPod({ uid: "held", ips: [], hold: HOLD });
  const { holding, heard } = await start(t, held, aPod({ uid: "other" }), aPod({ uid: "over", phase: "Succeeded", hold: HOLD }));
  const [first] = heard;
  assert.ok(first?.kind === "pods" && first.complete);
  assert.deepEqual(first.pods, [{ uid: "held", name: `${held.namespace}/${held.name}`, ips: [], token: "token-1", graceSeconds: 30 }]);
  holding.podChanged({ kind: "changed", record: { ...held, ips: ["10.0.3.7"] } });
  holding.podChanged({ kind: "changed", record: { ...held, ips: ["10.0.3.7"], containersReady: false } }); // of no concern
  const ending = { ...held, ips: ["10.0.3.7"], deletionAtMs: 5_000, hold: { ...HOLD, deletionGraceSeconds: 12 } };
  holding.podChanged({ kind: "changed", record: ending });
  holding.podChanged({ kind: "removed", record: ending, evidence: "deleted" });
  await until(() => heard.length === 4);
  const changes = heard
    .slice(1)
    .map((message) => message.kind === "pods" && [message.pods.map(({ ips, deletion }) => [ips, deletion]), message.removed]);
  assert.deepEqual(changes, [
    [[[["10.0.3.7"], undefined]], []],
    [[[["10.0.3.7"], { atMs: 5_000, graceSeconds: 12 }]], []],
    [[], ["held"]],
  ]);
});

test("a Pod that a list lacks is told as absent, not as ended", async (t) => {
  const held = aPod({ uid: "held", ips: ["10.0.3.7"], hold: HOLD });
  const { holding, heard } = await start(t, held);
  holding.podChanged({ kind: "removed", record: held, evidence: "absent" });
  await until(() => heard.length === 2);
  assert.deepEqual(heard[1], { kind: "pods", complete: false, pods: [], removed: [], absent: ["held"] });
});

test("who waits keeps its time; an end is told with its number; a hold server that is gone holds nobody and proves nothing", async (t) => {
  const { said, late, tell, hangUp, records } = await start(t, aPod({ uid: "a", hold: HOLD, restarts: 4 }));
  tell({ kind: "proof", proven: true, because: "" });
  tell({
    kind: "held",
    stopping: false,
    pods: [
      { uid: "a", heldMs: 40 },
      { uid: "b", heldMs: 10 },
    ],
  });
  await until(() => said.at(-1)?.held.size === 2);
  const before = said.at(-1)?.held.get("a");
  assert.deepEqual([before?.graceSeconds, said.at(-1)?.held.get("b")?.graceSeconds], [90, undefined], "how long a container may stop");
  tell({
    kind: "held",
    stopping: false,
    pods: [
      { uid: "a", heldMs: 900, openConnections: 3 },
      { uid: "b", heldMs: 800 },
    ],
  });
  await until(() => said.at(-1)?.held.get("a")?.openConnections === 3);
  assert.equal(said.at(-1)?.held.get("a")?.sinceMs, before?.sinceMs);
  records.set("a", aPod({ uid: "a", hold: HOLD, restarts: 5 })); // e.g. a sidecar; the container that is held cannot have been
  tell({ kind: "released", pod: { uid: "a", end: "drained", lowered: true, killed: false, heldMs: 1_000, drainMs: 500 } });
  await until(() => said.at(-1)?.released.length === 1);
  const [ended] = said.at(-1)?.released ?? [];
  assert.deepEqual(
    [ended?.number, ended?.pod],
    [1, { uid: "a", end: "drained", lowered: true, heldMs: 1_000, graceSeconds: 90, restarts: 5 }],
  );
  assert.ok((ended?.atMs ?? 0) > (before?.sinceMs ?? 0));
  assert.deepEqual([...(said.at(-1)?.held.keys() ?? [])], ["b"]);
  tell({ kind: "late", connections: 2 });
  await until(() => late.length === 1);
  assert.deepEqual(late, [2]);
  assert.equal(said.at(-1)?.proof.proven, true);
  hangUp();
  await until(() => said.at(-1)?.proof.proven === false && said.at(-1)?.held.size === 0);
});

test("whoever deletes a Pod that waits decides how long its containers may take to stop, also a second time", async (t) => {
  const pod = aPod({ uid: "a", hold: HOLD });
  const { holding, said, tell } = await start(t, pod);
  tell({ kind: "held", stopping: false, pods: [{ uid: "a", heldMs: 40 }] });
  await until(() => said.at(-1)?.held.size === 1);
  const sinceMs = said.at(-1)?.held.get("a")?.sinceMs;
  for (const deletionGraceSeconds of [15, 5]) {
    holding.podChanged({ kind: "changed", record: { ...pod, deletionAtMs: 5_000, hold: { ...HOLD, deletionGraceSeconds } } });
    const held = said.at(-1)?.held.get("a");
    assert.deepEqual([held?.graceSeconds, held?.sinceMs], [deletionGraceSeconds, sinceMs]);
  }
  const { length } = said;
  holding.podChanged({ kind: "changed", record: { ...pod, deletionAtMs: 5_000, hold: { ...HOLD, deletionGraceSeconds: 5 } } });
  assert.equal(said.length, length, "nothing is said twice");
});

test("an agent that is told to stop says so, and stays for the holds of a hold server that stops as well", async (t) => {
  const { said, tell, leave } = await start(t);
  tell({ kind: "held", stopping: true, pods: [{ uid: "a", heldMs: 40 }] });
  await until(() => said.at(-1)?.held.size === 1);
  let isOver = false;
  const left = leave().then(() => (isOver = true));
  await until(() => said.at(-1)?.leaving === true);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(isOver, false);
  tell({ kind: "held", stopping: true, pods: [] });
  await left;
});
