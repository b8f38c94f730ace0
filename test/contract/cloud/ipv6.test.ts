import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { failsWith, withCloud } from "./fixture.ts";

const ORDER = { LoadBalancerType: "OPEN", AddressIPVersion: "IPv6FullChain", SubnetId: "subnet-1" };

/** Source: cloud.tencent.com/document/product/214/50011 and the ranges of HealthCheck in the API's model. */
suite("a load balancer that is IPv6 from end to end", () => {
  test("makes fewer kinds of checks, from its own address, every five seconds at most", async (t) => {
    const { sdk, done } = await withCloud(t, { dataPlane: false });
    const [LoadBalancerId = ""] = (await done(await sdk.CreateLoadBalancer(ORDER))).LoadBalancerIds ?? [];
    const create = (Protocol: string, HealthCheck: object) => sdk.CreateListener({ LoadBalancerId, Ports: [80], Protocol, HealthCheck });
    const http = { CheckType: "HTTP", HttpVersion: "HTTP/1.1", HttpCheckDomain: "a.example" };
    const custom = { CheckType: "CUSTOM", ContextType: "TEXT", SendContext: "ping", RecvContext: "pong" };
    await failsWith("InvalidParameterValue", create("TCP", http));
    await failsWith("InvalidParameterValue", create("TCP", custom));
    await failsWith("InvalidParameterValue", create("UDP", custom));
    await failsWith("InvalidParameterValue", create("TCP", { SourceIpType: 1 }));
    await failsWith("InvalidParameterValue.Range", create("TCP", { IntervalTime: 4 }));
    const [ListenerId = ""] = (await done(await create("TCP", { IntervalTime: 5 }))).ListenerIds ?? [];
    await failsWith("InvalidParameterValue.Range", sdk.ModifyListener({ LoadBalancerId, ListenerId, HealthCheck: { IntervalTime: 2 } }));
    const [shown] = (await sdk.DescribeListeners({ LoadBalancerId })).Listeners ?? [];
    assert.equal(shown?.HealthCheck?.SourceIpType, 0);
  });

  test("passes its traffic always", async (t) => {
    const { sdk, done } = await withCloud(t, { dataPlane: false });
    await failsWith("InvalidParameterValue", sdk.CreateLoadBalancer({ ...ORDER, LoadBalancerPassToTarget: false }));
    const [LoadBalancerId = ""] = (await done(await sdk.CreateLoadBalancer(ORDER))).LoadBalancerIds ?? [];
    assert.equal((await sdk.DescribeLoadBalancers({})).LoadBalancerSet?.[0]?.LoadBalancerPassToTarget, true);
    await failsWith("InvalidParameterValue", sdk.ModifyLoadBalancerAttributes({ LoadBalancerId, LoadBalancerPassToTarget: false }));
  });
});

test("an order says each tag once, and another zone for the standby", async (t) => {
  const { sdk } = await withCloud(t, { dataPlane: false });
  const tag = { TagKey: "team", TagValue: "a" };
  await failsWith("InvalidParameterValue.Duplicate", sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", Tags: [tag, tag] }));
  const zones = { MasterZoneId: "ap-guangzhou-1", SlaveZoneId: "ap-guangzhou-1" };
  await failsWith("InvalidParameterValue", sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", ...zones }));
});
