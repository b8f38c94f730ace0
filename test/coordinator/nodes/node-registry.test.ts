import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../common/vocabulary.ts";
import { makeNodeRegistry } from "../../../coordinator/nodes/node-registry.ts";
import type { NodeSession, NodeWatchEvent } from "../../../coordinator/nodes/node-session.ts";
import { aFakeClock, aPod, aRecordingObserver, believing, silentLog } from "../pods.ts";

const NODE = { name: "a", uid: "node-uid-a" };
const GRACE_MS = 10_000;

function aRegistry() {
  const clock = aFakeClock();
  const observer = aRecordingObserver();
  const stopped = new AbortController();
  const watches: { node: string; tell: (event: NodeWatchEvent) => void; signal: AbortSignal }[] = [];
  const registry = makeNodeRegistry(
    {
      clock,
      observer,
      ...believing,
      log: silentLog,
      agentGraceMs: GRACE_MS,
      watchNode(node, tell, signal) {
        watches.push({ node, tell, signal });
        return { lastByteAtMs: 42 };
      },
    },
    stopped.signal,
  );
  const changes: string[] = [];
  registry.subscribe(({ before, after, end }) => void changes.push(`${before?.uid ?? "-"}>${after?.uid ?? "-"} ${end ?? ""}`.trim()));
  const open = (node = "a", ends: string[] = []): NodeSession => {
    const session = registry.open(node, { onEnd: (why) => void ends.push(why), onWanted: () => undefined });
    assert.ok(session, `no session for ${node}`);
    return session;
  };
  /** The watch that runs now. */
  const watch = () => {
    const [running, ...more] = watches.filter(({ signal }) => !signal.aborted);
    assert.ok(running, "no watch runs");
    assert.equal(more.length, 0);
    return running;
  };
  const running = (): string[] => watches.filter(({ signal }) => !signal.aborted).map(({ node }) => node);
  return { registry, clock, observer, stopped, watches, changes, open, watch, running, uids: () => [...registry.pods.keys()].sort() };
}

const pods = (...uids: string[]): PodFact[] => uids.map((uid) => aPod(uid));
const listed = (...uids: string[]): NodeWatchEvent => ({ kind: "listed", pods: pods(...uids) });

test("a snapshot brings Pods, a difference changes and removes them, with the evidence told", () => {
  const { open, uids, registry, changes } = aRegistry();
  const session = open();
  session.snapshot(pods("p1", "p2", "p3"));
  session.difference([aPod("p1", { resourceVersion: "11", phase: "Failed" }), aPod("p4")], [{ uid: "p2", evidence: "deleted" }]);
  session.difference([], [{ uid: "p3", evidence: "absent" }]);
  assert.deepEqual(uids(), ["p1", "p4"]);
  assert.equal(registry.pods.get("p1")?.phase, "Failed");
  assert.equal(registry.endOf("p2"), "deleted");
  assert.equal(registry.endOf("p3"), "absent");
  assert.equal(registry.endOf("p1"), undefined);
  assert.deepEqual(changes, ["->p1", "->p2", "->p3", "p1>p1", "->p4", "p2>- deleted", "p3>- absent"]);
  assert.deepEqual([...session.told.keys()].sort(), ["p1", "p4"]);
});

test("a closed session keeps the node's Pods, and is not listened to any more", () => {
  const { open, uids, registry } = aRegistry();
  const session = open();
  session.snapshot(pods("p1"));
  session.close();
  session.difference([], [{ uid: "p1", evidence: "deleted" }]);
  assert.deepEqual(uids(), ["p1"]);
  assert.equal(registry.nodes()[0]?.source, "none");
});

test("a Pod that a reconnecting agent's snapshot lacks is absent", () => {
  const { open, uids, registry } = aRegistry();
  const first = open();
  first.snapshot(pods("p1", "p2", "p3"));
  first.close();
  assert.equal(open().snapshot(pods("p1", "p2")), "applied");
  assert.deepEqual(uids(), ["p1", "p2"]);
  assert.equal(registry.endOf("p3"), "absent");
});

