/** Answers as the vendor's examples show them, where the emulated cloud once answered otherwise (published-differences.md, part A). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { makeClbApi } from "../../../coordinator/cloud/clb-api.ts";
import { RateLimit } from "../../../coordinator/cloud/rate-limit.ts";
import { planLoadBalancer } from "../../../coordinator/domain/plan/plan-load-balancer.ts";
import type { Holder } from "../../../coordinator/domain/plan/plan-targets.ts";
import { aDesired, aLoadBalancer, aWantedHttpListener, aWantedRule, CLUSTER } from "../../builders.ts";
import { aFakeClock } from "../pods.ts";

const { signal } = new AbortController();
const holderOf = (): Holder => ({ kind: "foreign" });
const AT_REST = { clusterId: CLUSTER, holderOf, serving: () => true, drained: () => false } as const;

/** Answers each action with what is given, after 50 ms. */
function aCloud(answers: Readonly<Record<string, object>>) {
  const clock = aFakeClock(0);
  const asked: string[] = [];
  const transport = async (_service: string, action: string): Promise<unknown> => {
    asked.push(action);
    await clock.sleep(50);
    return { RequestId: "req-1", ...answers[action] };
  };
  const api = makeClbApi({ transport, clock, rateLimit: new RateLimit(clock, { perSecond: 1_000, pauseAfterThrottlingMs: 1_000 }) });
  const finish = async <T>(work: Promise<T>): Promise<T> => {
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    await clock.advance(30_000);
    await settled;
    return await work;
  };
  return { api, asked, finish };
}

suite("health of targets", () => {
  type Said = { readonly HealthStatus?: boolean; readonly HealthStatusDetail?: string | null; readonly HealthStatusDetial?: string };
  const read = async (protocol: string, rule: object, said: Said = { HealthStatusDetail: "Alive" }): Promise<unknown[]> => {
    const targets = [{ IP: "172.16.0.12", Port: 80, TargetId: "ins-19425y2y", ...said }];
    const listener = { ListenerId: "lbl-1", ListenerName: "n", Protocol: protocol, Port: 80, Rules: [{ ...rule, Targets: targets }] };
    const cloud = aCloud({ DescribeTargetHealth: { LoadBalancers: [{ LoadBalancerId: "lb-1", Listeners: [listener] }] } });
    return [...((await cloud.finish(cloud.api.health(["lb-1"], signal))).get("lb-1") ?? [])];
  };

  const NAMELESS = [
    { name: "an id that only this answer has", rule: { LocationId: "loc-ewygg6i0", Domain: null, Url: null } },
    { name: "an empty id", rule: { LocationId: "", Domain: null, Url: null } },
    { name: "nothing but targets, as in a sister service", rule: {} },
  ];
  for (const protocol of ["TCP", "UDP", "TCP_SSL", "QUIC"])
    for (const { name, rule } of NAMELESS)
      test(`is that of the listener for ${protocol}, whose one rule has ${name}`, async () => {
        assert.deepEqual(await read(protocol, rule), [["lbl-1 172.16.0.12:80", "Alive"]]);
      });

  for (const protocol of ["HTTP", "HTTPS"])
    test(`is that of the rule for ${protocol}`, async () => {
      const rule = { LocationId: "loc-1", Domain: "www.123.com", Url: "/service" };
      assert.deepEqual(await read(protocol, rule), [["lbl-1/loc-1 172.16.0.12:80", "Alive"]]);
    });

  const SAID: readonly { readonly said: Said; readonly state: string }[] = [
    { said: { HealthStatus: true }, state: "Alive" },
    { said: { HealthStatus: true, HealthStatusDetail: null }, state: "Alive" },
    { said: { HealthStatus: false }, state: "Unknown" }, // dead or not probed yet: nobody can tell
    { said: { HealthStatus: true, HealthStatusDetail: "Dead" }, state: "Dead" }, // a published target is like this
    { said: { HealthStatus: true, HealthStatusDetial: "Dead" }, state: "Dead" },
    { said: { HealthStatus: true, HealthStatusDetail: "Close" }, state: "Close" },
    { said: { HealthStatus: true, HealthStatusDetail: "a word of tomorrow" }, state: "Unknown" },
    { said: {}, state: "Unknown" },
  ];
  for (const { said, state } of SAID)
    test(`is ${state} where the cloud says ${JSON.stringify(said)}`, async () => {
      assert.deepEqual(await read("TCP", {}, said), [["lbl-1 172.16.0.12:80", state]]);
    });
});

