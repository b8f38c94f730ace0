import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { makeStrangers } from "../../../coordinator/stream/strangers.ts";

/** Connections by name, all from one address; `strangers` names those that no agent has a stream over. */
function connections(...names: string[]) {
  const strangers = makeStrangers();
  const sockets = new Map(names.map((name) => [name, new Socket()]));
  for (const [name, socket] of sockets) strangers.begun(name, socket);
  const close = (name: string): void => strangers.delete(sockets.get(name) ?? assert.fail());
  const stream = (peer: string, agent: string): (() => void) => {
    const over = new AbortController();
    strangers.admitted({ peer, agent, over: over.signal });
    return () => over.abort();
  };
  const named = (): string[] => names.filter((name) => strangers.most()?.sockets.has(sockets.get(name) ?? assert.fail()));
  return { close, stream, strangers: named };
}

test("a connection is a stranger's before the first stream of an agent and after the last one", () => {
  const { stream, strangers } = connections("1", "2");
  const ends = [stream("1", "b"), stream("1", "a"), stream("1", "a")];
  assert.deepEqual(strangers(), ["2"]);
  for (const end of ends) {
    assert.deepEqual(strangers(), ["2"]);
    end();
  }
  assert.deepEqual(strangers(), ["1", "2"]);
});

test("of one agent the connections of the newest two streams count", () => {
  const { stream, strangers } = connections("1", "2", "3");
  stream("1", "a");
  stream("2", "a");
  stream("1", "a");
  const end = stream("3", "a");
  assert.deepEqual(strangers(), ["2"]);
  stream("2", "b");
  end();
  assert.deepEqual(strangers(), ["3"]);
});

test("one that is closed while its streams last is forgotten", () => {
  const { close, stream, strangers } = connections("1", "2");
  const end = stream("1", "a");
  close("1");
  end();
  stream("1", "a"); // too late
  assert.deepEqual(strangers(), ["2"]);
});
