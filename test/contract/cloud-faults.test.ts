import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { suite, type TestContext, test } from "node:test";
import type { JournalEntry } from "../cloud/journal.ts";
import { failsWith, sdkFor, withCloud } from "./cloud-fixture.ts";

/** What the SDK throws when there is no answer of the API: no `code`. */
async function failsWithoutCode(pattern: RegExp, call: Promise<unknown>): Promise<void> {
  const failure: unknown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(failure instanceof Error, "expected a failure");
  assert.match(failure.message, pattern);
  assert.equal("code" in failure ? failure.code : undefined, undefined);
}

suite("faults", () => {
  const start = async (t: TestContext) => {
    const started = await withCloud(t, { dataPlane: false, health: "scripted" });
    const { loadBalancerId: LoadBalancerId } = started.cloud.addLoadBalancer();
    const create = (port = 80) => started.sdk.CreateListener({ LoadBalancerId, Ports: [port], Protocol: "TCP" });
    return { ...started, LoadBalancerId, create };
  };

  test("an error meets its action as often as it says", async (t) => {
    const { sdk, cloud } = await start(t);
    cloud.faults.add({ kind: "error", code: "InternalError", message: "bad day", action: "DescribeQuota", count: 2 });
    await sdk.DescribeLoadBalancers({});
    for (let turn = 0; turn < 2; turn++) assert.equal(await failsWith("InternalError", sdk.DescribeQuota(null)), "bad day");
    await sdk.DescribeQuota(null);
    assert.deepEqual(cloud.counts().refused, { InternalError: 2 });
  });

  test("a fault lasts as long as it says, or until it is cleared", async (t) => {
    const { sdk, cloud } = await start(t);
    cloud.faults.add({ kind: "error", code: "InternalError", for: 100 });
    const startedMs = Date.now();
    await failsWith("InternalError", sdk.DescribeQuota(null));
    while (Date.now() - startedMs < 150) await sdk.DescribeQuota(null).catch(() => undefined);
    await sdk.DescribeQuota(null);
    cloud.faults.add({ kind: "error", code: "InternalError" });
    await failsWith("InternalError", sdk.DescribeQuota(null));
    cloud.faults.clear();
    await sdk.DescribeQuota(null);
  });

  test("the gateway may answer with a status, or cut the connection; nothing happens then", async (t) => {
    const { sdk, cloud, create, LoadBalancerId } = await start(t);
    cloud.faults.add({ kind: "http", status: 503, count: 1 });
    await failsWithoutCode(/Service Unavailable/, create());
    cloud.faults.add({ kind: "reset", count: 1 });
    await failsWithoutCode(/ECONNRESET|socket hang up/, create());
    assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 0);
    assert.deepEqual(cloud.journal.of("task"), []);
  });

  test("a lost response has taken effect; reads are not met", async (t) => {
    const { sdk, cloud, create, LoadBalancerId } = await start(t);
    cloud.faults.add({ kind: "lost-response", count: 1 });
    await sdk.DescribeListeners({ LoadBalancerId });
    await failsWithoutCode(/ECONNRESET|socket hang up/, create());
    while (cloud.counts().runningTasks > 0) await sdk.DescribeQuota(null);
    assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 1);
    assert.equal(cloud.journal.of("call").find(({ action }) => action === "CreateListener")?.code, "LostResponse");
  });

  test("a failed task changes nothing and frees the lock; a batch call says it itself", async (t) => {
    const { sdk, cloud, create, task, done, listener, LoadBalancerId } = await start(t);
    cloud.faults.add({ kind: "task-failed", message: "broken", count: 1 });
    const { Status, Message } = await task(await create());
    assert.deepEqual([Status, Message], [1, "broken"]);
    assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 0);
    await done(await create());
    const ListenerId = await listener(LoadBalancerId, 81);
    cloud.faults.add({ kind: "task-failed", message: "broken", count: 1 });
    await failsWith(
      "FailedOperation",
      sdk.BatchRegisterTargets({ LoadBalancerId, Targets: [{ ListenerId, EniIp: "10.244.0.1", Port: 80 }] }),
    );
  });

  test("latency is added to one load balancer's calls only", async (t) => {
    const { sdk, cloud, LoadBalancerId } = await start(t);
    cloud.faults.add({ kind: "latency", delay: 200, loadBalancerId: LoadBalancerId });
    const startedMs = Date.now();
    await sdk.DescribeLoadBalancers({});
    assert.ok(Date.now() - startedMs < 200);
    await sdk.DescribeListeners({ LoadBalancerId });
    assert.ok(Date.now() - startedMs >= 195);
  });
});