test("a snapshot that drops more than half is believed only when told twice", () => {
  const { open, uids } = aRegistry();
  const session = open();
  session.snapshot(pods("p1", "p2", "p3"));
  assert.equal(session.snapshot(pods("p1")), "doubted");
  assert.deepEqual(uids(), ["p1", "p2", "p3"]);
  assert.equal(session.snapshot(pods("p1")), "applied");
  assert.deepEqual(uids(), ["p1"]);
  assert.equal(session.snapshot([]), "doubted");
});

test("an agent that insists on having lost most of its Pods is believed when our own list lacks them too", () => {
  const { registry, open, uids, watch, running } = aRegistry();
  registry.setNodes([NODE]);
  const session = open();
  session.snapshot(pods("p1", "p2", "p3", "p4"));
  for (const answer of ["doubted", "applied"]) assert.equal(session.snapshot(pods("p1")), answer);
  assert.deepEqual([uids(), running()], [["p1", "p2", "p3", "p4"], ["a"]]);
  watch().tell(listed("p1", "p2", "p3")); // p4 is gone indeed
  assert.deepEqual([uids(), registry.endOf("p4")], [["p1", "p2", "p3"], "absent"]);
  session.snapshot(pods("p1", "p2", "p3"));
  assert.deepEqual([uids(), running()], [["p1", "p2", "p3"], []]);
});

test("an agent that gets its Pods back before our own list has come loses none", () => {
  const { registry, open, uids, running } = aRegistry();
  registry.setNodes([NODE]);
  const session = open();
  session.snapshot(pods("p1", "p2"));
  session.snapshot([]);
  session.snapshot([]);
  session.difference(pods("p1", "p2"), []);
  assert.deepEqual([uids(), running()], [["p1", "p2"], []]);
  session.difference([], [{ uid: "p1", evidence: "deleted" }]);
  assert.deepEqual(uids(), ["p2"]);
});

test("a difference whose absences drop more than half is doubted too; deletions that were seen are not", () => {
  const { open, uids } = aRegistry();
  const session = open();
  session.snapshot(pods("p1", "p2", "p3"));
  const absent = ["p1", "p2"].map((uid) => ({ uid, evidence: "absent" as const }));
  assert.equal(session.difference([], absent), "doubted");
  assert.deepEqual(uids(), ["p1", "p2", "p3"]);
  assert.equal(session.snapshot(pods("p3")), "applied");
  assert.deepEqual(uids(), ["p3"]);
  assert.equal(session.difference([], [{ uid: "p3", evidence: "deleted" }]), "applied");
  assert.deepEqual(uids(), []);
});

test("a node whose agent comes before our own list is no fall-back", async () => {
  const { registry, clock, open, running, observer } = aRegistry();
  registry.setNodes([NODE]);
  await clock.advance(10_000);
  assert.deepEqual(running(), ["a"]);
  open().snapshot(pods("p1"));
  assert.deepEqual([running(), observer.lines.filter((line) => line.startsWith("fallback"))], [[], []]);
});

test("a node that can have no agent is watched at once", () => {
  const { registry, running } = aRegistry();
  registry.nodeSeen({ ...NODE, virtual: true });
  assert.deepEqual(running(), ["a"]);
});

test("a node whose agent never came is watched after the grace, and until the agent's snapshot was applied", async () => {
  const { registry, clock, open, watch, running, uids, observer } = aRegistry();
  registry.setNodes([NODE]);
  await clock.advance(GRACE_MS - 1);
  assert.deepEqual(running(), []);
  await clock.advance(1);
  assert.deepEqual(running(), ["a"]);
  assert.equal(registry.nodes()[0]?.source, "none");
  watch().tell(listed("p1"));
  assert.deepEqual(registry.nodes(), [{ node: "a", source: "watch", sinceMs: clock.now(), heardAtMs: 42 }]);
  assert.deepEqual(uids(), ["p1"]);
  const session = open();
  assert.deepEqual(running(), ["a"], "a hello is no snapshot");
  session.snapshot(pods("p1", "p2"));
  assert.deepEqual(running(), []);
  assert.equal(registry.nodes()[0]?.source, "agent");
  assert.deepEqual(uids(), ["p1", "p2"]);
  assert.deepEqual(observer.lines, ["fallback a on", "fallback a off"]);
});

