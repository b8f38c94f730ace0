/** Where the evidence about an answer has two sides, the emulated cloud answers as published and has a switch for the other side. */
import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { type Cloud, makeCloud } from "../../cloud/cloud.ts";
import { CloudError } from "../../cloud/model/errors.ts";
import type { CloudOptions } from "../../cloud/runtime/options.ts";
import { QUICK } from "./fixture.ts";

/** A plain JSON value, looked into without types: what is tested is which fields there are. */
type Json = { readonly [name: string]: Json } & { readonly [index: number]: Json };
const fieldsOf = (value: unknown): string[] => Object.keys(Object(value)).toSorted();

function aCloud(t: TestContext, options: CloudOptions = {}) {
  const cloud: Cloud = makeCloud({ profile: QUICK, dataPlane: false, health: "scripted", ...options });
  t.after(() => cloud.stop());
  const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
  const call = async (action: string, request: object): Promise<Json> =>
    JSON.parse(JSON.stringify(await cloud.call("clb", action, { LoadBalancerId, ...request }, {})));
  /** The same for a write, until its task is over. */
  const done = async (action: string, request: object): Promise<Json> => {
    const answer = await call(action, request);
    const TaskId = answer["RequestId"];
    while ((await cloud.call("clb", "DescribeTaskStatus", { TaskId }, {}))["Status"] === 2)
      await new Promise((next) => setTimeout(next, 5));
    return answer;
  };
  const listener = async (Protocol: string, more: object = {}): Promise<Json | undefined> =>
    (await done("CreateListener", { Ports: [80], Protocol, ...more }))["ListenerIds"]?.[0];
  return { cloud, call, done, listener, LoadBalancerId };
}

suite("DescribeTargetHealth", () => {
  const RULES = [
    { layer4LocationId: "id", fields: ["Domain", "LocationId", "RuleId", "Targets", "Url"], id: /^"loc-\w{8}"$/ },
    { layer4LocationId: "empty", fields: ["Domain", "LocationId", "RuleId", "Targets", "Url"], id: /^""$/ },
    { layer4LocationId: "absent", fields: ["Targets"], id: undefined },
  ] as const;
  const always = ["HealthStatus", "IP", "Port", "TargetId"];
  const TARGETS = [
    { healthFields: "model", more: ["HealthStatusDetail", "HealthStatusDetial", "TargetGroupId", "Weight"] },
    { healthFields: "example", more: ["HealthStatusDetail"] },
    { healthFields: "deprecated", more: ["HealthStatusDetial"] },
    { healthFields: "boolean", more: [] },
  ] as const;
  const ask = async (t: TestContext, options: CloudOptions): Promise<Json | undefined> => {
    const { call, done, listener, LoadBalancerId } = aCloud(t, options);
    const ListenerId = await listener("TCP");
    await done("BatchRegisterTargets", { Targets: [{ ListenerId, EniIp: "10.244.0.1", Port: 80 }] });
    const answer = await call("DescribeTargetHealth", { LoadBalancerId: undefined, LoadBalancerIds: [LoadBalancerId] });
    return answer["LoadBalancers"]?.[0]?.["Listeners"]?.[0]?.["Rules"]?.[0];
  };
  for (const { layer4LocationId, fields, id } of RULES)
    test(`names the one rule of layer 4: ${layer4LocationId}`, async (t) => {
      const rule = await ask(t, { layer4LocationId });
      assert.deepEqual(fieldsOf(rule), fields);
      if (id !== undefined) assert.match(JSON.stringify(rule?.["LocationId"]), id);
    });
  for (const { healthFields, more } of TARGETS)
    test(`tells a target by the fields of: ${healthFields}`, async (t) => {
      const rule = await ask(t, { healthFields });
      assert.deepEqual(fieldsOf(rule?.["Targets"]?.[0]), [...always, ...more].toSorted());
    });
});

