import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import type { Probed } from "../../agent/adapters/port-probe.ts";
import { makeReachability } from "../../agent/reachability.ts";
import type { PodTask, PortTask, SecurityGroup } from "../../common/reachability.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { aPod } from "../builders.ts";
import { makeVirtualClock } from "../virtual-clock.ts";
import { until } from "./until.ts";

const OPEN: Probed = { result: "open", text: "" };
const REFUSED: Probed = { result: "refused", text: "connect ECONNREFUSED 10.244.1.1:8080" };
const CLIENTS = { kind: "clients", addresses: ["0.0.0.0/0"], admittedBy: [], protocol: "TCP", port: 443 } as const;
const aPort = (change: Partial<PortTask> = {}): PortTask => ({
  key: "lb-1 TCP:443",
  protocol: "TCP",
  port: 8080,
  groups: ["sg-web"],
  unjudged: "",
  sources: [CLIENTS],
  ...change,
});
const aTask = (change: Partial<PodTask> = {}): PodTask => ({ uid: "pod-1", ip: "10.244.1.1", ports: [aPort()], ...change });
const aGroup = (version: string, accept: boolean): SecurityGroup => ({
  id: "sg-web",
  version,
  rules: [{ index: 3, accept, services: ["tcp:8000-9000"], sources: ["0.0.0.0/0"], text: "TCP 8000-9000 from 0.0.0.0/0", unresolved: "" }],
});

function start(t: TestContext, answer: (ip: string, port: number) => Probed | Promise<Probed> = () => OPEN) {
  const virtual = makeVirtualClock();
  const clock = { ...virtual, now: () => virtual.now(), advance: (ms: number) => virtual.run(virtual.sleep(ms)) };
  const pods = new Map<string, PodFact>([["pod-1", aPod()]]);
  const tried: string[] = [];
  const it = makeReachability({
    pods: () => pods,
    probe: async ({ ip, port }) => {
      tried.push(`${ip}:${port}`);
      return await answer(ip, port);
    },
    onChange: () => undefined,
    onProbe: () => undefined,
    clock,
    log: pino({ level: "silent" }),
  });
  const stop = new AbortController();
  const running = it.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  const said = (uid = "pod-1") => it.verdicts.get(uid)?.ports[0];
  return { it, clock, pods, tried, said };
}

test("connects to the port that is asked for, and judges by the groups that were pushed", async (t) => {
  const { it, said, tried } = start(t);
  it.setGroup(aGroup("1", false));
  it.setTasks([aTask()], [], true);
  await until(() => said()?.probe === "open");
  assert.deepEqual(tried, ["10.244.1.1:8080"]);
  assert.deepEqual(said()?.sources, [{ kind: "clients", verdict: "denied", because: "sg-web rule 3 (TCP 8000-9000 from 0.0.0.0/0)" }]);
});

test("judges again when a group changes, without connecting again; a group that has not come is unknown", async (t) => {
  const { it, said, tried } = start(t);
  it.setTasks([aTask()], [], true);
  await until(() => said()?.probe === "open");
  assert.deepEqual(said()?.sources[0], { kind: "clients", verdict: "unknown", because: "the rules of sg-web have not been read yet" });
  it.setGroup(aGroup("1", true));
  await until(() => said()?.sources[0]?.verdict === "allowed");
  it.setGroup(aGroup("2", false));
  await until(() => said()?.sources[0]?.verdict === "denied");
  assert.equal(tried.length, 1);
});

test("only those whom the load balancer lets in count as clients", async (t) => {
  const { it, said } = start(t);
  const rule = { index: 0, accept: true, services: ["tcp:443"], sources: ["10.0.0.0/8"], text: "", unresolved: "" };
  it.setGroup({ id: "sg-lb", version: "1", rules: [rule] });
  it.setGroup({ id: "sg-web", version: "1", rules: [{ ...rule, services: ["tcp:8080"] }] });
  it.setTasks([aTask({ ports: [aPort({ sources: [CLIENTS, { ...CLIENTS, admittedBy: ["sg-lb"] }] })] })], [], true);
  await until(() => said()?.probe === "open");
  assert.deepEqual(
    said()?.sources.map(({ verdict }) => verdict),
    ["partly", "allowed"],
  );
});

test("a port that refuses is tried again each second, later each 15 s, and its answer changes", async (t) => {
  let listens = false;
  const { it, clock, said, tried } = start(t, () => (listens ? OPEN : REFUSED));
  it.setTasks([aTask()], [], true);
  await until(() => said()?.probe === "refused");
  assert.equal(said()?.probeText, REFUSED.text);
  await clock.advance(29_500);
  assert.equal(tried.length, 30);
  await clock.advance(14_000);
  assert.equal(tried.length, 30);
  listens = true;
  await clock.advance(2_000);
  assert.equal(said()?.probe, "open");
});

test("never connects to an address that is not of a Pod of this node", async (t) => {
  const { it, clock, tried, pods } = start(t);
  it.setTasks([aTask({ ip: "10.9.9.9" }), aTask({ uid: "elsewhere" })], [], true);
  await clock.advance(5_000);
  assert.deepEqual(tried, []);
  pods.set("pod-1", aPod({ ips: ["10.9.9.9"] }));
  it.setTasks([aTask({ ip: "10.9.9.9" })], [], false);
  await clock.advance(1_000);
  assert.deepEqual(tried, ["10.9.9.9:8080"]);
});

test("tries 16 at once and 50 in a second, and one that hangs holds up no other", async (t) => {
  const never = new Promise<Probed>(() => undefined);
  const { it, clock, pods, tried } = start(t, (ip) => (ip === "10.244.2.0" ? never : OPEN));
  const tasks = Array.from({ length: 100 }, (_, index) => {
    const ip = `10.244.2.${index}`;
    pods.set(`p${index}`, aPod({ uid: `p${index}`, ips: [ip] }));
    return aTask({ uid: `p${index}`, ip });
  });
  it.setTasks(tasks, [], true);
  await clock.advance(1_000);
  assert.ok(tried.length >= 45 && tried.length <= 52, `${tried.length} in the first second`);
  await clock.advance(2_000);
  assert.equal(tried.length, 100);
  assert.equal(it.verdicts.get("p99")?.ports[0]?.probe, "open");
});

test("a complete list ends what was asked before; a removed Pod has no verdict", async (t) => {
  const { it, pods } = start(t);
  pods.set("pod-2", aPod({ uid: "pod-2" }));
  it.setTasks([aTask(), aTask({ uid: "pod-2" })], [], true);
  await until(() => it.verdicts.size === 2);
  it.setTasks([aTask({ uid: "pod-2" })], [], true);
  await until(() => !it.verdicts.has("pod-1"));
  it.setTasks([], ["pod-2"], false);
  await until(() => it.verdicts.size === 0);
});

test("two places with one port are one connection and two verdicts", async (t) => {
  const { it, tried } = start(t);
  it.setTasks([aTask({ ports: [aPort({ groups: [], unjudged: "pass-to-target" }), aPort({ key: "lb-2 TCP:80" })] })], [], true);
  await until(() => it.verdicts.get("pod-1")?.ports[1]?.probe === "open");
  assert.deepEqual(tried, ["10.244.1.1:8080"]);
  assert.deepEqual(
    it.verdicts.get("pod-1")?.ports.map(({ key, probe }) => [key, probe]),
    [
      ["lb-1 TCP:443", "open"],
      ["lb-2 TCP:80", "open"],
    ],
  );
  assert.equal(it.verdicts.get("pod-1")?.ports[0]?.sources[0]?.because, "pass-to-target");
});