test("an agent that is back within the grace starts no watch; one that only says hello does not count", async () => {
  const { registry, clock, open, running } = aRegistry();
  registry.nodeSeen(NODE);
  const first = open();
  first.snapshot(pods("p1"));
  await clock.advance(60_000);
  first.close();
  await clock.advance(GRACE_MS - 1);
  open().snapshot(pods("p1"));
  await clock.advance(60_000);
  assert.deepEqual(running(), []);
  open(); // supersedes, says nothing more
  await clock.advance(GRACE_MS);
  assert.deepEqual(running(), ["a"]);
});

test("what only the watch knows keeps it running until the agent has it too or the watch sees its end", async () => {
  for (const way of ["agent", "watch"] as const) {
    const { registry, clock, open, watch, running, uids } = aRegistry();
    registry.nodeSeen(NODE);
    await clock.advance(GRACE_MS);
    watch().tell(listed("p1", "new"));
    const session = open();
    session.snapshot(pods("p1"));
    assert.deepEqual(uids(), ["new", "p1"], "an agent that lags removes nothing that it never had");
    assert.deepEqual(running(), ["a"]);
    if (way === "agent") session.difference(pods("new"), []);
    else watch().tell({ kind: "removed", uid: "new", evidence: "deleted" });
    assert.deepEqual(running(), []);
    assert.deepEqual(uids(), way === "agent" ? ["new", "p1"] : ["p1"]);
  }
});

test("the watch's first list ends what the agent had before it left", async () => {
  const { registry, clock, open, watch, uids } = aRegistry();
  registry.nodeSeen(NODE);
  const session = open();
  session.snapshot(pods("p1", "p2", "p3"));
  session.close();
  await clock.advance(GRACE_MS);
  watch().tell(listed("p2", "p3"));
  assert.deepEqual(uids(), ["p2", "p3"]);
  assert.equal(registry.endOf("p1"), "absent");
});

test("a first list of the watch that drops more than half is read once more", async () => {
  const { registry, clock, open, watch, uids, watches } = aRegistry();
  registry.nodeSeen(NODE);
  const session = open();
  session.snapshot(pods("p1", "p2", "p3"));
  session.close();
  await clock.advance(GRACE_MS);
  const doubted = watch();
  doubted.tell(listed());
  assert.deepEqual(uids(), ["p1", "p2", "p3"]);
  assert.equal(watches.length, 2);
  doubted.tell({ kind: "removed", uid: "p1", evidence: "deleted" }); // of the ended watch: ignored
  watch().tell(listed("p3"));
  assert.deepEqual(uids(), ["p3"]);
});

test("an absence told by the watch counts unless a speaking agent has the Pod", async () => {
  const { registry, clock, open, watch, uids } = aRegistry();
  registry.nodeSeen(NODE);
  await clock.advance(GRACE_MS);
  watch().tell(listed("p1", "p2", "new"));
  open().snapshot(pods("p1", "p2"));
  watch().tell({ kind: "removed", uid: "p1", evidence: "absent" });
  assert.deepEqual(uids(), ["new", "p1", "p2"]);
  watch().tell({ kind: "removed", uid: "new", evidence: "absent" });
  assert.deepEqual(uids(), ["p1", "p2"]);
});

const orders: { why: string; known: string; told: string; taken: boolean }[] = [
  { why: "newer", known: "9", told: "10", taken: true },
  { why: "older", known: "10", told: "9", taken: false },
  { why: "longer than a double counts exactly", known: "9007199254740993", told: "9007199254740992", taken: false },
  { why: "not a number: the last told wins", known: "zz", told: "aa", taken: true },
];
for (const { why, known, told, taken } of orders)
  test(`overlap of agent and watch, resourceVersion ${why}`, async () => {
    const { registry, clock, open, watch } = aRegistry();
    registry.nodeSeen(NODE);
    await clock.advance(GRACE_MS);
    watch().tell({ kind: "listed", pods: [aPod("p1", { resourceVersion: known })] });
    open().snapshot([aPod("p1", { resourceVersion: told, phase: "Failed" })]);
    assert.equal(registry.pods.get("p1")?.phase, taken ? "Failed" : "Running");
  });

