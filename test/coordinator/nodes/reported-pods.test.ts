import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import type { PodFact } from "../../../common/vocabulary.ts";
import { ServedSelectors } from "../../../coordinator/nodes/asked-pods.ts";
import { makeNodeRegistry } from "../../../coordinator/nodes/node-registry.ts";
import type { NodeSession, NodeWatchEvent } from "../../../coordinator/nodes/node-session.ts";
import type { PodAnswer, Wanted } from "../../../coordinator/nodes/pod-reader.ts";
import { aService } from "../../builders.ts";
import { aFakeClock, aPod as anyPod, aRecordingObserver } from "../pods.ts";

/** Of Service demo/web, without a gate of its own. */
const aPod = (uid: string, over: Partial<PodFact> = {}): PodFact => anyPod(uid, { hasGate: false, ...over });

/** A registry over an API server that answers when the test says so: `serve` gives all that was asked so far the Pods of `api`. */
function aRegistry({ services = [aService()], listed = true } = {}) {
  const clock = aFakeClock();
  const observer = aRecordingObserver();
  const stopped = new AbortController();
  const api = new Map<string, PodFact>();
  const asked = new ServedSelectors();
  for (const record of services) asked.serviceChanged({ kind: "added", record });
  if (listed) asked.listed();
  const wanted = new Map<string, Wanted>();
  let answer: (answer: PodAnswer) => void = () => undefined;
  const readPods = (onAnswer: (answer: PodAnswer) => void) => {
    answer = onAnswer;
    return { want: (one: Wanted) => void wanted.set(one.reported.uid, one), forget: (uid: string) => void wanted.delete(uid) };
  };
  const watches: ((event: NodeWatchEvent) => void)[] = [];
  const watchNode = (_node: string, onEvent: (event: NodeWatchEvent) => void) => {
    watches.push(onEvent);
    return { lastByteAtMs: 0 };
  };
  const log: string[] = [];
  const logger = pino({ level: "warn" }, { write: (line: string) => void log.push(line) });
  const registry = makeNodeRegistry({ clock, observer, log: logger, agentGraceMs: 10_000, watchNode, asked, readPods }, stopped.signal);
  const session = (node: string): NodeSession => {
    const opened = registry.open(node, { onEnd: () => undefined, onWanted: () => undefined });
    assert.ok(opened);
    return opened;
  };
  const serve = (): void => {
    const uids = [...wanted.keys()];
    wanted.clear();
    for (const uid of uids) {
      const pod = api.get(uid);
      answer(pod === undefined ? { kind: "gone", uid } : { kind: "found", pod, askedAtMs: clock.now() });
    }
  };
  const uids = (): string[] => [...registry.pods.keys()].sort();
  return { watches, log, clock, observer, api, asked, wanted, registry, session, serve, answer: (one: PodAnswer) => answer(one), uids };
}
const refusals = ({ lines }: { readonly lines: readonly string[] }): string[] => lines.filter((line) => line.startsWith("refused"));

test("a reported Pod counts when the coordinator has read it, and what was read counts, not what was said", () => {
  const { api, session, serve, registry, uids } = aRegistry();
  api.set("p1", aPod("p1", { ips: ["10.244.0.7"], labels: { app: "web" }, ports: [{ name: "http", port: 8080, protocol: "TCP" }] }));
  const ready = { containersReady: true, containersReadyAtMs: 5_000, resourceVersion: "11" };
  session("a").snapshot([aPod("p1", { ...ready, ports: [{ name: "http", port: 22, protocol: "TCP" }], startedAtMs: 9 })]);
  assert.deepEqual(uids(), []);
  serve();
  assert.deepEqual(uids(), ["p1"]);
  const { ports, containersReadyAtMs, resourceVersion } = registry.pods.get("p1") ?? {};
  assert.deepEqual(
    { ports, containersReadyAtMs, resourceVersion },
    { ports: api.get("p1")?.ports, containersReadyAtMs: 5_000, resourceVersion: "11" },
  );
});

