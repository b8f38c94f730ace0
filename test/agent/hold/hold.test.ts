/** The hold server with its rule, in this process: what a kubelet's dial meets, and when it is answered. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { makeHold } from "../../../agent/hold/hold.ts";
import { type FromAgent, type FromHold, type HoldPod, lineOf, makeLines, readFromHold } from "../../../agent/hold/messages.ts";
import { KIND } from "../../../agent/hold/proof.ts";
import { makeClock } from "../../../common/clock.ts";
import type { HoldAnswer } from "../../../common/holds.ts";
import { HOLD_PORT } from "../../../common/names.ts";
import { claimSlot } from "../../cluster/network.ts";
import { until } from "../../cluster/process.ts";
import { oldNft, rules } from "./old-nft.ts";

const POD: HoldPod = { uid: "pod-1", name: "demo/web-1", ips: [], token: "token-1", graceSeconds: 30 };
const DELETION = { atMs: Date.parse("2026-01-02T03:04:35Z"), graceSeconds: 30 };
const WAIT: HoldAnswer = {
  uid: "pod-1",
  state: "wait",
  reason: "",
  terminating: true,
  drainMs: 30_000,
  deletionAtMs: undefined,
  graceSeconds: undefined,
};

type Answered = { readonly status: number | undefined; readonly text: string };

async function start(t: TestContext, { programs = process.env["PATH"] ?? "", warnings = [] as string[] } = {}) {
  const slot = await claimSlot();
  const host = slot.plan.nodeAddress(0);
  const [podAddress = ""] = slot.plan.podAddresses;
  const directory = mkdtempSync(join(tmpdir(), "hold-"));
  const socket = join(directory, "hold.sock");
  const config = {
    socket,
    nodeAddress: slot.plan.nodeAddress(1),
    host,
    port: HOLD_PORT,
    hasRule: true,
    ignored: [],
    stateDirectory: directory,
  };
  const id = randomBytes(4).toString("hex");
  const clock = makeClock();
  const log = pino({ level: "warn" }, { write: (line: string) => void warnings.push(line) });
  const hold = makeHold({
    ...config,
    path: programs,
    logLevel: "silent",
    id,
    nonceKind: KIND,
    clock,
    log,
  });
  const over = new AbortController();
  const running = [hold.keepRule(over.signal), hold.prove(over.signal), hold.count(over.signal)];
  await hold.socket.start();
  hold.start();
  const agent = connect(socket);
  const heard: FromHold[] = [];
  const lines = makeLines((line) => void heard.push(readFromHold(line)));
  agent.on("data", (chunk) => lines(String(chunk)));
  t.after(async () => {
    agent.destroy();
    const ended = AbortSignal.abort();
    await hold.finish(ended);
    hold.socket.stop();
    over.abort();
    await Promise.all(running);
    await slot.release();
    rmSync(directory, { recursive: true, force: true });
  });
  const say = (message: FromAgent): void => void agent.write(lineOf(message));
  /** As the kubelet does; straight to the server, or to the Pod's own address. */
  const dial = (path: string, { from = host, as = podAddress, signal = AbortSignal.timeout(20_000) } = {}): Promise<Answered> =>
    new Promise((resolve, reject) => {
      const options = { host: from, port: HOLD_PORT, path, signal, agent: false, headers: { host: `${as}:${HOLD_PORT}` } };
      const call = request(options, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part));
        response.once("error", reject).once("end", () => resolve({ status: response.statusCode, text: text.trim() }));
        assert.equal(response.headers.connection, "close");
      });
      call.once("error", reject).end();
    });
  /** Resolves when the server takes calls. */
  const tell = async (...pods: readonly HoldPod[]): Promise<void> => {
    say({ kind: "pods", complete: true, pods: [...pods], removed: [] });
    await until("it listens", () =>
      dial("/probe").then(
        () => true,
        () => false,
      ),
    );
  };
  const answer = (change: Partial<HoldAnswer>): void => {
    const { deletionAtMs: _, graceSeconds: __, ...known } = { ...WAIT, ...change };
    say({ kind: "answers", answers: [known] });
  };
  const held = (): readonly string[] => heard.findLast((message) => message.kind === "held")?.pods.map(({ uid }) => uid) ?? [];
  const released = () => heard.flatMap((message) => (message.kind === "released" ? message.pod : []));
  const proofs = () => heard.flatMap((message) => (message.kind === "proof" && message.because !== "not tried yet" ? message : []));
  const proof = () => heard.findLast((message) => message.kind === "proof");
  return { hold, tell, dial, answer, say, held, released, proof, proofs, podAddress, directory, id, plan: slot.plan };
}

