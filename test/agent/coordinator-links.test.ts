import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import type { Endpoint } from "../../agent/config.ts";
import type { CoordinatorLink } from "../../agent/coordinator-link.ts";
import { makeCoordinatorLinks } from "../../agent/coordinator-links.ts";
import type { LinkState } from "../../agent/coordinator-stream.ts";
import type { Report } from "../../agent/domain/plan-report.ts";
import { makeClock } from "../../common/clock.ts";
import { pause, until } from "./until.ts";

class FakeLink implements CoordinatorLink {
  state: LinkState = "away";
  changes = 0;
  running = false;
  readonly latest: () => Report | undefined;
  constructor(latest: () => Report | undefined) {
    this.latest = latest;
  }
  changed(): void {
    this.changes++;
  }
  async run(signal: AbortSignal): Promise<void> {
    this.running = true;
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    this.running = false;
  }
}

type Names = Record<string, readonly string[] | undefined>;

/** Time runs a hundredfold: the five seconds between two looks are 50 ms. */
function start(t: TestContext, endpoints: readonly Endpoint[], names: Names) {
  const made = new Map<string, FakeLink>();
  const links = makeCoordinatorLinks({
    endpoints,
    resolve: (host) => (names[host] === undefined ? Promise.reject(new Error(`no such host: ${host}`)) : Promise.resolve(names[host])),
    makeLink: (address, latest) => {
      const link = new FakeLink(latest);
      made.set(address, link);
      return link;
    },
    clock: makeClock(100),
    log: pino({ level: "silent" }),
  });
  const over = new AbortController();
  const ended = links.run(over.signal);
  const stop = async (): Promise<void> => {
    over.abort();
    await ended;
  };
  t.after(stop);
  return { links, made, stop };
}

const ONE = [{ host: "coordinator", port: 9443 }];

test("keeps one link per address, of all names", async (t) => {
  const endpoints = [...ONE, { host: "other", port: 9444 }, { host: "coordinator", port: 9443 }];
  const { links, made } = start(t, endpoints, { coordinator: ["10.0.0.1", "fd00::1"], other: ["10.0.0.1"] });
  await until(() => links.links.size === 3);
  assert.deepEqual([...made.keys()], ["10.0.0.1:9443", "[fd00::1]:9443", "10.0.0.1:9444"]);
});

test("hands each report to every link, also to one that comes later", async (t) => {
  const names: Names = { coordinator: ["10.0.0.1"] };
  const { links, made } = start(t, ONE, names);
  await until(() => links.links.size === 1);
  const report: Report = { pods: new Map(), deleted: new Set() };
  links.report(report);
  assert.equal(made.get("10.0.0.1:9443")?.changes, 1);
  names["coordinator"] = ["10.0.0.1", "10.0.0.2"];
  await until(() => links.links.size === 2);
  assert.equal(made.get("10.0.0.2:9443")?.latest(), report);
});

test("ends the link of an address that is gone, but no stream that lives", async (t) => {
  const names: Names = { coordinator: ["10.0.0.1", "10.0.0.2"] };
  const { links, made } = start(t, ONE, names);
  await until(() => links.links.size === 2);
  const [one, two] = made.values();
  assert.ok(one && two);
  one.state = "acknowledged";
  names["coordinator"] = ["10.0.0.3"];
  await until(() => !two.running);
  assert.deepEqual([one.running, [...links.links.keys()]], [true, ["10.0.0.1:9443", "10.0.0.3:9443"]]);
  one.state = "away";
  await until(() => !one.running);
});

test("keeps its links while the name does not resolve, and finds it later where it never did", async (t) => {
  const names: Names = { coordinator: ["10.0.0.1"] };
  const { links } = start(t, [...ONE, { host: "late", port: 9443 }], names);
  await until(() => links.links.size === 1);
  names["coordinator"] = undefined;
  await pause(150);
  assert.equal(links.links.size, 1);
  names["late"] = ["10.0.0.9"];
  await until(() => links.links.size === 2);
});

test("ends every link when told to", async (t) => {
  const { links, made, stop } = start(t, ONE, { coordinator: ["10.0.0.1", "10.0.0.2"] });
  await until(() => links.links.size === 2);
  await stop();
  assert.ok([...made.values()].every(({ running }) => !running));
});
