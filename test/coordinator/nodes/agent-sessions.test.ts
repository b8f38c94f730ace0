import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentSessions } from "../../../coordinator/nodes/agent-sessions.ts";
import type { NodeSession } from "../../../coordinator/nodes/node-session.ts";
import { aPod } from "../../builders.ts";

/** Writes down whose word was taken, and what sessions were told. */
function aNode() {
  const lines: string[] = [];
  const sessions = new AgentSessions({
    snapshot: (pods, told) => {
      for (const pod of pods) told.set(pod.uid, pod.resourceVersion);
      lines.push(`snapshot ${pods.map(({ uid }) => uid).join()}`);
      return "applied";
    },
    difference: (changed, _removed, told) => {
      for (const pod of changed) told.set(pod.uid, pod.resourceVersion);
      lines.push(`difference ${changed.map(({ uid }) => uid).join()}`);
      return "applied";
    },
    heard: () => undefined,
    settle: () => undefined,
    vanished: () => void lines.push("vanished"),
  });
  const open = (agent: string): NodeSession =>
    sessions.open(agent, {
      onEnd: (why) => void lines.push(`${agent} ${why}`),
      onWanted: (because) => void lines.push(`${agent} wanted: ${because}`),
    });
  const pods = (...uids: string[]) => uids.map((uid) => aPod({ uid }));
  return { sessions, lines, open, pods };
}

test("the new agent of an update speaks as soon as its snapshot was applied; the old one stays, and is not listened to", () => {
  const { lines, open, pods } = aNode();
  const old = open("old");
  old.snapshot(pods("p1"));
  const fresh = open("new");
  old.difference(pods("p2"), []);
  fresh.snapshot(pods("p1", "p2"));
  assert.equal(old.difference(pods("p3"), []), "applied", "it is answered as ever");
  assert.deepEqual([...old.told.keys()], ["p1", "p2", "p3"], "of what was ignored its digest is still right");
  fresh.difference(pods("p3"), []);
  assert.deepEqual(lines, ["snapshot p1", "difference p2", "snapshot p1,p2", "difference p3"]);
});

test("where the new one leaves, the old one is asked for what it has", () => {
  const { sessions, lines, open, pods } = aNode();
  const old = open("old");
  old.snapshot(pods("p1"));
  const fresh = open("new");
  fresh.snapshot(pods("p1"));
  fresh.close();
  assert.equal(sessions.isSpeaking, false);
  assert.equal(lines.at(-1), "old wanted: another agent of the node has left");
  old.snapshot(pods("p1", "p2"));
  assert.equal(sessions.isSpeaking, true);
  assert.equal(lines.at(-1), "snapshot p1,p2");
});

test("an agent that was told to stop never supersedes: one that connects anew stays behind the other", () => {
  const { lines, open, pods } = aNode();
  const fresh = open("new");
  fresh.snapshot(pods("p1"));
  const old = open("old");
  old.leaving();
  old.snapshot(pods("p0"));
  fresh.difference(pods("p2"), []);
  assert.deepEqual(lines, ["snapshot p1", "difference p2"]);
});

test("told to stop while it speaks, it goes on until the other one does", () => {
  const { lines, open, pods } = aNode();
  const fresh = open("new");
  fresh.snapshot(pods("p1"));
  const old = open("old");
  old.snapshot(pods("p1"));
  old.leaving();
  assert.equal(lines.at(-1), "new wanted: another agent of the node was told to stop");
  old.difference(pods("p2"), []);
  fresh.snapshot(pods("p1", "p2"));
  old.difference(pods("p3"), []);
  assert.deepEqual(lines.slice(-2), ["difference p2", "snapshot p1,p2"]);
});

test("the same agent once more, and a third one, end the former session; one without a Pod in its token is always the same", () => {
  const { sessions, lines, open } = aNode();
  open("");
  open("");
  assert.deepEqual(lines.splice(0), [" superseded"]);
  open("a");
  open("b");
  assert.deepEqual(lines.splice(0), [" superseded"]);
  const again = open("a");
  assert.deepEqual(lines.splice(0), ["a superseded"]);
  sessions.endAll("node-deleted");
  assert.deepEqual(lines, ["b node-deleted", "a node-deleted"]);
  assert.equal(again.snapshot([]), "applied");
  assert.equal(sessions.isEmpty, true);
});

test("that an agent has vanished is told once its session is over, whichever comes first", () => {
  const { lines, open, pods } = aNode();
  const [first, second] = [open("one"), open("two")];
  first.snapshot(pods("p1"));
  first.vanished();
  assert.deepEqual(lines, ["snapshot p1"]);
  first.close();
  assert.deepEqual(lines, ["snapshot p1", "vanished"]);
  second.close();
  second.vanished();
  assert.deepEqual(lines, ["snapshot p1", "vanished", "vanished"]);
});