test("the interface that the agent saw survives what the watch tells", async () => {
  const { registry, clock, open, watch } = aRegistry();
  const hostInterface = { name: "eth1", mac: "20:90:6f:01:02:03", kind: "eni", table: 4_002 } as const;
  registry.nodeSeen(NODE);
  const session = open();
  session.snapshot([aPod("p1", { hostInterface })]);
  session.close();
  await clock.advance(GRACE_MS);
  watch().tell({ kind: "listed", pods: [aPod("p1", { resourceVersion: "12", phase: "Failed" })] });
  assert.equal(registry.pods.get("p1")?.phase, "Failed");
  assert.deepEqual(registry.pods.get("p1")?.hostInterface, hostInterface);
});

test("a late report of a Pod that is over does not revive it; only what was merely absent can come back", () => {
  const { open, uids, registry } = aRegistry();
  const session = open();
  session.snapshot(pods("p1", "p2", "p3", "p4", "p5"));
  session.difference([], [{ uid: "p1", evidence: "deleted" }]);
  session.difference([aPod("p1", { resourceVersion: "99" })], []);
  assert.equal(registry.endOf("p1"), "deleted");
  session.difference([], [{ uid: "p2", evidence: "absent" }]);
  session.difference(pods("p2"), []); // who missed it has it again
  assert.equal(registry.endOf("p2"), undefined);
  assert.deepEqual(uids(), ["p2", "p3", "p4", "p5"]);
});

test("an absence found by the watch is not undone by an agent that lags behind it, but by newer news", async () => {
  const { registry, clock, open, watch, uids } = aRegistry();
  registry.nodeSeen(NODE);
  const first = open();
  first.snapshot(pods("p1", "p2", "p3"));
  first.close();
  await clock.advance(GRACE_MS);
  watch().tell(listed("p2", "p3"));
  const second = open();
  second.snapshot(pods("p1", "p2", "p3"));
  assert.deepEqual(uids(), ["p2", "p3"]);
  second.difference([aPod("p1", { resourceVersion: "11" })], []);
  assert.deepEqual(uids(), ["p1", "p2", "p3"]);
});

test("ends are remembered for an hour, then forgotten with the next one", async () => {
  const { open, registry, clock } = aRegistry();
  const session = open();
  session.snapshot(pods("p1", "p2", "p3"));
  session.difference([], [{ uid: "p1", evidence: "deleted" }]);
  await clock.advance(3_599_000);
  session.difference([], [{ uid: "p2", evidence: "deleted" }]);
  assert.equal(registry.endOf("p1"), "deleted");
  await clock.advance(2_000);
  session.difference([], [{ uid: "p3", evidence: "deleted" }]);
  assert.equal(registry.endOf("p1"), undefined);
  assert.equal(registry.endOf("p2"), "deleted");
});

test("the memory of ends is bounded", () => {
  const { open, registry } = aRegistry();
  registry.nodeSeen({ ...NODE, maxPods: 50_001 });
  const session = open();
  const many = Array.from({ length: 50_001 }, (_, index) => aPod(`p${index}`));
  session.snapshot(many);
  session.difference(
    [],
    many.map(({ uid }) => ({ uid, evidence: "deleted" })),
  );
  assert.equal(registry.endOf("p0"), undefined);
  assert.equal(registry.endOf("p1"), "deleted");
});

test("a UID that another node has is refused, and cannot be ended from there", () => {
  const { open, registry } = aRegistry();
  open("a").snapshot(pods("p1", "p2"));
  const other = open("b");
  other.snapshot([aPod("p1", { nodeName: "b", resourceVersion: "99" }), aPod("b1", { nodeName: "b" })]);
  other.difference([], [{ uid: "p2", evidence: "deleted" }]);
  assert.equal(registry.pods.get("p1")?.nodeName, "a");
  assert.equal(registry.pods.get("b1")?.nodeName, "b");
  assert.equal(registry.endOf("p2"), undefined);
  assert.equal(registry.pods.has("p2"), true);
});

