import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pino } from "pino";
import { makeHostNetwork } from "../../../agent/adapters/host-network.ts";
import { type Kernel, makeKernel } from "../../../agent/adapters/kernel.ts";
import { EMPTY_VIEW, type KernelView } from "../../../agent/domain/kernel-view.ts";
import type { Clock } from "../../../common/clock.ts";
import { until } from "../until.ts";

const never = new AbortController().signal;
const viewOf = (routes: Readonly<Record<string, string>>): KernelView => ({
  ...EMPTY_VIEW,
  routes: Object.entries(routes).map(([dst, device]) => ({ dst, device, type: "unicast", metric: 0, table: "main" })),
});
const missing = (): Promise<never> => Promise.reject(Object.assign(new Error("spawn ip ENOENT"), { code: "ENOENT" }));

/** A kernel that can be changed and counts how often it is asked, and a clock that stands still until told. */
function aHost(change: Partial<Kernel> = {}) {
  const host = {
    view: viewOf({ "10.0.3.7": "veth1" }),
    nowMs: 1_000_000,
    asked: { reads: 0, interfaces: 0, monitors: 0 },
    changes: 0,
    warnings: 0,
    outcomes: new Array<string>(),
    /** Of the monitor that runs. */
    tell: (): void => undefined,
    end: (): void => undefined,
  };
  const clock: Clock = { now: () => host.nowMs, sleep: () => new Promise((resolve) => setImmediate(resolve)) };
  const kernel: Kernel = {
    read: () => Promise.resolve(host.view),
    monitor: (onChange, signal) =>
      new Promise((resolve) => {
        host.tell = onChange;
        host.end = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
        onChange();
      }),
    readInterfaces: () => Promise.resolve({ ...EMPTY_VIEW, addresses: [{ device: "eth0", subnet: "10.0.9.1/24" }] }),
    ...change,
  };
  const network = makeHostNetwork({
    kernel: {
      read: (signal, families) => (host.asked.reads++, kernel.read(signal, families)),
      monitor: (onChange, signal) => (host.asked.monitors++, kernel.monitor(onChange, signal)),
      readInterfaces: () => (host.asked.interfaces++, kernel.readInterfaces()),
    },
    clock,
    log: pino({ level: "warn" }, { write: () => void host.warnings++ }),
    onChange: () => void host.changes++,
    onRead: (outcome) => host.outcomes.push(outcome),
  });
  const look = (addresses: Record<string, string>) => network.carriersOf(new Map(Object.entries(addresses)), never);
  return { host, network, look, nameOf: async (ip: string) => (await look({ a: ip })).found.get("a")?.hostInterface?.name };
}

test("finds the interface of each Pod, and says of the others that nothing carries them", async () => {
  const { found } = await aHost().look({ a: "10.0.3.7", c: "172.16.0.1" });
  assert.equal(found.get("a")?.hostInterface?.name, "veth1");
  assert.match(found.get("c")?.note ?? "", /no rule, route or subnet of this node carries 172\.16\.0\.1/);
});

test("while nobody listens: reads when an address is new, at most once a second, and says when to ask again", async () => {
  const { host, look } = aHost();
  assert.equal((await look({ a: "10.0.3.7" })).againAtMs, host.nowMs + 60_000);
  await look({ a: "10.0.3.7" });
  assert.equal(host.asked.reads, 1);
  host.view = viewOf({ "10.0.3.7": "veth1", "10.0.3.8": "veth2" });
  host.nowMs += 400;
  const early = await look({ a: "10.0.3.7", b: "10.0.3.8" });
  assert.deepEqual([early.found.get("b")?.hostInterface, early.againAtMs, host.asked.reads], [undefined, host.nowMs + 600, 1]);
  host.nowMs += 600;
  const due = await look({ a: "10.0.3.7", b: "10.0.3.8" });
  assert.deepEqual([due.found.get("b")?.hostInterface?.name, due.againAtMs, host.asked.reads], ["veth2", host.nowMs + 60_000, 2]);
});

