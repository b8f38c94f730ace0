import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import type { PodTask, PodVerdict, SecurityGroup } from "../../../common/reachability.ts";
import { type Asking, makeNodeTasks } from "../../../coordinator/nodes/node-tasks.ts";

const aTask = (uid: string, groups: readonly string[] = ["sg-a"], port = 8080): PodTask => ({
  uid,
  ip: "10.0.3.7",
  ports: [{ key: "lb-1 TCP:80", protocol: "TCP", port, groups, unjudged: "", sources: [] }],
});
const aGroup = (id: string, version: string): SecurityGroup => ({ id, version, rules: [] });
const aVerdict = (uid: string, key = "lb-1 TCP:80"): PodVerdict => ({ uid, ports: [{ key, probe: "open", probeText: "", sources: [] }] });
const turn = () => new Promise((resolve) => setImmediate(resolve));
const short = (asking: Asking): string =>
  asking.kind === "group"
    ? `${asking.group.id}@${asking.group.version}`
    : `${asking.complete ? "all:" : ""}${asking.pods.map(({ uid }) => uid).join(",")}${asking.removed.map((uid) => `-${uid}`).join("")}`;

function attach(tasks: ReturnType<typeof makeNodeTasks>, node = "node-a") {
  const heard: string[] = [];
  const stream = tasks.attach(node, async (asking) => void heard.push(short(asking)));
  return { heard, stream };
}

test("an agent is told the rules before the tasks that name them, each version once", async () => {
  const tasks = makeNodeTasks(pino({ level: "silent" }));
  const { heard } = attach(tasks);
  tasks.push(aGroup("sg-a", "1"));
  tasks.ask("node-a", aTask("p1"));
  await turn();
  assert.deepEqual(heard, ["sg-a@1", "all:p1"]);
  tasks.ask("node-a", aTask("p1"));
  tasks.ask("node-a", aTask("p2"));
  await turn();
  assert.deepEqual(heard.slice(2), ["p2"]);
  tasks.push(aGroup("sg-a", "1"));
  tasks.push(aGroup("sg-a", "2"));
  tasks.forget("p1");
  await turn();
  assert.deepEqual(heard.slice(3), ["sg-a@2", "-p1"]);
});

test("an agent that connects later is told all that is asked of its node, and nothing else", async () => {
  const tasks = makeNodeTasks(pino({ level: "silent" }));
  tasks.push(aGroup("sg-a", "1"));
  tasks.ask("node-a", aTask("p1"));
  tasks.ask("node-b", aTask("q1", ["sg-b"]));
  const { heard } = attach(tasks);
  await turn();
  assert.deepEqual(heard, ["sg-a@1", "all:p1"]);
});

test("a slow agent is told the latest of each Pod, in messages of 100", async () => {
  const tasks = makeNodeTasks(pino({ level: "silent" }));
  const heard: Asking[] = [];
  const gate = Promise.withResolvers<void>();
  tasks.attach("node-a", async (asking) => {
    heard.push(asking);
    await gate.promise;
  });
  tasks.ask("node-a", aTask("first", []));
  await turn();
  for (let round = 0; round < 5; round++)
    for (let index = 0; index < 150; index++) tasks.ask("node-a", aTask(`p${index}`, [], 8000 + round));
  gate.resolve();
  for (let turns = 0; turns < 5; turns++) await turn();
  const later = heard.slice(1).flatMap((asking) => (asking.kind === "tasks" ? [asking.pods] : []));
  assert.deepEqual(
    later.map((pods) => pods.length),
    [100, 50],
  );
  assert.ok(later.flat().every(({ ports }) => ports[0]?.port === 8004));
});

test("a verdict counts only for what was asked of that node", () => {
  const tasks = makeNodeTasks(pino({ level: "silent" }));
  const seen: string[] = [];
  tasks.follow((uid) => seen.push(uid));
  const { stream } = attach(tasks, "node-b");
  tasks.ask("node-a", aTask("p1"));
  stream.verdicts([aVerdict("p1"), aVerdict("p9")]);
  assert.deepEqual([seen, tasks.verdictOf("p1")], [[], undefined]);
  attach(tasks).stream.verdicts([aVerdict("p1"), aVerdict("p1", "lb-9 TCP:1")]);
  assert.deepEqual(tasks.verdictOf("p1")?.ports, []);
  assert.deepEqual(seen, ["p1", "p1"]);
  tasks.forget("p1");
  assert.equal(tasks.verdictOf("p1"), undefined);
});

test("of each port that was asked about one word is kept, however often a verdict has it", () => {
  const tasks = makeNodeTasks(pino({ level: "silent" }));
  tasks.ask("node-a", aTask("p1"));
  const { ports } = aVerdict("p1");
  attach(tasks).stream.verdicts([{ uid: "p1", ports: Array.from({ length: 10_000 }, () => ports).flat() }]);
  assert.deepEqual(tasks.verdictOf("p1")?.ports, ports);
});

test("another reign asks anew, and what the former one asked is over", async () => {
  const tasks = makeNodeTasks(pino({ level: "silent" }));
  const { heard, stream } = attach(tasks);
  tasks.ask("node-a", aTask("p1", []));
  await turn();
  tasks.clear();
  tasks.ask("node-a", aTask("p2", []));
  await turn();
  assert.deepEqual(heard, ["all:p1", "all:p2"]);
  stream.close();
  tasks.ask("node-a", aTask("p3", []));
  await turn();
  assert.equal(heard.length, 2);
});
