import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { LIMITS } from "../cloud/options.ts";
import { failsWith, sdkFor, withCloud } from "./cloud-fixture.ts";

const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `id-${index}`);
const address = (index: number): string => `127.244.${Math.floor(index / 250)}.${(index % 250) + 1}`;
const targets = (count: number) => Array.from({ length: count }, (_, index) => ({ EniIp: address(index), Port: 80 }));
const batch = (count: number, ListenerId = "lbl-none") => targets(count).map((target) => ({ ...target, ListenerId }));
const lb = { LoadBalancerId: "lb-none" };
const place = { ...lb, ListenerId: "lbl-none" };

/** The load balancer does not exist: ids are looked at after lengths, so a request at the limit gets that far. */
const PER_CALL: readonly { action: string; limit: number; request: (count: number) => object; atLimit?: string }[] = [
  { action: "RegisterTargets", limit: 20, request: (count) => ({ ...place, Targets: targets(count) }) },
  { action: "DeregisterTargets", limit: 20, request: (count) => ({ ...place, Targets: targets(count) }) },
  { action: "BatchRegisterTargets", limit: 500, request: (count) => ({ ...lb, Targets: batch(count) }) },
  { action: "BatchDeregisterTargets", limit: 500, request: (count) => ({ ...lb, Targets: batch(count) }) },
  { action: "ModifyTargetWeight", limit: 100, request: (count) => ({ ...place, Targets: targets(count), Weight: 1 }) },
  {
    action: "BatchModifyTargetWeight", // entries
    limit: 100,
    request: (count) => ({ ...lb, ModifyList: ids(count).map((ListenerId) => ({ ListenerId, Targets: targets(1) })) }),
  },
  {
    action: "BatchModifyTargetWeight", // targets of one entry
    limit: 50,
    request: (count) => ({ ...lb, ModifyList: [{ ListenerId: "lbl-none", Targets: targets(count) }] }),
  },
  {
    action: "BatchModifyTargetWeight", // targets in all
    limit: 500,
    request: (count) => ({
      ...lb,
      ModifyList: Array.from({ length: Math.ceil(count / 50) }, (_, index) => ({
        ListenerId: `lbl-${index}`,
        Targets: targets(Math.min(50, count - index * 50)),
      })),
    }),
  },
  { action: "CreateListener", limit: 49, request: (count) => ({ ...lb, Protocol: "TCP", Ports: ids(count).map((_, index) => index + 1) }) },
  { action: "DeleteLoadBalancerListeners", limit: 20, request: (count) => ({ ...lb, ListenerIds: ids(count) }) },
  { action: "DescribeListeners", limit: 100, request: (count) => ({ ...lb, ListenerIds: ids(count) }) },
  { action: "DescribeTargets", limit: 20, request: (count) => ({ ...lb, ListenerIds: ids(count) }) },
  { action: "DescribeTargetHealth", limit: 30, request: (count) => ({ LoadBalancerIds: ids(count) }) },
  { action: "DeleteLoadBalancer", limit: 20, request: (count) => ({ LoadBalancerIds: ids(count) }) },
  { action: "DescribeLoadBalancers", limit: 20, request: (count) => ({ LoadBalancerIds: ids(count) }), atLimit: "OK" },
];

suite("per call", () => {
  for (const { action, limit, request, atLimit = "InvalidParameter.LBIdNotFound" } of PER_CALL)
    test(`${action} takes ${limit} and refuses ${limit + 1}`, async (t) => {
      const { sdk } = await withCloud(t);
      if (atLimit === "OK") await sdk.request(action, request(limit));
      else await failsWith(atLimit, sdk.request(action, request(limit)));
      await failsWith("InvalidParameterValue.Length", sdk.request(action, request(limit + 1)));
    });

  test("CreateLoadBalancer makes up to 20 with up to 20 tags", async (t) => {
    const { sdk } = await withCloud(t);
    const Tags = ids(20).map((TagKey) => ({ TagKey, TagValue: "x" }));
    assert.equal((await sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", Number: 20, Tags })).LoadBalancerIds?.length, 20);
    await failsWith("InvalidParameterValue.Range", sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", Number: 21 }));
    const more = [...Tags, { TagKey: "one more", TagValue: "x" }];
    await failsWith("InvalidParameterValue.Length", sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", Tags: more }));
  });
});

test("20 calls of one action pass in a second, the 21st does not; other actions and accounts are apart", async (t) => {
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
});

suite("quotas", () => {
  test("50 listeners fit on a load balancer", async (t) => {
    const { sdk, done, cloud } = await withCloud(t, { dataPlane: false });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const ports = Array.from({ length: 49 }, (_, index) => 8000 + index);
    await done(await sdk.CreateListener({ LoadBalancerId, Ports: ports, Protocol: "TCP" }));
    await failsWith("LimitExceeded", sdk.CreateListener({ LoadBalancerId, Ports: [1, 2], Protocol: "TCP" }));
    await done(await sdk.CreateListener({ LoadBalancerId, Ports: [1], Protocol: "TCP" }));
    await failsWith("LimitExceeded", sdk.CreateListener({ LoadBalancerId, Ports: [2], Protocol: "TCP" }));
  });

  test("200 targets fit on a listener; registering a bound one again counts twice", async (t) => {
    const { sdk, listener, cloud } = await withCloud(t, { dataPlane: false, health: "scripted" });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const first = await listener(LoadBalancerId, 80);
    await failsWith("LimitExceeded", sdk.BatchRegisterTargets({ LoadBalancerId, Targets: batch(201, first) }));
    await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: batch(199, first) });
    await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: batch(1, first) }); // bound already: accepted, nothing new
    assert.equal(cloud.state().loadBalancers[0]?.listeners[0]?.targets.length, 199);
    await failsWith("LimitExceeded", sdk.BatchRegisterTargets({ LoadBalancerId, Targets: batch(2, first) }));
  });

  test("a batch of 500 over three listeners is bound in one call", async (t) => {
    const { sdk, listener, cloud } = await withCloud(t, { dataPlane: false, health: "scripted" });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const [a, b, c] = [await listener(LoadBalancerId, 1), await listener(LoadBalancerId, 2), await listener(LoadBalancerId, 3)];
    const Targets = [...batch(200, a), ...batch(200, b), ...batch(100, c)];
    assert.deepEqual((await sdk.BatchRegisterTargets({ LoadBalancerId, Targets })).FailListenerIdSet, []);
    assert.deepEqual(
      cloud.state().loadBalancers[0]?.listeners.map((one) => one.targets.length),
      [200, 200, 100],
    );
  });

  test("100 public load balancers fit in an account", async (t) => {
    const { sdk, done, cloud } = await withCloud(t, { dataPlane: false });
    for (let made = 0; made < 99; made++) cloud.addLoadBalancer();
    await failsWith("LimitExceeded", sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", Number: 2 }));
    const ordered = await sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN" });
    await failsWith("LimitExceeded", sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN" }));
    await done(ordered);
    await failsWith("LimitExceeded", sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN" }));
    await sdk.CreateLoadBalancer({ LoadBalancerType: "INTERNAL", VpcId: "vpc-1", SubnetId: "subnet-1" });
  });
});