suite("a health check", () => {
  const RULE_CHECK = { HealthSwitch: 1, TimeOut: 5, IntervalTime: 5, HealthNum: 3, UnHealthNum: 3, HttpCheckPath: "/" };
  const RULE = { LocationId: "loc-1", Domain: "www.123.com", Url: "/", Scheduler: "WRR" };
  /** A layer-7 listener as published: what rules have is null on the listener. */
  const listenersWith = async (check: object) => {
    const listener = { ListenerId: "lbl-1", ListenerName: "n", Protocol: "HTTP", Port: 80, HealthCheck: null, Scheduler: null };
    const Rules = [{ ...RULE, HealthCheck: { ...RULE_CHECK, CheckPort: null, ...check } }];
    const cloud = aCloud({ DescribeListeners: { TotalCount: 1, Listeners: [{ ...listener, Rules }] }, DescribeTargets: { Listeners: [] } });
    return await cloud.finish(cloud.api.listeners("lb-1", () => true, signal));
  };

  for (const [said, read] of [
    ["get", "GET"],
    ["head", "HEAD"],
    ["Get", "GET"],
    ["GET", "GET"],
    ["", undefined],
    [null, undefined],
    ["post", undefined],
  ] as const)
    test(`is read with method ${read} where the cloud says ${said}`, async () => {
      const [listener] = await listenersWith({ HttpCheckMethod: said });
      assert.equal(listener?.rules[0]?.healthCheck.httpMethod, read);
    });

  test("that asks by a method as wished is changed by no plan, whatever its case; on the listener of layer 7 it is null", async () => {
    const rule = aWantedRule({ domain: "www.123.com", healthCheck: { httpMethod: "GET", intervalSeconds: 5 } });
    const desired = aDesired({ listeners: [aWantedHttpListener({ rules: [rule] })] });
    const { name } = aWantedHttpListener();
    const listeners = (await listenersWith({ HttpCheckMethod: "get" })).map((one) => ({ ...one, name }));
    assert.deepEqual(planLoadBalancer({ ...AT_REST, desired, actual: aLoadBalancer({ listeners }) }).calls, []);
  });
});

suite("a load balancer", () => {
  const PUBLISHED = {
    LoadBalancerId: "lb-1",
    Status: 1,
    LoadBalancerVips: ["119.0.0.51"],
    AddressIPv6: null,
    Domain: "",
    LoadBalancerDomain: "",
  };
  for (const { name, said, facts } of [
    { name: "that runs has its address", said: {}, facts: { running: true, vips: ["119.0.0.51"] } },
    { name: "that is being created may have none", said: { Status: 0, LoadBalancerVips: [] }, facts: { running: false, vips: [] } },
    {
      name: "that is being created may have null for one",
      said: { Status: 0, LoadBalancerVips: null },
      facts: { running: false, vips: [] },
    },
    { name: "may have an empty address", said: { LoadBalancerVips: [""], AddressIPv6: "" }, facts: { running: true, vips: [] } },
    {
      name: "of IPv6 has its address in a field of its own",
      said: { LoadBalancerVips: [], AddressIPv6: "2402:4e00::1", AddressIPVersion: "ipv6" },
      facts: { running: true, vips: ["2402:4e00::1"], order: { AddressIPVersion: "ipv6" } },
    },
  ])
    test(name, async () => {
      const cloud = aCloud({ DescribeLoadBalancers: { TotalCount: 1, LoadBalancerSet: [{ ...PUBLISHED, ...said }] } });
      const read = await cloud.finish(cloud.api.loadBalancer("lb-1", signal));
      assert.deepEqual(read, { loadBalancerId: "lb-1", domain: undefined, tags: {}, ...facts });
    });
});