suite("admin pages", () => {
  const post = async (url: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> => {
    const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const get = async <T>(url: string): Promise<T> => (await fetch(url)).json() as Promise<T>;

  test("a user's load balancer is there at once, and all that happens to it is in the journal", async (t) => {
    const { adminUrl, sdk, done } = await withCloud(t, { dataPlane: false, health: "scripted" });
    const made = await post(`${adminUrl}/load-balancers`, { name: "mine" });
    const LoadBalancerId = String(made.body["loadBalancerId"]);
    assert.match(String(made.body["vip"]), /^127\.198\./);
    const { ListenerIds: [ListenerId = ""] = [] } = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [80], Protocol: "TCP" }));
    const target = { EniIp: "10.244.0.1", Port: 80 };
    await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: [{ ListenerId, ...target }] });
    await post(`${adminUrl}/health`, {
      loadBalancerId: LoadBalancerId,
      listenerId: ListenerId,
      ip: "10.244.0.1",
      port: 80,
      status: "Alive",
    });
    await done(await sdk.ModifyTargetWeight({ LoadBalancerId, ListenerId, Targets: [target], Weight: 0 }));
    await sdk.BatchDeregisterTargets({ LoadBalancerId, Targets: [{ ListenerId, ...target }] });
    const { entries, lastSeq } = await get<{ entries: JournalEntry[]; lastSeq: number }>(`${adminUrl}/journal?since=0`);
    const story = entries
      .filter(({ kind }) => kind !== "call")
      .map((entry) => `${entry.kind} ${"change" in entry ? entry.change : "to" in entry ? entry.to : ""}`);
    assert.deepEqual(story, [
      "load-balancer created",
      "task accepted",
      "listener created",
      "task succeeded",
      "task accepted",
      "target bound",
      "task succeeded",

      "health Alive",
      "task accepted",
      "target weight",
      "task succeeded",
      "task accepted",
      "target unbound",
      "task succeeded",
    ]);
    const call = entries.find((entry) => entry.kind === "call" && entry.action === "BatchRegisterTargets");
    assert.ok(call?.kind === "call" && call.timeMs - call.startMs >= 39, "a sync batch lasts as long as its task");
    assert.deepEqual([call.targets, call.code, call.loadBalancerIds], [1, "OK", [LoadBalancerId]]);
    assert.deepEqual(
      entries.map(({ seq }) => seq),
      entries.map((_, index) => index + 1),
    );
    assert.deepEqual((await get<{ entries: JournalEntry[] }>(`${adminUrl}/journal?since=${lastSeq - 1}`)).entries.length, 1);
  });

  test("counts, state and faults are told and taken; a malformed fault is refused with the reason", async (t) => {
    const { adminUrl, sdk, cloud } = await withCloud(t);
    cloud.addLoadBalancer({ name: "mine" });
    assert.equal((await get<{ loadBalancers: { name: string }[] }>(`${adminUrl}/state`)).loadBalancers[0]?.name, "mine");
    await post(`${adminUrl}/faults`, { kind: "error", code: "InternalError", count: 1 });
    await failsWith("InternalError", sdk.DescribeQuota(null));
    const counts = await get<{ calls: object; overlaps: number }>(`${adminUrl}/counts`);
    assert.deepEqual([counts.calls, counts.overlaps], [{ DescribeQuota: 1 }, 0]);
    for (const [bad, reason] of [
      [{ kind: "explode" }, /kind: must be one of error, throttled/],
      [{ kind: "error" }, /code: .*expected string/],
      [{ kind: "latency", delay: "5" }, /delay: must be a number of ms or a text such as "500ms"/],
      [{ kind: "reset", code: "x" }, /Unrecognized key: "code"/],
    ] as const) {
      const { status, body } = await post(`${adminUrl}/faults`, bad);
      assert.equal(status, 400);
      assert.match(String(body["error"]), reason);
    }
    assert.equal((await fetch(`${adminUrl}/nothing`)).status, 404);
  });

  test("the journal forgets the oldest entries and says how many", async (t) => {
    const { cloud, sdk } = await withCloud(t, { journalSize: 3 });
    for (let turn = 0; turn < 5; turn++) await sdk.DescribeQuota(null);
    assert.deepEqual(
      cloud.journal.since(0).map(({ seq }) => seq),
      [3, 4, 5],
    );
    assert.deepEqual(
      cloud.journal.since(4).map(({ seq }) => seq),
      [5],
    );
    assert.equal(cloud.journal.dropped, 2);
  });
});

test("the core answers in the same way without HTTP", async (t) => {
  const { cloud } = await withCloud(t);
  const made = await cloud.call("clb", "CreateLoadBalancer", { LoadBalancerType: "OPEN" });
  assert.equal(typeof made["RequestId"], "string");
  await failsWith("MissingParameter", cloud.call("clb", "CreateListener", {}));
});

suite("alone", () => {
  const run = (t: TestContext, env: NodeJS.ProcessEnv = {}) => {
    const args = ["test/cloud/main.ts", "--port", "0", "--vip-cidr", "127.198.0.0/16", "--json", "--exit-with-parent"];
    const child = spawn(process.execPath, args, {
      cwd: new URL("../..", import.meta.url),
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    t.after(() => child.kill("SIGKILL"));
    const exited = once(child, "exit");
    const addresses = once(createInterface(child.stdout), "line").then(
      ([line]) => JSON.parse(String(line)) as { endpoint: string; adminUrl: string },
    );
    return { child, exited, addresses };
  };

  test("it tells its addresses in one line, takes the key from the environment, and ends with its parent", async (t) => {
    const key = { secretId: "AKIDfromenv", secretKey: "fromenv" };
    const { child, exited, addresses } = run(t, { TENCENTCLOUD_SECRET_ID: key.secretId, TENCENTCLOUD_SECRET_KEY: key.secretKey });
    const { endpoint } = await addresses;
    assert.equal((await sdkFor(endpoint, key).DescribeQuota(null)).QuotaSet?.length, 8);
    await failsWith("AuthFailure.SecretIdNotFound", sdkFor(endpoint).DescribeQuota(null));
    child.stdin.end();
    assert.deepEqual(await exited, [0, null]);
  });

  test("SIGTERM ends it cleanly", async (t) => {
    const { child, exited, addresses } = run(t);
    await addresses;
    child.kill("SIGTERM");
    assert.deepEqual(await exited, [0, null]);
  });
});