test("a call with a Pod's token waits until the coordinator lets go, one slash or two; others are answered at once", async (t) => {
  const { tell, dial, answer, held, released, podAddress } = await start(t);
  await tell({ ...POD, ips: [podAddress], deletion: DELETION });
  await until("the server knows the Pod", async () => (await dial("/hold/other")).status === 404);
  assert.equal((await dial("/anything")).status, 404);
  const calls = [dial("/hold/token-1"), dial("//hold/token-1")];
  await until("it is held", () => held().includes("pod-1"));
  answer({ state: "release", reason: "bound nowhere" });
  assert.deepEqual(await Promise.all(calls), [
    { status: 200, text: "released" },
    { status: 200, text: "released" },
  ]);
  await until("it is told", () => released().length === 1 && held().length === 0);
  assert.deepEqual([released()[0]?.end, released()[0]?.lowered], ["released", false]);
  // At least once: a kubelet that was restarted calls again.
  assert.deepEqual(await dial("/hold/token-1"), { status: 200, text: "released" });
});

test("a server that does not know the Pods yet takes no call that the one which it replaces could have", async (t) => {
  const { tell, dial, podAddress } = await start(t);
  await assert.rejects(dial("/hold/token-1"), { code: "ECONNREFUSED" });
  await tell({ ...POD, ips: [podAddress] });
  await until("it listens", () =>
    dial("/probe").then(
      ({ status }) => status === 200,
      () => false,
    ),
  );
});

test("weight 0 ends the hold of a Pod that lives on; it may be held again", async (t) => {
  const { tell, dial, answer, held, released, podAddress } = await start(t);
  await tell({ ...POD, ips: [podAddress] });
  for (const times of [1, 2]) {
    const call = dial("/hold/token-1");
    await until("it is held", () => held().includes("pod-1"));
    answer({ state: "lowered", terminating: false });
    assert.equal((await call).text, "drained");
    await until("it is told", () => released().length === times && held().length === 0);
  }
});

test("the drain time counts from weight 0 where connections are not known; without a word the budget decides", async (t) => {
  const { tell, dial, answer, held, podAddress } = await start(t);
  await tell({ ...POD, ips: [podAddress], deletion: { ...DELETION, graceSeconds: 8 } });
  const call = dial("/hold/token-1");
  await until("it is held", () => held().includes("pod-1"));
  answer({ state: "lowered", drainMs: 300 });
  assert.equal((await call).text, "drain-time");
  await tell({ ...POD, uid: "pod-2", token: "token-2", ips: [podAddress], deletion: { ...DELETION, graceSeconds: 8 } });
  await until("the other Pod is known", async () => (await dial("/hold/token-1")).status === 404);
  assert.equal((await dial("/hold/token-2")).text, "budget");
});

test("a Pod whose address is not known yet is known by its token; a copied token belongs to the address", async (t) => {
  const { tell, dial, answer, held, plan, podAddress } = await start(t);
  const [, second = ""] = plan.podAddresses;
  await tell({ ...POD, ips: [], deletion: DELETION }, { ...POD, uid: "pod-2", ips: [second], deletion: DELETION });
  const call = dial("/hold/token-1", { as: second });
  await until("the one with the address is held", () => held().includes("pod-2") && !held().includes("pod-1"));
  const other = dial("/hold/token-1", { as: podAddress });
  await until("the one without is held", () => held().includes("pod-1"));
  answer({ uid: "pod-1", state: "release" });
  answer({ uid: "pod-2", state: "release" });
  assert.deepEqual(
    (await Promise.all([call, other])).map(({ text }) => text),
    ["released", "released"],
  );
});