test("the newest session of a node wins, the older one is told and not listened to any more", () => {
  const { open, uids } = aRegistry();
  const ends: string[] = [];
  const older = open("a", ends);
  older.snapshot(pods("p1"));
  const newer = open();
  assert.deepEqual(ends, ["superseded"]);
  newer.snapshot(pods("p1"));
  older.difference([], [{ uid: "p1", evidence: "deleted" }]);
  older.close();
  newer.difference(pods("p2"), []);
  assert.deepEqual(uids(), ["p1", "p2"]);
});

test("a deleted Node ends its Pods, its stream and its watch; another UID's deletion does nothing", async () => {
  for (const by of ["agent", "watch"] as const) {
    const { registry, clock, open, watch, uids, running } = aRegistry();
    registry.nodeSeen(NODE);
    const ends: string[] = [];
    if (by === "agent") open("a", ends).snapshot(pods("p1", "p2"));
    else await clock.advance(GRACE_MS).then(() => watch().tell(listed("p1", "p2")));
    registry.nodeDeleted({ name: "a", uid: "an older one" });
    assert.deepEqual(uids(), ["p1", "p2"]);
    registry.nodeDeleted(NODE);
    assert.deepEqual(uids(), []);
    assert.equal(registry.endOf("p1"), "node-deleted");
    assert.deepEqual(ends, by === "agent" ? ["node-deleted"] : []);
    assert.equal(
      registry.open("a", { onEnd: () => undefined, onWanted: () => undefined }),
      undefined,
      "a late agent of a deleted Node is turned away",
    );
    await clock.advance(60_000);
    assert.deepEqual(running(), []);
    registry.nodeSeen({ name: "a", uid: "registered anew" });
    open().snapshot(pods("p1"));
    assert.deepEqual(uids(), ["p1"]);
  }
});

test("complete: the Nodes were listed and each has been told of, by agent or watch", async () => {
  const { registry, clock, open, watches } = aRegistry();
  registry.setNodes([]);
  assert.equal(registry.complete, false, "no Node at all is no evidence");
  registry.setNodes([NODE, { name: "b", uid: "node-uid-b" }]);
  open().snapshot([]);
  assert.equal(registry.complete, false);
  await clock.advance(GRACE_MS);
  assert.equal(registry.complete, false);
  assert.deepEqual(
    watches.map(({ node }) => node),
    ["b"],
  );
  watches[0]?.tell({ kind: "listed", pods: [] });
  assert.equal(registry.complete, true);
  registry.nodeSeen({ name: "c", uid: "node-uid-c" });
  assert.equal(registry.complete, true, "a Node that joins takes nothing back");
});

test("without the list of Nodes nothing is complete", () => {
  const { registry, open } = aRegistry();
  registry.nodeSeen(NODE);
  open().snapshot([]);
  assert.equal(registry.complete, false);
});

test("the abort signal ends timers and watches", async () => {
  const { registry, clock, stopped, running } = aRegistry();
  registry.setNodes([NODE]);
  await clock.advance(GRACE_MS);
  registry.nodeSeen({ name: "b", uid: "node-uid-b" });
  assert.equal(clock.pendingSleeps, 1);
  stopped.abort();
  registry.nodeSeen({ name: "c", uid: "node-uid-c" });
  assert.equal(clock.pendingSleeps, 0);
  assert.deepEqual(running(), []);
});

test("a node whose agent answered nothing for the keepalive time is watched a second later, not after another grace", async () => {
  const { registry, clock, open, running } = aRegistry();
  registry.setNodes([NODE]);
  const session = open();
  session.snapshot(pods("p1"));
  session.close();
  session.vanished();
  await clock.advance(999);
  assert.deepEqual(running(), []);
  await clock.advance(1);
  assert.deepEqual(running(), ["a"]);
});

test("an agent that vanished is not waited for longer because another session of it comes and goes, and not watched while one speaks", async () => {
  const { registry, clock, open, running } = aRegistry();
  registry.setNodes([NODE]);
  const former = open();
  former.snapshot(pods("p1"));
  former.close();
  const session = open();
  session.snapshot(pods("p1"));
  former.vanished();
  await clock.advance(GRACE_MS);
  assert.deepEqual(running(), [], "an agent speaks");
  session.close();
  await clock.advance(GRACE_MS - 1);
  assert.deepEqual(running(), [], "it has just left");
  await clock.advance(1);
  assert.deepEqual(running(), ["a"]);
});
