import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { addressPlan, claimSlot, claimTurn, networkKind } from "./network.ts";

const LAUNCHER = new URL("network.ts", import.meta.url).pathname;

/** The launcher as a user starts it, even where these tests run inside it already. */
function launcher(command: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const { CLB_DIRECT_NETWORK: _, NODE_TEST_CONTEXT: __, ...outside } = process.env;
  return spawn(process.execPath, [LAUNCHER, "--", ...command], { env: { ...outside, ...env }, stdio: ["ignore", "pipe", "pipe"] });
}

async function ended(child: ChildProcess): Promise<{ code: number | null; out: string; err: string }> {
  const text = { out: "", err: "" };
  child.stdout?.setEncoding("utf8").on("data", (part: string) => (text.out += part));
  child.stderr?.setEncoding("utf8").on("data", (part: string) => (text.err += part));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, ...text };
}

/** Alive and not a zombie that nobody has waited for yet. */
function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

async function isGone(pid: number): Promise<boolean> {
  for (let looks = 0; looks < 100 && isAlive(pid); looks++) await sleep(20);
  return !isAlive(pid);
}

const firstLine = async (child: ChildProcess): Promise<string> => {
  const [line] = (await once(child.stdout?.setEncoding("utf8") ?? child, "data")) as [string];
  return line.trim();
};

/** Asked here once more, so that a launcher that wrongly falls back fails these tests instead of skipping them. */
const TOOL = "unshare";
const canMakeNamespace =
  spawnSync(TOOL, [...(process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"]), "--net", "ip", "link"]).status === 0;

const serve = (address: string): string =>
  `const s = require("net").createServer().listen(80, "${address}", () => { console.log(process.env.CLB_DIRECT_NETWORK); s.close(); });
   s.on("error", (error) => { console.log(error.code); process.exitCode = 3; })`;

suite("the launcher", { skip: canMakeNamespace ? false : "no network namespace can be made here" }, () => {
  test("makes any Pod address and VIP local, low ports included, and nothing else reachable", async () => {
    for (const address of ["10.244.77.3", "198.18.200.1"])
      assert.deepEqual(await ended(launcher(["node", "-e", serve(address)])), { code: 0, out: "namespace\n", err: "" });
    const away = `require("net").connect(80, "192.0.2.1").on("error", (error) => console.log(error.code))`;
    assert.equal((await ended(launcher(["node", "-e", away]))).out, "ENETUNREACH\n");
  });

  test("gives the command's exit code on, and 128 + n after a signal", async () => {
    assert.equal((await ended(launcher(["sh", "-c", "exit 7"]))).code, 7);
    assert.equal((await ended(launcher(["sh", "-c", "kill -TERM $$"]))).code, 143);
    assert.equal((await ended(launcher(["no-such-command"]))).code, 127);
  });

  test("passes SIGINT on and ends what the command left behind", async () => {
    const command = `process.on("SIGINT", () => process.exit(5)); const c = require("child_process").spawn("sleep", ["600"]);
      setInterval(() => undefined, 1000); console.log(c.pid);`;
    const child = launcher(["node", "-e", command]);
    const left = Number(await firstLine(child));
    assert.ok(isAlive(left));
    child.kill("SIGINT");
    assert.equal((await ended(child)).code, 5);
    assert.ok(await isGone(left), "a process started by the command is still there");
  });

  test("killed outright, it takes the command along", async () => {
    const child = launcher(["sh", "-c", "echo $$; exec sleep 600"]);
    const command = Number(await firstLine(child));
    assert.ok(isAlive(command));
    child.kill("SIGKILL");
    assert.ok(await isGone(command), "the command outlived its launcher");
  });

  test("inside a namespace it runs the command where it is", async () => {
    const nested = ["node", LAUNCHER, "--", "node", "-p", `require("fs").readlinkSync("/proc/self/ns/net")`];
    const both = await ended(launcher(["sh", "-c", `readlink /proc/self/ns/net; "$@"`, "sh", process.execPath, ...nested.slice(1)]));
    const [outer, inner] = both.out.trim().split("\n");
    assert.ok(outer?.startsWith("net:"));
    assert.equal(inner, outer);
  });
});

test("where no namespace can be made, the command runs with loopback addresses, and the reason is told once", async () => {
  const { code, out, err } = await ended(launcher(["node", "-p", "process.env.CLB_DIRECT_NETWORK"], { PATH: "/nonexistent" }));
  assert.deepEqual({ code, out }, { code: 0, out: "loopback\n" });
  assert.match(err, /^no network namespace here \(.*unshare.*\): .*loopback.*\n$/);
});

test("plans of different slots and kinds share no address", () => {
  const plans = [addressPlan(1, "namespace"), addressPlan(2, "namespace"), addressPlan(1, "loopback"), addressPlan(124, "loopback")];
  const all = plans.flatMap((plan) => {
    const nodes = Array.from({ length: 45 }, (_, index) => plan.nodeAddress(index));
    return [...plan.podAddresses, ...plan.vips, ...nodes, plan.coordinator, plan.standby, plan.cloud, plan.apiServer, plan.client];
  });
  assert.equal(new Set(all).size, all.length);
  assert.deepEqual([plans[0]?.podAddresses[0], plans[0]?.vipRange, plans[0]?.servicePort], ["10.244.1.1", "198.18.1.0/24", 80]);
  assert.deepEqual([plans[2]?.podAddresses[0], plans[2]?.vipRange, plans[2]?.servicePort], ["127.244.1.1", "127.198.1.0/24", 8080]);
});

test("a slot or node outside its range is refused with the range", () => {
  for (const slot of [0, 125, 1.5, Number.NaN]) assert.throws(() => addressPlan(slot), /slot must be a whole number from 1 to 124/);
  assert.throws(() => addressPlan(1).nodeAddress(45), /node index must be a whole number from 0 to 44, got 45/);
});

test("a claimed slot is nobody else's until it is released", async () => {
  const first = await claimSlot();
  const second = await claimSlot();
  assert.notEqual(first.plan.slot, second.plan.slot);
  assert.equal(first.plan.kind, networkKind());
  await first.release();
  const third = await claimSlot();
  assert.notEqual(third.plan.slot, second.plan.slot);
  await Promise.all([second.release(), third.release()]);
});

test("the turn is waited for", async () => {
  const order: string[] = [];
  const release = await claimTurn();
  const next = (async () => {
    const done = await claimTurn();
    order.push("next");
    await done();
  })();
  await sleep(200);
  order.push("first is over");
  await release();
  await next;
  assert.deepEqual(order, ["first is over", "next"]);
});
