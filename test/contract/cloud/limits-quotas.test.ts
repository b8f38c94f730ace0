import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { LIMITS } from "../../cloud/runtime/options.ts";
import { EMULATED_ONLY } from "./contract.ts";
import { failsWith, hurried, sdkFor, withCloud } from "./fixture.ts";

const letters = (count: number): string => "a".repeat(count);
const address = (index: number): string => `10.244.${Math.floor(index / 250)}.${(index % 250) + 1}`;
const targets = (count: number, ListenerId: string) =>
  Array.from({ length: count }, (_, index) => ({ ListenerId, EniIp: address(index), Port: 80 }));

/** One load balancer on a cloud that opens no ports and probes nothing. */
async function start(t: TestContext, options: Parameters<typeof withCloud>[1] = {}) {
  const started = await withCloud(t, { dataPlane: false, health: "scripted", ...options });
  return { ...started, LoadBalancerId: started.cloud.addLoadBalancer().loadBalancerId };
}

suite("rate", EMULATED_ONLY, () => {
  test("20 calls of one action pass in a second, the 21st does not; other actions and accounts are apart, and the next second is new", async (t) => {
    const other = { secretId: "AKIDother", secretKey: "other" };
    const own = { secretId: "AKIDown", secretKey: "own" };
    const { endpoint } = await withCloud(t, { limits: LIMITS, keys: [own, other] });
    const sdk = sdkFor(endpoint, own);
    await sdk.DescribeLoadBalancers({}); // opens the connection
    await delay(1010 - (Date.now() % 1000)); // the cloud counts in whole seconds
    const results = await Promise.allSettled(Array.from({ length: 21 }, () => sdk.DescribeQuota(null)));
    const refused = results.filter((result) => result.status === "rejected");
    assert.equal(refused.length, 1);
    assert.match(String(refused[0]?.reason), /equals to `21` in a second, which exceeds the frequency limit `20`/);
    await sdk.DescribeLoadBalancers({});
    await sdkFor(endpoint, other).DescribeQuota(null);
    await delay(1010 - (Date.now() % 1000));
    await sdk.DescribeQuota(null);
  });
});

suite("keys of one account", EMULATED_ONLY, () => {
  test("share its rate", async (t) => {
    const keys = ["one", "two"].map((secretKey) => ({ secretId: `AKID${secretKey}`, secretKey, account: "100000000001" }));
    const { endpoint } = await withCloud(t, { limits: { ...LIMITS, clbPerSecond: 2 }, keys });
    const clients = keys.map((key) => sdkFor(endpoint, key));
    for (const sdk of clients) await sdk.DescribeLoadBalancers({});
    await delay(1010 - (Date.now() % 1000));
    const results = await Promise.allSettled(clients.flatMap((sdk) => [sdk.DescribeQuota(null), sdk.DescribeQuota(null)]));
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 2);
  });
});