suite("a task", () => {
  const WISH = { name: "web", clientToken: "t", clusterId: CLUSTER, ownerUid: "uid", vpcId: undefined, subnetId: undefined };
  for (const LoadBalancerIds of [["lb-1"], [], null, undefined])
    test(`of an order that names ${JSON.stringify(LoadBalancerIds)} gives the load balancer of the answer`, async () => {
      const cloud = aCloud({ CreateLoadBalancer: { LoadBalancerIds: ["lb-1"] }, DescribeTaskStatus: { Status: 0, LoadBalancerIds } });
      assert.equal(await cloud.finish(cloud.api.createLoadBalancer(WISH, signal)), "lb-1");
    });

  test("that names its load balancer is enough where the answer of the order names none", async () => {
    const cloud = aCloud({ CreateLoadBalancer: { LoadBalancerIds: null }, DescribeTaskStatus: { Status: 0, LoadBalancerIds: ["lb-1"] } });
    assert.equal(await cloud.finish(cloud.api.createLoadBalancer(WISH, signal)), "lb-1");
  });

  test("of a rule names a load balancer, and no message where it fails", async () => {
    const cloud = aCloud({ DescribeTaskStatus: { Status: 1, LoadBalancerIds: ["lb-1"] } });
    const failed = cloud.finish(cloud.api.deleteRules("lb-1", "lbl-1", ["loc-1"], signal));
    await assert.rejects(failed, /TaskFailed: no reason given$/);
  });
});

suite("listeners and targets", () => {
  const LISTENER = { ListenerId: "lbl-1", ListenerName: "n", Protocol: "TCP", Port: 666, Rules: null };
  test("are read with every kind of backend, as the examples show them", async () => {
    const shown = { Port: 666, Weight: 40, PublicIpAddresses: null, RegisteredTime: "2019-07-12 16:22:54", InstanceName: "" };
    const Targets = [
      { ...shown, Type: "cvm", EniId: "", InstanceId: "ins-19425y2y", PrivateIpAddresses: ["172.16.0.12"] },
      { ...shown, Type: "CVM", EniId: "eni-12345678", InstanceId: "ins-12345678", PrivateIpAddresses: ["172.16.0.100"] },
      { ...shown, Type: "ENI", EniId: "eni-12345678", InstanceId: "", PrivateIpAddresses: ["172.16.0.101"], Tag: null, Zone: null },
    ];
    const told = { ListenerId: "lbl-1", Protocol: "TCP", Port: 666, EndPort: 0, Rules: null, Targets };
    const cloud = aCloud({ DescribeListeners: { TotalCount: 1, Listeners: [LISTENER] }, DescribeTargets: { Listeners: [told] } });
    const [listener] = await cloud.finish(cloud.api.listeners("lb-1", () => true, signal));
    assert.deepEqual(
      listener?.targets,
      ["172.16.0.12", "172.16.0.100", "172.16.0.101"].map((ip) => ({ ip, port: 666, weight: 40 })),
    );
  });

  test("that an answer tells in part are not taken for all", async () => {
    const cloud = aCloud({ DescribeListeners: { TotalCount: 21, Listeners: [LISTENER] } });
    const read = cloud.finish(cloud.api.listeners("lb-1", () => true, signal));
    await assert.rejects(read, /IncompleteAnswer: 1 of 21 listeners of lb-1 were told$/);
  });

  test("have the limits that are named; the others are not known", async () => {
    const QuotaSet = [
      { QuotaId: "TOTAL_OPEN_CLB_QUOTA", QuotaCurrent: 2, QuotaLimit: 100 },
      { QuotaId: "TOTAL_LISTENER_QUOTA", QuotaCurrent: null, QuotaLimit: 50 },
      { QuotaId: "TOTAL_TARGET_BIND_QUOTA", QuotaCurrent: null, QuotaLimit: 50 },
    ];
    const cloud = aCloud({ DescribeQuota: { QuotaSet } });
    assert.deepEqual(await cloud.finish(cloud.api.quotas(signal)), {
      listenersPerLoadBalancer: 50,
      rulesPerListener: undefined,
      targetsPerPlace: 50,
    });
  });
});