test("an invented Pod never counts, is asked about once, and its end ends nobody", () => {
  const { session, serve, uids, wanted, observer, registry } = aRegistry();
  const agent = session("a");
  agent.snapshot([aPod("invented")]);
  serve();
  assert.deepEqual(refusals(observer), ["refused unknown"]);
  agent.difference([aPod("invented", { resourceVersion: "12", containersReady: true })], []);
  assert.equal(wanted.size, 0);
  agent.difference([], [{ uid: "invented", evidence: "deleted" }]);
  assert.deepEqual(uids(), []);
  assert.equal(registry.endOf("invented"), undefined);
});

test("a node that invents one Pod after the other is not asked about at once for a minute, and others are", async () => {
  const { clock, session, serve, wanted } = aRegistry();
  const [thief, honest] = [session("b"), session("a")];
  for (const agent of [thief, honest]) agent.snapshot([]);
  const isAskedAtOnce = (agent: NodeSession, uid: string, nodeName: string): boolean | undefined => {
    agent.difference([aPod(uid, { nodeName, containersReady: true })], []);
    return wanted.get(uid)?.isUrgent;
  };
  for (let n = 0; n < 10; n++) {
    assert.equal(isAskedAtOnce(thief, `invented-${n}`, "b"), true);
    serve();
    thief.difference([], [{ uid: `invented-${n}`, evidence: "deleted" }]);
  }
  assert.equal(isAskedAtOnce(thief, "invented-10", "b"), false);
  assert.equal(isAskedAtOnce(honest, "new", "a"), true);
  serve();
  await clock.advance(60_000);
  assert.equal(isAskedAtOnce(thief, "invented-11", "b"), true);
});

test("a UID that another node reports first: the API server says whose it is", () => {
  for (const first of ["a", "b"] as const) {
    const { api, session, serve, registry, observer } = aRegistry();
    api.set("p1", aPod("p1", { nodeName: "a" }));
    const [thief, owner] = [session("b"), session("a")];
    const steal = (): unknown => thief.snapshot([aPod("p1", { nodeName: "b", ips: ["10.244.9.9"] })]);
    if (first === "b") steal();
    owner.snapshot([aPod("p1", { nodeName: "a" })]);
    if (first === "a") steal();
    serve();
    assert.equal(registry.pods.get("p1")?.nodeName, "a");
    assert.deepEqual(registry.pods.get("p1")?.ips, ["10.244.0.7"]);
    thief.difference([], [{ uid: "p1", evidence: "deleted" }]);
    assert.equal(registry.endOf("p1"), undefined);
    assert.deepEqual(refusals(observer), ["refused foreign"]);
  }
});

test("labels that change count when they were read again; a lie about them is refused", () => {
  const { api, session, serve, registry, observer, wanted } = aRegistry();
  api.set("p1", aPod("p1"));
  const agent = session("a");
  agent.snapshot([aPod("p1")]);
  serve();
  const labels = { app: "other" };
  agent.difference([aPod("p1", { labels, resourceVersion: "11" })], []);
  assert.deepEqual(registry.pods.get("p1")?.labels, { app: "web" });
  serve();
  assert.deepEqual(registry.pods.get("p1")?.labels, { app: "web" }, "the API server did not say so");
  agent.difference([aPod("p1", { labels, resourceVersion: "11", containersReady: false })], []);
  assert.equal(wanted.size, 0);
  assert.deepEqual(refusals(observer), ["refused contradicts"]);
  api.set("p1", aPod("p1", { labels, resourceVersion: "12" }));
  agent.difference([aPod("p1", { labels, resourceVersion: "12" })], []);
  serve();
  assert.deepEqual(registry.pods.get("p1")?.labels, labels);
});

test("a list that was begun before the labels changed does not bring the former ones back", () => {
  const { api, clock, session, serve, registry, answer } = aRegistry();
  api.set("p1", aPod("p1"));
  const agent = session("a");
  agent.snapshot([aPod("p1")]);
  serve();
  const changed = aPod("p1", { labels: { app: "web", tier: "x" }, resourceVersion: "12" });
  api.set("p1", changed);
  agent.difference([changed], []);
  serve();
  answer({ kind: "found", pod: aPod("p1"), askedAtMs: clock.now() });
  assert.deepEqual(registry.pods.get("p1")?.labels, changed.labels);
});