suite("health checks", () => {
  for (const [checkMethod, shown] of [
    ["lower", "get"],
    ["as sent", "GET"],
  ] as const)
    test(`are answered with the method ${checkMethod}`, async (t) => {
      const { call, done, listener } = aCloud(t, { checkMethod });
      const ListenerId = await listener("HTTP");
      const Rules = [{ Domain: "a.example", Url: "/", HealthCheck: { HttpCheckMethod: "GET" } }];
      await done("CreateRule", { ListenerId, Rules });
      const [read] = Object.values((await call("DescribeListeners", {}))["Listeners"] ?? {});
      const check = read?.["Rules"]?.[0]?.["HealthCheck"];
      assert.deepEqual([check?.["HttpCheckMethod"], check?.["CheckPort"], read?.["HealthCheck"]], [shown, null, null]);
    });

  const NEUTRAL = { HttpCheckPath: "", HttpCheckDomain: "", HttpCheckMethod: "", HttpVersion: "", ContextType: "", CheckPort: -1 };
  for (const protocol of ["TCP", "UDP", "tcp"])
    test(`take neutral empty values for none: ${protocol}`, async (t) => {
      const { call, done, listener } = aCloud(t);
      const HealthCheck = { HealthSwitch: 1, TimeOut: null, CheckType: "", ...NEUTRAL };
      const ListenerId = await listener(protocol, { HealthCheck });
      await done("ModifyListener", { ListenerId, HealthCheck: { ...HealthCheck, HealthNum: 4, IntervalTime: null } });
      const read = (await call("DescribeListeners", {}))["Listeners"]?.[0];
      assert.equal(read?.["Protocol"], protocol.toUpperCase());
      const { HealthNum, TimeOut, IntervalTime, HttpCheckPath, CheckPort, CheckType } = read?.["HealthCheck"] ?? {};
      assert.deepEqual(
        [HealthNum, TimeOut, IntervalTime, HttpCheckPath, CheckPort, CheckType],
        [4, 2, 5, null, null, protocol === "UDP" ? "PING" : "TCP"],
      );
    });

  test("of a rule take them as well", async (t) => {
    const { call, done, listener } = aCloud(t);
    const ListenerId = await listener("HTTP");
    await done("CreateRule", { ListenerId, Rules: [{ Domain: "a.example", Url: "/", HealthCheck: { HealthSwitch: 1, ...NEUTRAL } }] });
    const check = (await call("DescribeListeners", {}))["Listeners"]?.[0]?.["Rules"]?.[0]?.["HealthCheck"];
    assert.deepEqual([check?.["HttpCheckPath"], check?.["HttpCheckDomain"], check?.["HttpCheckMethod"]], ["/", "a.example", "head"]);
  });
});

suite("tasks and the lock", () => {
  for (const batchTasks of ["known", "unknown"] as const)
    test(`the RequestId of a batch call is ${batchTasks} as a task`, async (t) => {
      const { call, listener } = aCloud(t, { batchTasks });
      const ListenerId = await listener("TCP");
      const { RequestId: TaskId } = await call("BatchRegisterTargets", { Targets: [{ ListenerId, EniIp: "10.244.0.1", Port: 80 }] });
      const asked = call("DescribeTaskStatus", { LoadBalancerId: undefined, TaskId });
      if (batchTasks === "known") assert.equal((await asked)["Status"], 0);
      else await assert.rejects(asked, { code: "InvalidParameterValue" });
    });

  for (const taskLoadBalancerIds of ["filled", "null"] as const)
    test(`a task of a listener names its load balancer: ${taskLoadBalancerIds}`, async (t) => {
      const { call, done, LoadBalancerId } = aCloud(t, { taskLoadBalancerIds });
      const { RequestId: TaskId } = await done("CreateListener", { Ports: [80], Protocol: "TCP" });
      const { LoadBalancerIds } = await call("DescribeTaskStatus", { LoadBalancerId: undefined, TaskId });
      assert.deepEqual(LoadBalancerIds, taskLoadBalancerIds === "filled" ? [LoadBalancerId] : null);
    });

  for (const lockedCode of ["FailedOperation.ResourceInOperating", "InternalError"] as const)
    test(`a write that meets the lock is refused with ${lockedCode}`, async (t) => {
      const { call } = aCloud(t, { lockedCode });
      await call("CreateListener", { Ports: [80], Protocol: "TCP" });
      await assert.rejects(call("CreateListener", { Ports: [81], Protocol: "TCP" }), (error: unknown) => {
        assert.ok(error instanceof CloudError);
        assert.equal(error.code, lockedCode);
        return true;
      });
    });
});