suite("quotas", EMULATED_ONLY, () => {
  test("50 listeners fit on a load balancer", async (t) => {
    const { sdk, done, LoadBalancerId } = await start(t);
    const create = (Ports: number[]) => sdk.CreateListener({ LoadBalancerId, Ports, Protocol: "TCP" });
    await done(await create(Array.from({ length: 49 }, (_, index) => 8000 + index)));
    await failsWith("LimitExceeded", create([1, 2]));
    await done(await create([1]));
    await failsWith("LimitExceeded", create([2]));
  });

  test("50 rules fit in a listener, and another listener has room of its own", async (t) => {
    const { sdk, done, LoadBalancerId } = await start(t, { limits: { createRules: 50 } });
    const made = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [80, 81], Protocol: "HTTP" }));
    const [first = "", second = ""] = made.ListenerIds ?? [];
    const create = (ListenerId: string, from: number, count: number) =>
      sdk.CreateRule({
        LoadBalancerId,
        ListenerId,
        Rules: Array.from({ length: count }, (_, index) => ({ Domain: "a.example", Url: `/${from + index}` })),
      });
    await done(await create(first, 0, 49));
    await failsWith("LimitExceeded", create(first, 100, 2));
    await done(await create(first, 100, 1));
    await failsWith("LimitExceeded", create(first, 200, 1));
    await done(await create(second, 0, 50));
  });

  test("200 targets fit on a listener; registering a bound one again counts twice", async (t) => {
    const { sdk, listener, cloud, LoadBalancerId } = await start(t);
    const first = await listener(LoadBalancerId, 80);
    const register = (count: number) => sdk.BatchRegisterTargets({ LoadBalancerId, Targets: targets(count, first) });
    await failsWith("LimitExceeded", register(201));
    await register(199);
    await register(1); // bound already: accepted, nothing new
    assert.equal(cloud.state().loadBalancers[0]?.listeners[0]?.targets.length, 199);
    await failsWith("LimitExceeded", register(2));
  });

  test("200 targets fit in each rule of a listener", async (t) => {
    const { sdk, done, cloud, LoadBalancerId } = await start(t);
    const made = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [80], Protocol: "HTTP" }));
    const ListenerId = made.ListenerIds?.[0] ?? "";
    const Rules = ["/a", "/b"].map((Url) => ({ Domain: "a.example", Url }));
    const { LocationIds = [] } = await done(await sdk.CreateRule({ LoadBalancerId, ListenerId, Rules }));
    const [first = "", second = ""] = LocationIds;
    const register = (LocationId: string, count: number) =>
      sdk.BatchRegisterTargets({ LoadBalancerId, Targets: targets(count, ListenerId).map((one) => ({ ...one, LocationId })) });
    await register(first, 200);
    await failsWith("LimitExceeded", register(first, 1));
    await register(second, 200);
    assert.deepEqual(
      cloud.state().loadBalancers[0]?.listeners[0]?.rules.map((one) => one.targets.length),
      [200, 200],
    );
  });

  test("a batch of 500 over three listeners is bound in one call", async (t) => {
    const { sdk, listener, cloud, LoadBalancerId } = await start(t);
    const [a, b, c] = [await listener(LoadBalancerId, 1), await listener(LoadBalancerId, 2), await listener(LoadBalancerId, 3)];
    const Targets = [...targets(200, a), ...targets(200, b), ...targets(100, c)];
    assert.deepEqual((await sdk.BatchRegisterTargets({ LoadBalancerId, Targets })).FailListenerIdSet, []);
    assert.deepEqual(
      cloud.state().loadBalancers[0]?.listeners.map((one) => one.targets.length),
      [200, 200, 100],
    );
  });

  test("100 public and 100 private load balancers fit in an account; what is ordered counts", async (t) => {
    const { sdk, done, cloud } = await withCloud(t, { dataPlane: false });
    const open = { LoadBalancerType: "OPEN" };
    const internal = { LoadBalancerType: "INTERNAL", VpcId: "vpc-1", SubnetId: "subnet-1" };
    for (const [type, request] of [
      ["OPEN", open],
      ["INTERNAL", internal],
    ] as const) {
      for (let made = 0; made < 99; made++) cloud.addLoadBalancer({ type });
      await failsWith("LimitExceeded", sdk.CreateLoadBalancer({ ...request, Number: 2 }));
      const ordered = await sdk.CreateLoadBalancer(request);
      await failsWith("LimitExceeded", sdk.CreateLoadBalancer(request));
      await done(ordered);
      await failsWith("LimitExceeded", sdk.CreateLoadBalancer(request));
    }
  });

  test("5 security groups fit on a load balancer", async (t) => {
    const { sdk, LoadBalancerId } = await start(t);
    const set = (count: number) =>
      sdk.SetLoadBalancerSecurityGroups({ LoadBalancerId, SecurityGroups: Array.from({ length: count }, (_, index) => `sg-${index}`) });
    await set(5);
    await failsWith("LimitExceeded", set(6));
  });

  test("DescribeQuota tells what this cloud allows", async (t) => {
    const { sdk } = await start(t, { limits: { rulesPerListener: 400, targetsPerPlace: 100 } });
    const { QuotaSet = [] } = await sdk.DescribeQuota(null);
    assert.deepEqual(Object.fromEntries(QuotaSet.map(({ QuotaId, QuotaCurrent, QuotaLimit }) => [QuotaId, [QuotaCurrent, QuotaLimit]])), {
      TOTAL_OPEN_CLB_QUOTA: [1, 100],
      TOTAL_INTERNAL_CLB_QUOTA: [0, 100],
      TOTAL_LISTENER_QUOTA: [null, 50],
      TOTAL_LISTENER_RULE_QUOTA: [null, 400],
      TOTAL_TARGET_BIND_QUOTA: [null, 100],
      TOTAL_SNAT_IP_QUOTA: [null, 10],
      TOTAL_ISP_CLB_QUOTA: [null, 15],
      TOTAL_FULL_PORT_RANGE_LISTENER_QUOTA: [null, 1],
    });
  });
});