test("while somebody listens: a change is read within 100 ms, and an address that is new alone is no reason to read", async () => {
  const { host, network, look, nameOf } = aHost();
  const stop = new AbortController();
  const running = network.run(stop.signal);
  await look({ a: "10.0.3.7" });
  host.nowMs += 5_000;
  await look({ a: "10.0.3.7", b: "10.0.3.8" });
  assert.equal(host.asked.reads, 1);
  host.view = viewOf({ "10.0.3.7": "veth9" });
  host.tell();
  assert.equal(await nameOf("10.0.3.7"), "veth9");
  host.view = viewOf({ "10.0.3.7": "veth10" });
  host.tell();
  const { againAtMs } = await look({ a: "10.0.3.7" });
  assert.deepEqual([againAtMs, host.asked.reads], [host.nowMs + 100, 2]);
  host.nowMs += 100;
  assert.equal(await nameOf("10.0.3.7"), "veth10");
  stop.abort();
  await running;
});

test("a monitor that ends is started anew, and what was not heard meanwhile is read", async () => {
  const { host, network, nameOf } = aHost();
  const stop = new AbortController();
  const running = network.run(stop.signal);
  assert.equal(await nameOf("10.0.3.7"), "veth1");
  const before = host.changes;
  host.view = viewOf({ "10.0.3.7": "veth2" });
  host.end();
  await until(() => host.asked.monitors === 2);
  assert.ok(host.changes > before);
  host.nowMs += 1_000;
  assert.equal(await nameOf("10.0.3.7"), "veth2");
  stop.abort();
  await running;
});

test("reads anew for an address that passed to another Pod, and once a minute for all", async () => {
  const { host, look, nameOf } = aHost();
  await look({ a: "10.0.3.7" });
  host.nowMs += 1_000;
  host.view = viewOf({ "10.0.3.7": "veth9" });
  assert.equal((await look({ b: "10.0.3.7" })).found.get("b")?.hostInterface?.name, "veth9");
  host.view = viewOf({ "10.0.3.7": "veth10" });
  host.nowMs += 60_000;
  assert.equal(await nameOf("10.0.3.7"), "veth10");
});

test("a read that fails is made again after a second, not after a minute", async () => {
  let fails = true;
  const { host, network, look, nameOf } = aHost({
    read: () => (fails ? Promise.reject(new Error("took too long")) : Promise.resolve(viewOf({ "10.0.3.7": "veth1" }))),
  });
  const stop = new AbortController();
  const running = network.run(stop.signal);
  const { againAtMs } = await look({ a: "10.0.3.7" });
  assert.equal(againAtMs, host.nowMs + 1_000);
  fails = false;
  host.nowMs += 1_000;
  assert.equal(await nameOf("10.0.3.7"), "veth1");
  stop.abort();
  await running;
});

test("without `ip` goes on with the interfaces, told once in the log and on each Pod", async () => {
  const { host, look } = aHost({ read: missing });
  for (const address of ["10.0.9.5", "10.0.9.6"]) {
    const { found } = await look({ a: address });
    assert.equal(found.get("a")?.hostInterface?.name, "eth0");
    assert.equal(found.get("a")?.note, "the kernel's rules could not be read: `ip` is not installed");
    host.nowMs += 1_000;
  }
  assert.deepEqual([host.warnings, host.outcomes], [1, ["failed", "failed"]]);
});

test("keeps the last view while the kernel cannot be read, and says why on each Pod", async () => {
  let broken = false;
  const { host, look } = aHost({
    read: () => (broken ? Promise.reject(new Error("timed out")) : Promise.resolve(viewOf({ "10.0.3.0/24": "eth1" }))),
  });
  await look({ a: "10.0.3.7" });
  broken = true;
  host.nowMs += 1_000;
  const { found } = await look({ a: "10.0.3.7", b: "10.0.3.8" });
  assert.equal(found.get("b")?.hostInterface?.name, "eth1");
  assert.match(found.get("b")?.note ?? "", /timed out/);
  assert.equal(host.asked.interfaces, 0, "what the kernel said once is better than what the library says");
});