test("a hold whose caller is gone goes on, and a second call joins it: the budget counts from the first", async (t) => {
  const { tell, dial, held, released, podAddress } = await start(t);
  await tell({ ...POD, ips: [podAddress], deletion: { ...DELETION, graceSeconds: 9 } });
  const hungUp = new AbortController();
  const first = dial("/hold/token-1", { signal: hungUp.signal });
  await until("it is held", () => held().includes("pod-1"));
  hungUp.abort();
  await assert.rejects(first);
  assert.deepEqual(held(), ["pod-1"]);
  assert.equal((await dial("/hold/token-1")).text, "budget");
  await until("it is told once", () => released().length === 1);
  const heldMs = released()[0]?.heldMs ?? 0;
  assert.ok(heldMs >= 2_000 && heldMs < 3_500, `${heldMs} ms from the first call`);
});

test("a hold for which SIGTERM did not wait says so: its Pod is gone by force, or nobody waits for the answer any more", async (t) => {
  const { tell, dial, say, held, released, podAddress } = await start(t);
  await tell({ ...POD, ips: [podAddress] });
  const call = dial("/hold/token-1");
  await until("it is held", () => held().includes("pod-1"));
  say({ kind: "pods", complete: false, pods: [], removed: ["pod-1"] });
  assert.equal((await call).text, "budget");
  const again = { ...POD, uid: "pod-2", token: "token-2", ips: [podAddress], graceSeconds: 8 };
  await tell(again);
  const hungUp = new AbortController();
  const other = dial("/hold/token-2", { signal: hungUp.signal });
  await until("it is held, too", () => held().includes("pod-2"));
  hungUp.abort();
  await assert.rejects(other);
  await until("both are over", () => released().length === 2, 15_000); // the second one when its time is up
  assert.deepEqual(
    released().map(({ uid, end, killed }) => [uid, end, killed]),
    [
      ["pod-1", "budget", true],
      ["pod-2", "aborted", true],
    ],
  );
});

test("a server that ends takes no more calls and finishes those that wait", async (t) => {
  const { hold, tell, dial, answer, held, podAddress } = await start(t);
  await tell({ ...POD, ips: [podAddress], deletion: DELETION });
  const call = dial("/hold/token-1");
  await until("it is held", () => held().includes("pod-1"));
  let isOver = false;
  // One is connected already, but the server has not met it.
  const early = dial("/hold/token-1");
  await new Promise((resolve) => process.nextTick(resolve));
  const finished = hold.finish(new AbortController().signal).then(() => (isOver = true));
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(dial("/hold/token-1"), { code: "ECONNREFUSED" });
  assert.equal(isOver, false);
  answer({ state: "release" });
  assert.deepEqual([(await call).text, (await early).text], ["released", "released"]);
  await finished;
});

test("the rule leads calls to Pods in the set to the server, from the moment that the Pod has an address", {
  skip: !rules && "no nft here",
}, async (t) => {
  const { tell, dial, answer, held, proof, podAddress, directory } = await start(t);
  const isRefused = () =>
    dial("/probe", { from: podAddress }).then(
      () => false,
      () => true,
    );
  await until("what led there for an earlier test is gone", isRefused);
  await tell(POD);
  await tell({ ...POD, ips: [podAddress], deletion: DELETION });
  await until(
    "the rule has it",
    () =>
      dial("/probe", { from: podAddress }).then(
        ({ status }) => status === 200,
        () => false,
      ),
    5_000,
    1,
  );
  const call = dial("/hold/token-1", { from: podAddress });
  await until("it is held", () => held().includes("pod-1"));
  answer({ state: "release" });
  assert.equal((await call).text, "released");
  await until("the rule is proven", () => proof()?.kind === "proof" && proof()?.proven === true);
  assert.match(spawnSync("nft", ["list", "ruleset"], { encoding: "utf8" }).stdout, /@answered tcp flags .* update @late/);
  assert.deepEqual(readdirSync(directory).toSorted(), ["hold-ready", "hold-started", "hold.sock"]);
});

