import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { makeCloud } from "../../cloud/cloud.ts";
import { alwaysHealthy } from "../../cloud/in-process.ts";
import { callsByAction, overlaps, targetTimes } from "../../cloud/journal/facts.ts";
import type { JournalEntry } from "../../cloud/journal/journal.ts";
import { PROFILES } from "../../cloud/runtime/options.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";
import { failsWith, withCloud } from "./fixture.ts";

const post = async (url: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> => {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};
const get = async <T>(url: string): Promise<T> => (await fetch(url)).json() as Promise<T>;
type Page = { readonly entries: JournalEntry[]; readonly lastSeq: number };

suite("admin pages", () => {
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
    const { entries, lastSeq } = await get<Page>(`${adminUrl}/journal?since=0`);
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
    assert.deepEqual((await get<Page>(`${adminUrl}/journal?since=${lastSeq - 1}`)).entries.length, 1);
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
});

test("the core answers in the same way without HTTP", async (t) => {
  const { cloud } = await withCloud(t);
  const made = await cloud.call("clb", "CreateLoadBalancer", { LoadBalancerType: "OPEN" });
  assert.equal(typeof made["RequestId"], "string");
  await failsWith("MissingParameter", cloud.call("clb", "CreateListener", {}));
});

suite("the journal", () => {
  test("tells of each call what was asked, how large it was, and how it ended", async (t) => {
    const { cloud, sdk, adminUrl, listener } = await withCloud(t, { dataPlane: false, health: "scripted" });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const ListenerId = await listener(LoadBalancerId, 80);
    const Targets = Array.from({ length: 50 }, (_, index) => ({ ListenerId, EniIp: `10.244.0.${index}`, Port: 80 }));
    await sdk.BatchRegisterTargets({ LoadBalancerId, Targets });
    const { entries } = await get<Page>(`${adminUrl}/journal?kind=call&action=BatchRegisterTargets`);
    const [call] = entries;
    assert.ok(call?.kind === "call" && entries.length === 1);
    const { service, isWrite, targets, bytes, code, caller, loadBalancerIds, lockWaitMs, faults } = call;
    assert.deepEqual([service, isWrite, targets, code, lockWaitMs, faults], ["clb", true, 50, "OK", 0, []]);
    assert.equal(bytes, JSON.stringify({ LoadBalancerId, Targets }).length);
    assert.match(caller, /^AKID/);
    assert.deepEqual(loadBalancerIds, [LoadBalancerId]);
    assert.ok(call.timeMs - call.startMs >= 39, "it lasted as long as its task");
  });

  test("tells of a load balancer that was changed: attributes, security groups, tags", async (t) => {
    const { cloud, sdk, done } = await withCloud(t, { dataPlane: false });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const changes = (): string =>
      cloud.journal
        .of("load-balancer")
        .map(({ change }) => change)
        .join();
    await done(await sdk.ModifyLoadBalancerAttributes({ LoadBalancerId, LoadBalancerName: "other" }));
    assert.equal(changes(), "created,modified");
    await sdk.SetLoadBalancerSecurityGroups({ LoadBalancerId, SecurityGroups: [] });
    assert.equal(changes(), "created,modified,modified");
    const ResourceList = [`qcs::clb:ap-guangzhou:uin/1:clb/${LoadBalancerId}`];
    await cloud.call("tag", "TagResources", { ResourceList, Tags: [{ TagKey: "a", TagValue: "b" }] });
    assert.equal(changes(), "created,modified,modified,modified");
    await done(await sdk.DeleteLoadBalancer({ LoadBalancerIds: [LoadBalancerId] }));
    assert.equal(changes(), "created,modified,modified,modified,deleted");
  });

  test("answers what it is asked: kind, action, caller, load balancer, code, time, page", async (t) => {
    const { cloud, adminUrl } = await withCloud(t, { dataPlane: false });
    const [one, other] = [cloud.addLoadBalancer().loadBalancerId, cloud.addLoadBalancer().loadBalancerId];
    for (const name of ["ann", "bob"])
      for (const LoadBalancerId of [one, other]) await cloud.call("clb", "DescribeListeners", { LoadBalancerId }, { name });
    await failsWith("InvalidParameter.LBIdNotFound", cloud.call("clb", "DescribeTargets", { LoadBalancerId: "lb-none" }, { name: "bob" }));
    const count = async (query: string): Promise<number> => (await get<Page>(`${adminUrl}/journal?${query}`)).entries.length;
    const lastMs = cloud.journal.of("call").at(-1)?.timeMs ?? 0;
    for (const [query, expected] of [
      ["", 7],
      ["kind=call", 5],
      ["kind=load-balancer", 2],
      ["action=DescribeTargets", 1],
      ["caller=bob", 3],
      ["caller=bob&action=DescribeListeners", 2],
      [`loadBalancer=${other}`, 3],
      ["code=InvalidParameter.LBIdNotFound", 1],
      [`from=${lastMs + 1}`, 0],
      [`until=${lastMs + 1}`, 7],
      ["since=3&limit=2", 2],
    ] as const)
      assert.equal(await count(query), expected, query);
    for (const [query, reason] of [
      ["acton=x", /no parameter acton; there are kind, action/],
      ["from=noon", /from must be a number from 0, got/],
      ["limit=-1", /limit must be a number from 0, got/],
      ["kind=calls", /kind must be one of call, fault, .*, got/],
    ] as const) {
      const response = await fetch(`${adminUrl}/journal?${query}`);
      assert.equal(response.status, 400);
      assert.match(await response.text(), reason);
    }
  });

  test("forgets the oldest entries, says how many, and leaves no number out", async (t) => {
    const { cloud, sdk } = await withCloud(t, { journalSize: 3 });
    const told: number[] = [];
    const unwatch = cloud.journal.watch(({ seq }) => void told.push(seq));
    for (let turn = 0; turn < 5; turn++) await sdk.DescribeQuota(null);
    const numbers = (since: number, limit?: number): number[] => cloud.journal.since(since, limit).map(({ seq }) => seq);
    assert.deepEqual([numbers(0), numbers(4), numbers(0, 2), numbers(5)], [[3, 4, 5], [5], [3, 4], []]);
    assert.equal(cloud.journal.dropped, 2);
    unwatch();
    await sdk.DescribeQuota(null);
    assert.deepEqual(told, [1, 2, 3, 4, 5]);
  });
});

suite("read from the journal:", () => {
  /** A virtual run with probes that always succeed; a batch takes 98 ms and 3680 ms. */
  const virtual = async (t: TestContext) => {
    const clock = makeVirtualClock();
    const profile = { ...PROFILES.tke2020, apiLatencyMs: { default: 98, write: 98, jitterPct: 0 } };
    const cloud = makeCloud({ clock, profile, probe: alwaysHealthy });
    t.after(() => cloud.stop());
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const call = (action: string, request: object) => cloud.call("clb", action, { LoadBalancerId, ...request });
    const created = await clock.run(call("CreateListener", { Ports: [80], Protocol: "TCP" }));
    const [ListenerId] = created["ListenerIds"] as string[];
    await clock.run(clock.sleep(5000));
    const targets = (...numbers: number[]) => ({
      Targets: numbers.map((number) => ({ ListenerId, EniIp: `10.244.0.${number}`, Port: 80 })),
    });
    return { clock, cloud, call, targets, LoadBalancerId, startMs: clock.now() };
  };

  test("writes that overlap, also where the first has answered and its task still runs", async (t) => {
    const { clock, cloud, call, targets, LoadBalancerId, startMs } = await virtual(t);
    await clock.run(call("BatchRegisterTargets", targets(1)));
    await clock.run(call("BatchRegisterTargets", targets(2)));
    assert.deepEqual(overlaps(cloud.journal.since(0)), [], "one after the other");
    const weights = {
      ModifyList: targets(1, 2).Targets.map(({ ListenerId, ...target }) => ({ ListenerId, Targets: [target], Weight: 0 })),
    };
    await clock.run(call("BatchModifyTargetWeight", weights)); // answers at once
    await failsWith("FailedOperation.ResourceInOperating", clock.run(call("BatchRegisterTargets", targets(3))));
    const atMs = startMs + 2 * 3778 + 98;
    assert.deepEqual(overlaps(cloud.journal.since(0)), [
      { loadBalancerId: LoadBalancerId, first: "BatchModifyTargetWeight", second: "BatchRegisterTargets", atMs },
    ]);
  });

  test("calls by action", async (t) => {
    const { clock, cloud, call, targets } = await virtual(t);
    await clock.run(call("BatchRegisterTargets", targets(1, 2, 3)));
    await failsWith("InvalidParameter.LBIdNotFound", clock.run(call("BatchRegisterTargets", { LoadBalancerId: "lb-none", ...targets(1) })));
    const facts = callsByAction(cloud.journal.since(0));
    assert.deepEqual(facts.get("BatchRegisterTargets"), { calls: 2, refused: 1, targets: 3, totalMs: 3778 + 98, longestMs: 3778 });
    assert.deepEqual([...facts.keys()], ["CreateListener", "BatchRegisterTargets"]);
  });

  test("when a target was bound, turned healthy and was unbound; one that came back is another stay", async (t) => {
    const { clock, cloud, call, targets, startMs } = await virtual(t);
    await clock.run(call("BatchRegisterTargets", targets(1)));
    await clock.run(clock.sleep(60_000));
    await clock.run(call("BatchDeregisterTargets", targets(1)));
    await clock.run(call("BatchRegisterTargets", targets(1)));
    const rows = targetTimes(cloud.journal.since(0)).map(({ boundMs, healthyMs, unboundMs }) => ({ boundMs, healthyMs, unboundMs }));
    const [first, second] = rows;
    assert.equal(rows.length, 2);
    assert.equal(first?.boundMs, startMs + 3778);
    const checkedMs = (first?.healthyMs ?? 0) - (first?.boundMs ?? 0);
    assert.ok(checkedMs >= 10_000 && checkedMs <= 15_000, `healthy after ${checkedMs} ms: three checks, 5 s apart`);
    assert.equal(first?.unboundMs, startMs + 3778 + 60_000 + 3778);
    assert.deepEqual(second, { boundMs: startMs + 3 * 3778 + 60_000, healthyMs: undefined, unboundMs: undefined });
  });
});