test("only Pods that matter are read: those that a served Service selects, with our gate, or at an address that a load balancer has", async () => {
  const { clock, api, asked, session, serve, registry, wanted } = aRegistry({
    services: [aService(), aService({ uid: "plain", type: "ClusterIP", selector: { app: "db" } })],
  });
  const others = { labels: { app: "db" }, ips: ["10.244.0.9"] };
  for (const pod of [aPod("web"), aPod("gated", { ...others, hasGate: true }), aPod("db", others)]) api.set(pod.uid, pod);
  session("a").snapshot([...api.values()]);
  assert.deepEqual([...wanted.keys()].sort(), ["gated", "web"]);
  serve();
  const confirmed = registry.confirm(["10.244.0.9"], new AbortController().signal);
  assert.deepEqual([...wanted.keys()], ["db"]);
  serve();
  await confirmed;
  assert.ok(registry.pods.has("db"));
  const idle = aPod("idle", { labels: { app: "idle" }, ips: ["10.244.0.10"] });
  api.set("idle", idle);
  session("a").snapshot([...api.values()]);
  assert.equal(wanted.size, 0);
  asked.serviceChanged({ kind: "added", record: aService({ uid: "new", selector: { app: "idle" } }) });
  await clock.advance(1_000);
  assert.deepEqual([...wanted.keys()], ["idle"]);
});

test("a Pod whose gate is open and that no Service selects is read when its gate closes, when it ends, or when a Service selects it", async () => {
  const { clock, asked, session, wanted } = aRegistry();
  const open = (uid: string, ip: string, over: Partial<PodFact> = {}): PodFact =>
    aPod(uid, { labels: { app: uid }, ips: [ip], hasGate: true, gate: "True", ...over });
  const agent = session("a");
  agent.snapshot([open("closes", "10.244.0.1"), open("ends", "10.244.0.2"), open("new", "10.244.0.3"), open("idle", "10.244.0.4")]);
  assert.deepEqual([...wanted.keys()], []);
  agent.difference([open("closes", "10.244.0.1", { gate: "False", resourceVersion: "12" })], []);
  assert.deepEqual([...wanted.keys()], ["closes"]);
  agent.difference([open("ends", "10.244.0.2", { deletionAtMs: 9_000, resourceVersion: "13" })], []);
  assert.deepEqual([...wanted.keys()], ["closes", "ends"]);
  asked.serviceChanged({ kind: "added", record: aService({ uid: "new", selector: { app: "new" } }) });
  await clock.advance(1_000);
  assert.deepEqual([...wanted.keys()], ["closes", "ends", "new"]);
});

test("the address of a Pod that was read is read again when somebody else has it, whoever selects that one", () => {
  const { api, session, serve, wanted } = aRegistry();
  api.set("p1", aPod("p1"));
  const agent = session("a");
  agent.snapshot([aPod("p1")]);
  serve();
  agent.difference([aPod("heir", { labels: {} })], [{ uid: "p1", evidence: "deleted" }]);
  assert.deepEqual([...wanted.keys()], ["heir"]);
});

test("a Pod is read when it has an address, or when it has had none for long", async () => {
  const { clock, session, wanted } = aRegistry();
  session("a").snapshot([aPod("slow", { ips: [] }), aPod("quick", { ips: [] })]);
  await clock.advance(1_000);
  assert.equal(wanted.size, 0);
  session("a").snapshot([aPod("slow", { ips: [] }), aPod("quick")]);
  assert.deepEqual([...wanted.keys()], ["quick"]);
  await clock.advance(4_500);
  assert.deepEqual([...wanted.keys()].sort(), ["quick", "slow"]);
});

test("nothing is complete before what was reported is read", async () => {
  const { clock, api, asked, session, serve, registry } = aRegistry({ listed: false });
  registry.setNodes([{ name: "a", uid: "node-a" }]);
  api.set("p1", aPod("p1"));
  session("a").snapshot([aPod("p1")]);
  assert.equal(registry.complete, false, "nobody knows which Pods matter");
  asked.listed();
  await clock.advance(100);
  assert.equal(registry.complete, false);
  serve();
  assert.equal(registry.complete, true);
});

