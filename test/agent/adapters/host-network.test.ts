import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { hostKernel, type Interfaces, type Kernel, makeHostNetwork } from "../../../agent/adapters/host-network.ts";
import type { Route } from "../../../agent/domain/carrier.ts";
import type { Clock } from "../../../common/clock.ts";

const never = new AbortController().signal;
const route = (dst: string, device: string): Route => ({ dst, device, type: "unicast", metric: 0 });
const missing = (): Promise<never> => Promise.reject(Object.assign(new Error("spawn ip ENOENT"), { code: "ENOENT" }));

/** A kernel that can be changed and counts how often it is asked, and a clock that stands still until told. */
function aHost(change: Partial<Kernel> = {}) {
  const host = {
    routes: [route("10.0.3.7", "veth1")],
    interfaces: {
      macs: new Map([["eth0", "20:90:6f:00:00:01"]]),
      addresses: [{ device: "eth0", address: "10.0.9.1", mask: "255.255.255.0" }],
    } as Interfaces,
    nowMs: 1_000_000,
    asked: { routes: 0, interfaces: 0, macs: 0 },
    warnings: 0,
    outcomes: new Array<string>(),
  };
  const clock: Clock = { now: () => host.nowMs, sleep: () => Promise.reject(new Error("nothing here sleeps")) };
  const kernel: Kernel = {
    readRoutes: () => Promise.resolve(host.routes),
    readInterfaces: () => Promise.resolve(host.interfaces),
    readMac: (device) => Promise.resolve(`mac of ${device}`),
    ...change,
  };
  const network = makeHostNetwork({
    kernel: {
      readRoutes: (signal) => (host.asked.routes++, kernel.readRoutes(signal)),
      readInterfaces: () => (host.asked.interfaces++, kernel.readInterfaces()),
      readMac: (device) => (host.asked.macs++, kernel.readMac(device)),
    },
    clock,
    log: pino({ level: "warn" }, { write: () => void host.warnings++ }),
    onRead: (outcome) => host.outcomes.push(outcome),
  });
  return { host, look: (addresses: Record<string, string>) => network.carriersOf(new Map(Object.entries(addresses)), never) };
}

test("finds the interface of each Pod with its MAC, by route or subnet", async () => {
  const { look } = aHost();
  const { carriers } = await look({ a: "10.0.3.7", b: "10.0.9.5", c: "172.16.0.1" });
  assert.deepEqual(Object.fromEntries(carriers), {
    a: { name: "veth1", mac: "mac of veth1" },
    b: { name: "eth0", mac: "20:90:6f:00:00:01" },
  });
});

test("reads when an address is new, at most once a second, and says when to ask again", async () => {
  const { host, look } = aHost();
  assert.equal((await look({ a: "10.0.3.7" })).againAtMs, host.nowMs + 60_000);
  await look({ a: "10.0.3.7" });
  assert.equal(host.asked.routes, 1);
  host.routes = [...host.routes, route("10.0.3.8", "veth2")];
  host.nowMs += 400;
  const early = await look({ a: "10.0.3.7", b: "10.0.3.8" });
  assert.deepEqual([early.carriers.has("b"), early.againAtMs, host.asked.routes], [false, host.nowMs + 600, 1]);
  host.nowMs += 600;
  const due = await look({ a: "10.0.3.7", b: "10.0.3.8" });
  assert.deepEqual([due.carriers.get("b")?.name, due.againAtMs, host.asked.routes], ["veth2", host.nowMs + 60_000, 2]);
});

test("reads anew for an address that passed to another Pod, and once a minute for all", async () => {
  const { host, look } = aHost();
  await look({ a: "10.0.3.7" });
  host.nowMs += 1_000;
  host.routes = [route("10.0.3.7", "veth9")];
  assert.equal((await look({ b: "10.0.3.7" })).carriers.get("b")?.name, "veth9");
  host.routes = [route("10.0.3.7", "veth10")];
  host.nowMs += 60_000;
  assert.equal((await look({ b: "10.0.3.7" })).carriers.get("b")?.name, "veth10");
});

test("without `ip` goes on with the interfaces, told once", async () => {
  const { host, look } = aHost({ readRoutes: missing });
  for (const address of ["10.0.9.5", "10.0.9.6"]) {
    assert.equal((await look({ a: address })).carriers.get("a")?.name, "eth0");
    host.nowMs += 1_000;
  }
  assert.deepEqual([host.warnings, host.outcomes], [1, ["failed", "failed"]]);
});

test("keeps the last routes while they cannot be read", async () => {
  let broken = false;
  const { host, look } = aHost({
    readRoutes: () => (broken ? Promise.reject(new Error("timed out")) : Promise.resolve([route("10.0.3.0/24", "eth1")])),
  });
  await look({ a: "10.0.3.7" });
  broken = true;
  host.nowMs += 1_000;
  assert.equal((await look({ a: "10.0.3.7", b: "10.0.3.8" })).carriers.get("b")?.name, "eth1");
});

test("asks the library, which blocks, only where routes do not tell, and for a twentieth of the time", async () => {
  const slow = { costMs: 2_000, host: aHost().host };
  const { host, look } = aHost({
    readInterfaces: () => {
      slow.host.nowMs += slow.costMs;
      return Promise.resolve({ macs: new Map(), addresses: [] });
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

test("the real kernel knows the loopback device", async () => {
  const { macs, addresses } = await hostKernel.readInterfaces();
  assert.equal(macs.get("lo"), "");
  assert.ok(addresses.some(({ device, address, mask }) => device === "lo" && address === "127.0.0.1" && mask === "255.0.0.0"));
  assert.equal(await hostKernel.readMac("lo"), "");
  const routes = await hostKernel
    .readRoutes(never)
    .catch((error: unknown) => assert.equal(Object(error).code, "ENOENT", "only a missing `ip` is fine"));
  if (routes !== undefined) assert.ok(routes.some(({ device, type }) => device === "lo" && type === "local"));
});