suite("orders of load balancers", EMULATED_ONLY, () => {
  const internet = (InternetMaxBandwidthOut: number) => ({ InternetAccessible: { InternetMaxBandwidthOut } });
  const list = (count: number): string[] => Array.from({ length: count }, (_, index) => `id-${index}`);
  /** Fields of CreateLoadBalancer with the last good value, one past it, and the refusal. */
  const rows: readonly { readonly of: string; readonly most: object; readonly past: object; readonly refusal: "Range" | "Length" }[] = [
    { of: "20 at once", most: { Number: 20 }, past: { Number: 21 }, refusal: "Range" },
    {
      of: "20 tags",
      most: { Tags: list(20).map((TagKey) => ({ TagKey, TagValue: "x" })) },
      past: { Tags: list(21).map((TagKey) => ({ TagKey, TagValue: "x" })) },
      refusal: "Length",
    },
    {
      of: "10 SNAT addresses",
      most: { SnatPro: true, SnatIps: list(10).map((SubnetId) => ({ SubnetId })) },
      past: { SnatPro: true, SnatIps: list(11).map((SubnetId) => ({ SubnetId })) },
      refusal: "Length",
    },
    { of: "a name of 80", most: { LoadBalancerName: letters(80) }, past: { LoadBalancerName: letters(81) }, refusal: "Length" },
    { of: "a token of 64", most: { ClientToken: letters(64) }, past: { ClientToken: letters(65) }, refusal: "Length" },
    { of: "2048 Mbit/s for a shared one", most: internet(2048), past: internet(2049), refusal: "Range" },
    {
      of: "61440 Mbit/s with a specification",
      most: { SlaType: "clb.c2.medium", ...internet(61_440) },
      past: { SlaType: "clb.c2.medium", ...internet(61_441) },
      refusal: "Range",
    },
  ];
  for (const { of, most, past, refusal } of rows)
    test(`${of}, and not one more`, async (t) => {
      const { sdk } = await withCloud(t);
      assert.ok((await sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", ...most })).LoadBalancerIds?.length);
      await failsWith(`InvalidParameterValue.${refusal}`, sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", ...past }));
    });
});

suite("deletion guards", EMULATED_ONLY, () => {
  test("19 backends go with their load balancer, 20 need force", async (t) => {
    const { sdk, done, listener, LoadBalancerId } = await start(t);
    const ListenerId = await listener(LoadBalancerId, 80);
    await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: targets(20, ListenerId) });
    const all = { LoadBalancerIds: [LoadBalancerId] };
    await failsWith("FailedOperation.TargetNumCheckRisk", sdk.DeleteLoadBalancer(all));
    await sdk.BatchDeregisterTargets({ LoadBalancerId, Targets: targets(1, ListenerId) });
    await done(await sdk.DeleteLoadBalancer(all));
    assert.equal((await sdk.DescribeLoadBalancers({})).TotalCount, 0);
  });

  test("force passes the number of backends, not the protection", async (t) => {
    const { sdk, done, listener, LoadBalancerId } = await start(t);
    const ListenerId = await listener(LoadBalancerId, 80);
    await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: targets(20, ListenerId) });
    const forced = { LoadBalancerIds: [LoadBalancerId], ForceDelete: true };
    await done(await sdk.ModifyLoadBalancerAttributes({ LoadBalancerId, DeleteProtect: true }));
    await failsWith("FailedOperation", sdk.DeleteLoadBalancer(forced));
    await done(await sdk.ModifyLoadBalancerAttributes({ LoadBalancerId, DeleteProtect: false }));
    await done(await sdk.DeleteLoadBalancer(forced));
  });

  test("30 deletions in five minutes are enough; then it waits", async (t) => {
    const { sdk, done, cloud } = await withCloud(t, { dataPlane: false });
    const made = Array.from({ length: 31 }, () => cloud.addLoadBalancer().loadBalancerId);
    for (const batch of [made.slice(0, 20), made.slice(20, 30)]) await done(await sdk.DeleteLoadBalancer({ LoadBalancerIds: batch }));
    const last = { LoadBalancerIds: made.slice(30), ForceDelete: true };
    await failsWith("FailedOperation.FrequencyCheckRisk", sdk.DeleteLoadBalancer(last));
  });

  test("five minutes later they are forgotten", async (t) => {
    const clock = hurried(3000); // five minutes in 100 ms
    const { sdk, cloud } = await withCloud(t, { dataPlane: false, clock, limits: { deleteGuardCount: 1 } });
    const [first = "", second = ""] = Array.from({ length: 2 }, () => cloud.addLoadBalancer().loadBalancerId);
    await sdk.DeleteLoadBalancer({ LoadBalancerIds: [first] });
    await failsWith("FailedOperation.FrequencyCheckRisk", sdk.DeleteLoadBalancer({ LoadBalancerIds: [second] }));
    await delay(120);
    await sdk.DeleteLoadBalancer({ LoadBalancerIds: [second] });
  });
});