test("a Pod whose network is gone says nothing of the rule", { skip: !rules && "no nft here" }, async (t) => {
  const { tell, proofs } = await start(t);
  await tell({ ...POD, ips: ["203.0.113.9"] }); // there is no way to it
  await until("the rule is proven", () => proofs().length > 0);
  await until("it is dialled again", () => proofs().length > 1);
  for (const { proven, because } of proofs()) assert.deepEqual([proven, because], [true, ""]);
});

test("on a kernel without owners a plain table does the same, is put back when somebody deletes it, and outlives who is replaced", {
  skip: !rules && "no nft here",
}, async (t) => {
  const { hold, tell, dial, answer, held, podAddress, plan } = await start(t, { programs: oldNft(t) });
  t.after(() => spawnSync("nft", ["delete", "table", "ip", "clb_direct"]));
  await tell({ ...POD, ips: [podAddress], deletion: DELETION });
  const leads = (): Promise<boolean> =>
    dial("/probe", { from: podAddress }).then(
      ({ status }) => status === 200,
      () => false,
    );
  await until("the rule is there", leads);
  const tables = (): string => spawnSync("nft", ["list", "tables", "ip"], { encoding: "utf8" }).stdout;
  assert.match(tables(), /^table ip clb_direct$/m);
  assert.doesNotMatch(spawnSync("nft", ["list", "table", "ip", "clb_direct"], { encoding: "utf8" }).stdout, /flags owner/);
  spawnSync("nft", ["delete", "table", "ip", "clb_direct"]);
  await until("it is put back", leads);
  const call = dial("/hold/token-1", { from: podAddress });
  await until("it is held", () => held().includes("pod-1"));
  const next = createServer().listen({ host: plan.nodeAddress(0), port: HOLD_PORT, reusePort: true });
  t.after(() => next.close());
  await once(next, "listening");
  const finished = hold.finish(new AbortController().signal);
  answer({ state: "release" });
  assert.equal((await call).text, "released");
  await finished;
  assert.match(tables(), /^table ip clb_direct$/m, "the agent that comes after has it");
});

test("calls with tokens that no Pod has are told once, however many there are", async (t) => {
  const warnings: string[] = [];
  const { tell, dial } = await start(t, { warnings });
  await tell(POD);
  for (let call = 0; call < 5; call++) assert.equal((await dial(`/hold/other-${call}`)).status, 404);
  assert.equal(warnings.filter((line) => line.includes("token that no Pod of this node has")).length, 1);
});

test("110 Pods are held at once, each until its own answer", async (t) => {
  const { tell, dial, answer, held, released, plan } = await start(t);
  const pods = Array.from({ length: 110 }, (_, index) => {
    const ips = [plan.podAddresses[index] ?? ""];
    return { ...POD, uid: `pod-${index}`, token: `token-${index}`, ips, deletion: DELETION };
  });
  await tell(...pods);
  const calls = pods.map(({ token, ips }) => dial(`/hold/${token}`, { as: ips[0] ?? "" }));
  await until("all are held", () => held().length === pods.length);
  for (const { uid } of pods) answer({ uid, state: "release" });
  for (const { text } of await Promise.all(calls)) assert.equal(text, "released");
  await until("all are told", () => released().length === pods.length && held().length === 0);
});

test("a rule that is lost with its nft comes back by itself", { skip: !rules && "no nft here" }, async (t) => {
  const { tell, dial, podAddress, id } = await start(t);
  await tell({ ...POD, ips: [podAddress] });
  const leads = (): Promise<boolean> =>
    dial("/probe", { from: podAddress }).then(
      ({ status }) => status === 200,
      () => false,
    );
  await until("the rule is there", leads);
  const table = `clb_direct_${id}_`;
  const pids = spawnSync("pgrep", ["-x", "nft"], { encoding: "utf8" })
    .stdout.split("\n")
    .filter((pid) => parentOf(pid) === process.pid);
  assert.equal(pids.length, 1);
  process.kill(Number(pids[0]), "SIGKILL");
  const tables = (): string => spawnSync("nft", ["list", "tables", "ip"], { encoding: "utf8" }).stdout;
  await until("there is a new table", () => tables().includes(`${table}2`)); // the first one goes with its owner, a moment later
  await until("it leads", leads);
});

const parentOf = (pid: string): number =>
  pid === "" ? 0 : Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