test("asks the library, which blocks, only where nothing else was ever read, and for a twentieth of the time", async () => {
  const slow = { costMs: 2_000, host: aHost().host };
  const { host, look } = aHost({
    read: missing,
    readInterfaces: () => {
      slow.host.nowMs += slow.costMs;
      return Promise.resolve(EMPTY_VIEW);
    },
  });
  slow.host = host;
  await look({ a: "10.0.3.7" });
  host.nowMs += 1_000;
  await look({ a: "10.0.3.7", b: "172.16.0.1" });
  assert.equal(host.asked.interfaces, 1);
  host.nowMs += 40_000;
  await look({ a: "10.0.3.7", c: "172.16.0.2" });
  assert.equal(host.asked.interfaces, 2);
});

test("a read takes a twentieth of the time at most, however often the kernel changes", async () => {
  const slow = { host: aHost().host };
  const made = aHost({
    read: () => {
      slow.host.nowMs += 50;
      return Promise.resolve(viewOf({}));
    },
  });
  slow.host = made.host;
  const stop = new AbortController();
  const running = made.network.run(stop.signal);
  await made.look({ a: "10.0.3.7" });
  const readAtMs = made.host.nowMs - 50;
  made.host.tell();
  assert.equal((await made.look({ a: "10.0.3.7" })).againAtMs, readAtMs + 1_000);
  stop.abort();
  await running;
});

test("IPv6 is asked for from when a Pod has such an address, and then at once", async () => {
  const asked: (boolean | undefined)[] = [];
  const { host, look } = aHost({
    read: (_signal, families) => {
      asked.push(families?.ipv6);
      return Promise.resolve(host.view);
    },
  });
  await look({ a: "10.0.3.7" });
  host.nowMs += 1_000;
  await look({ a: "10.0.3.7", b: "fd00::7" });
  host.nowMs += 60_000;
  await look({ a: "10.0.3.7" });
  assert.deepEqual(asked, [false, true, true]);
});

test("links are asked for their kind once, and not those that Pods have; they are read first", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "clb-direct-ip-"));
  t.after(() => rm(folder, { recursive: true }));
  const links = (...more: readonly object[]): string =>
    JSON.stringify([{ ifindex: 2, ifname: "eth0", address: "20:90:6f:00:00:01", addr_info: [] }, ...more]);
  // An `ip` that notes what it is asked, and answers from files.
  const script = `while read -r line; do echo "$line" >> ${folder}/asked; case "$line" in "address show") cat ${folder}/links;; *vlan*) echo '[{"ifname":"eth0.5"}]';; *) echo '[]';; esac; done`;
  const kernel = makeKernel(["sh", "-c", script]);
  const read = async (text: string) => {
    await writeFile(join(folder, "links"), `${text}\n`);
    return await kernel.read(never, { ipv6: false });
  };
  await read(links());
  await read(links({ ifindex: 3, ifname: "eni1", link_netnsid: 0 }));
  const { links: seen } = await read(links({ ifindex: 4, ifname: "eth0.5" }));
  assert.deepEqual([seen.get("eth0")?.kind, seen.get("eth0.5")?.kind], ["", "vlan"]);
  const kinds = ["bridge", "vlan", "vxlan"].map((kind) => `link show type ${kind}`);
  const each = ["address show", "rule show", "route show table all"];
  assert.deepEqual((await readFile(join(folder, "asked"), "utf8")).trim().split("\n"), [...each, ...kinds, ...each, ...each, ...kinds]);
});

test("an `ip` that prints nonsense is an error that says what is needed", async () => {
  await assert.rejects(
    makeKernel(["sh", "-c", "cat >/dev/null; echo hello"]).read(never),
    /printed no JSON, but "hello": iproute2 5\.0 or newer/,
  );
  await assert.rejects(makeKernel(["sh", "-c", "cat >/dev/null; echo '[]'"]).read(never), /answered 1 of 3 questions/);
  await assert.rejects(makeKernel(["/no/such/ip"]).read(never), { code: "ENOENT" });
});

test("the library knows the loopback device", async () => {
  const { links, addresses } = await makeKernel().readInterfaces();
  assert.equal(links.get("lo")?.mac, "");
  assert.ok(addresses.some(({ device, subnet }) => device === "lo" && subnet === "127.0.0.1/8"));
});