test("no more live Pods than a node can have, with some reserve; those that have ended do not count", () => {
  const { session, registry, observer, wanted } = aRegistry();
  registry.nodeSeen({ name: "a", uid: "node-a", maxPods: 200 });
  const many = Array.from({ length: 1_000 }, (_, n) => aPod(`p${n}`));
  const over = Array.from({ length: 1_000 }, (_, n) => aPod(`job${n}`, { phase: "Succeeded", labels: {} }));
  session("a").snapshot([...over, ...many]);
  assert.equal(wanted.size, 300);
  assert.equal(refusals(observer).length, 700);
});

test("what a node's agents say in all is bounded: more is refused, what is held stays, and what ends makes room", () => {
  const { session, registry, observer, wanted, log } = aRegistry();
  registry.nodeSeen({ name: "a", uid: "node-a", maxPods: 800 });
  const large = (uid: string, length = 60_000): PodFact => aPod(uid, { labels: { app: "web", note: "x".repeat(length) } });
  const agent = session("a");
  agent.snapshot(Array.from({ length: 500 }, (_, n) => large(`p${n}`))); // twice as many as a node of TKE has
  assert.deepEqual(refusals(observer), []);
  const more = Array.from({ length: 100 }, (_, n) => large(`q${n}`));
  agent.difference(more, []);
  const refused = refusals(observer).length;
  assert.ok(refused > 40 && refused < 60, `${refused}`);
  assert.deepEqual(new Set(refusals(observer)), new Set(["refused limit"]));
  assert.match(log.join("\n"), /"node":"a","why":"limit".*have 335\d+ characters, at most 33554432 are kept.*delete the agent's Pod/);
  assert.equal(wanted.size, 600 - refused);
  const last = `q${100 - refused - 1}`;
  agent.difference([{ ...large(last, 65_000), resourceVersion: "11" }], []);
  agent.difference([{ ...large(last, 500), resourceVersion: "12" }], []); // smaller than before
  assert.equal(refusals(observer).length, refused);
  agent.difference([], [{ uid: "p0", evidence: "deleted" }]);
  agent.difference([large("q99")], []);
  assert.equal(refusals(observer).length, refused);
  assert.ok(wanted.has("q99"));
});

const wrong: readonly Partial<PodFact>[] = [
  { name: "../services/web" },
  { name: "" },
  { name: "Upper" },
  { namespace: "a.b" },
  { namespace: "demo/pods/x" },
  { uid: "a/b" },
  { uid: "" },
  { ips: ["10.244.0.999"] },
  { ips: ["nowhere"] },
  { ips: Array.from({ length: 17 }, (_, n) => `10.244.0.${n}`) },
  { labels: { app: "web", note: "x".repeat(70_000) } },
  { ports: Array.from({ length: 10_000 }, (_, n) => ({ name: `p${n}`, port: n, protocol: "TCP" })) },
  { hostInterface: { name: "eth0/../x", mac: "", kind: "eth" } as unknown as PodFact["hostInterface"] },
];
for (const fault of wrong)
  test(`refused at once: ${JSON.stringify(fault).slice(0, 80)}`, () => {
    const { session, wanted, observer, uids } = aRegistry();
    session("a").snapshot([aPod("p1", fault), aPod("p2")]);
    assert.deepEqual(refusals(observer), ["refused name"]);
    assert.deepEqual([...wanted.keys()], ["p2"], "the others go on");
    assert.deepEqual(uids(), []);
  });

const RESTORED: readonly { readonly what: string; readonly api: PodFact | undefined; readonly told: PodFact; readonly isTaken: boolean }[] =
  [
    {
      what: "which the API server has in that state: its data was restored",
      api: aPod("p1", { resourceVersion: "700", gate: "False" }),
      told: aPod("p1", { resourceVersion: "700", gate: "False" }),
      isTaken: true,
    },
    {
      what: "which has moved on since in the restored data",
      api: aPod("p1", { resourceVersion: "720", gate: "False" }),
      told: aPod("p1", { resourceVersion: "700", gate: "False" }),
      isTaken: true,
    },
    {
      what: "which the API server has as it is known: the agent lags behind",
      api: aPod("p1", { resourceVersion: "1400" }),
      told: aPod("p1", { resourceVersion: "700", gate: "False" }),
      isTaken: false,
    },
    {
      what: "which the API server does not have",
      api: undefined,
      told: aPod("p1", { resourceVersion: "700", gate: "False" }),
      isTaken: false,
    },
  ];
for (const end of ["lives", "was deleted"] as const)
  for (const { what, api: stored, told, isTaken } of RESTORED)
    test(`an older state of a Pod that ${end}, ${what}`, () => {
      const { api, session, serve, registry, wanted } = aRegistry();
      api.set("p1", aPod("p1", { resourceVersion: "1400" }));
      const agent = session("a");
      agent.snapshot([aPod("p1", { resourceVersion: "1400" })]);
      serve();
      if (end === "was deleted") agent.difference([], [{ uid: "p1", evidence: "deleted" }]);
      agent.difference([told], []);
      assert.equal(
        registry.pods.get("p1")?.resourceVersion,
        end === "lives" ? "1400" : undefined,
        "nothing moves before the API server was asked",
      );
      assert.deepEqual([...wanted.keys()], ["p1"]);
      if (stored === undefined) api.delete("p1");
      else api.set("p1", stored);
      const isThere = end === "was deleted" && stored !== undefined;
      serve();
      assert.equal(registry.pods.get("p1")?.gate, isTaken || isThere ? "False" : end === "lives" ? "absent" : undefined);
      assert.equal(registry.endOf("p1"), end === "was deleted" && !isThere ? "deleted" : undefined);
    });

test("an answer to a question from before an older state was told confirms nothing", () => {
  const { api, clock, session, serve, registry, answer } = aRegistry();
  api.set("p1", aPod("p1", { resourceVersion: "1400" }));
  const agent = session("a");
  agent.snapshot([aPod("p1", { resourceVersion: "1400" })]);
  serve();
  agent.difference([aPod("p1", { resourceVersion: "700", gate: "False" })], []);
  answer({ kind: "found", pod: aPod("p1", { resourceVersion: "700" }), askedAtMs: clock.now() - 1 });
  assert.equal(registry.pods.get("p1")?.resourceVersion, "1400");
  answer({ kind: "found", pod: aPod("p1", { resourceVersion: "700" }), askedAtMs: clock.now() });
  assert.equal(registry.pods.get("p1")?.resourceVersion, "700");
});

test("a Pod that a restored database has on another node is that node's", () => {
  const { api, session, serve, registry } = aRegistry();
  api.set("p1", aPod("p1", { resourceVersion: "1400" }));
  const agent = session("a");
  agent.snapshot([aPod("p1", { resourceVersion: "1400" }), aPod("p2"), aPod("p3")]);
  serve();
  const moved = aPod("p1", { nodeName: "b", resourceVersion: "710" });
  api.set("p1", moved);
  agent.difference([], [{ uid: "p1", evidence: "absent" }]);
  session("b").snapshot([moved]);
  serve();
  assert.equal(registry.pods.get("p1")?.nodeName, "b");
});

test("what our own watch lists anew counts when the API server says so too", async () => {
  const { api, watches, registry, serve, clock } = aRegistry();
  registry.nodeSeen({ name: "a", uid: "node-uid-a" });
  await clock.advance(10_000);
  const [watch] = watches;
  watch?.({ kind: "listed", pods: [aPod("p1", { resourceVersion: "1400" })] });
  const older = aPod("p1", { resourceVersion: "700", gate: "False" });
  watch?.({ kind: "changed", pod: older });
  assert.equal(registry.pods.get("p1")?.gate, "absent");
  api.set("p1", older);
  serve();
  assert.equal(registry.pods.get("p1")?.gate, "False");
});
