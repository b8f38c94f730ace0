import assert from "node:assert/strict";
import { suite } from "node:test";
import type { CreateRuleRequest, RuleInput, RuleOutput } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { changing, type World } from "./contract.ts";
import { failsWith } from "./fixture.ts";

const DOMAIN = "a.example.com";

/** A listener of layer 7 with these rules on a load balancer of its own. */
async function start(world: World, Rules: RuleInput[] = []) {
  const { sdk, done } = world;
  const LoadBalancerId = await world.loadBalancer();
  const made = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [8080], Protocol: "HTTP" }));
  const ListenerId = made.ListenerIds?.[0] ?? "";
  const place = { LoadBalancerId, ListenerId };
  const create = (...more: CreateRuleRequest["Rules"]) => sdk.CreateRule({ ...place, Rules: more });
  const rules = async (): Promise<RuleOutput[]> => (await sdk.DescribeListeners({ LoadBalancerId })).Listeners?.[0]?.Rules ?? [];
  const ids = Rules.length === 0 ? [] : ((await done(await create(...Rules))).LocationIds ?? []);
  /** E.g. ["a.example.com/ *", "b.example.com/"]; the star is the default domain. */
  const shown = async () => (await rules()).map(({ Domain, Url, DefaultServer }) => `${Domain}${Url}${DefaultServer === true ? " *" : ""}`);
  return { ...world, LoadBalancerId, ListenerId, place, create, rules, shown, ids };
}

suite("rules", () => {
  changing("they are created in the order of the request and say everything about themselves", async (world) => {
    const { rules, ids, ListenerId } = await start(world, [
      { Domain: DOMAIN, Url: "/" },
      { Domain: DOMAIN, Url: "/api", Scheduler: "LEAST_CONN", HealthCheck: { IntervalTime: 10, HttpCheckPath: "/live" } },
    ]);
    const [first, second] = await rules();
    assert.deepEqual([first?.LocationId, second?.LocationId], ids);
    assert.deepEqual(
      [first?.ListenerId, first?.Domain, first?.Domains, first?.Url, first?.Scheduler, first?.ForwardType, first?.SessionExpireTime],
      [ListenerId, DOMAIN, [DOMAIN], "/", "WRR", "HTTP", 0],
    );
    assert.deepEqual([first?.HealthCheck?.CheckType, first?.HealthCheck?.HttpCheckDomain, first?.Http2], ["HTTP", DOMAIN, false]);
    assert.deepEqual(
      [second?.Scheduler, second?.HealthCheck?.IntervalTime, second?.HealthCheck?.HttpCheckPath],
      ["LEAST_CONN", 10, "/live"],
    );
  });

  changing("a rule is unique by domain and URL, within a request and within its listener", async (world) => {
    const { create, shown } = await start(world, [{ Domain: DOMAIN, Url: "/" }]);
    await failsWith("InvalidParameterValue.Duplicate", create({ Domain: DOMAIN, Url: "/" }));
    await failsWith("InvalidParameterValue.Duplicate", create({ Domain: DOMAIN, Url: "/x" }, { Domain: DOMAIN, Url: "/x" }));
    await failsWith("InvalidParameterValue.Duplicate", create({ Domains: ["b.example.com", DOMAIN], Url: "/" }));
    assert.deepEqual(await shown(), ["a.example.com/ *"]);
  });

  changing("a rule may have several domains, and none means the address of the load balancer", async (world) => {
    const { sdk, create, rules, done, LoadBalancerId } = await start(world);
    await done(await create({ Domains: ["a.example.com", "b.example.com"], Url: "/" }, { Url: "/" }));
    const [first, second] = await rules();
    assert.deepEqual([first?.Domain, first?.Domains], ["a.example.com", ["a.example.com", "b.example.com"]]);
    const [loadBalancer] = (await sdk.DescribeLoadBalancers({ LoadBalancerIds: [LoadBalancerId] })).LoadBalancerSet ?? [];
    assert.equal(second?.Domain, loadBalancer?.LoadBalancerVips?.[0]);
    await failsWith("InvalidParameter", create({ Domain: "c.example.com", Domains: ["d.example.com"], Url: "/" }));
  });

  changing("domains and URLs have their forms", async (world) => {
    const { create, done } = await start(world);
    await done(
      await create(
        { Domain: "*.example.com", Url: "/", HealthCheck: { HttpCheckDomain: DOMAIN } },
        { Domain: "www.example.*", Url: "= /exact", HealthCheck: { HttpCheckDomain: DOMAIN } },
        { Domain: "~^app[0-9]+\\.example\\.com$", Url: "~* \\.png$", HealthCheck: { HttpCheckDomain: DOMAIN } },
        { Domain: "a_b.example.com", Url: "^~ /static" },
      ),
    );
    for (const Domain of ["A.example.com", "*.*.example.com", "a.*.com", "a b", "~(", "a/b"])
      await failsWith("InvalidParameter.FormatError", create({ Domain, Url: "/" }));
    for (const Url of ["api", "?x", "~(", "/a b"]) await failsWith("InvalidParameter.FormatError", create({ Domain: DOMAIN, Url }));
    await failsWith("InvalidParameterValue", create({ Domain: "*.other.com", Url: "/" })); // who would be asked?
  });

  changing("a rule is modified one at a time; what is not given stays", async (world) => {
    const { sdk, done, place, rules, ids } = await start(world, [
      { Domain: DOMAIN, Url: "/a", HealthCheck: { HealthNum: 4 } },
      { Domain: DOMAIN, Url: "/b" },
    ]);
    const [LocationId = ""] = ids;
    const change = { Url: "/c", Scheduler: "IP_HASH", SessionExpireTime: 30, HealthCheck: { UnHealthNum: 5 } };
    await done(await sdk.ModifyRule({ ...place, LocationId, ...change }));
    const [first] = await rules();
    assert.deepEqual(
      [first?.Url, first?.Scheduler, first?.SessionExpireTime, first?.HealthCheck?.HealthNum, first?.HealthCheck?.UnHealthNum],
      ["/c", "IP_HASH", 30, 4, 5],
    );
    await failsWith("InvalidParameterValue.Duplicate", sdk.ModifyRule({ ...place, LocationId, Url: "/b" }));
    await failsWith("InvalidParameter.LocationNotFound", sdk.ModifyRule({ ...place, LocationId: "loc-00000000", Url: "/d" }));
  });

  changing("session persistence goes with WRR and IP_HASH, not with LEAST_CONN", async (world) => {
    const { sdk, done, create, place } = await start(world);
    const made = await done(
      await create(
        { Domain: DOMAIN, Url: "/a", SessionExpireTime: 60 },
        { Domain: DOMAIN, Url: "/b", SessionExpireTime: 60, Scheduler: "IP_HASH" },
      ),
    );
    const bad = { Scheduler: "LEAST_CONN", SessionExpireTime: 60 };
    await failsWith("InvalidParameterValue", create({ Domain: DOMAIN, Url: "/c", ...bad }));
    const [LocationId = ""] = made.LocationIds ?? [];
    await failsWith("InvalidParameterValue", sdk.ModifyRule({ ...place, LocationId, Scheduler: "LEAST_CONN" }));
  });

  changing("what needs HTTPS is refused on HTTP, and layer 4 has no rules", async (world) => {
    const { sdk, done, create, LoadBalancerId } = await start(world);
    for (const more of [{ Http2: true }, { Quic: true }, { ForwardType: "HTTPS" }, { HealthCheck: { CheckType: "HTTPS" } }])
      await failsWith("InvalidParameterValue", create({ Domain: DOMAIN, Url: "/", ...more }));
    const made = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [81], Protocol: "TCP" }));
    const ListenerId = made.ListenerIds?.[0] ?? "";
    const refused = sdk.CreateRule({ LoadBalancerId, ListenerId, Rules: [{ Domain: DOMAIN, Url: "/" }] });
    await failsWith("InvalidParameter.ProtocolCheckFailed", refused);
  });

  changing("they go by id, by domain and URL, or with their whole domain", async (world) => {
    const paths = ["/1", "/2", "/3", "/4"].map((Url) => ({ Domain: DOMAIN, Url }));
    const { sdk, done, place, shown, ids } = await start(world, [...paths, { Domain: "b.example.com", Url: "/" }]);
    await done(await sdk.DeleteRule({ ...place, LocationIds: ids.slice(0, 1) }));
    await done(await sdk.DeleteRule({ ...place, Domain: DOMAIN, Url: "/3" }));
    assert.deepEqual(await shown(), ["a.example.com/2 *", "a.example.com/4 *", "b.example.com/"]);
    await failsWith("InvalidParameter.LocationNotFound", sdk.DeleteRule({ ...place, LocationIds: ids.slice(0, 2) }));
    await failsWith("InvalidParameter.LocationNotFound", sdk.DeleteRule({ ...place, Domain: DOMAIN, Url: "/3" }));
    await failsWith("MissingParameter", sdk.DeleteRule(place));
    await failsWith("MissingParameter", sdk.DeleteRule({ ...place, LocationIds: [] }));
    assert.equal((await shown()).length, 3, "a refused call deletes nothing");
    await done(await sdk.DeleteRule({ ...place, Domain: DOMAIN }));
    assert.deepEqual(await shown(), ["b.example.com/ *"]);
  });
});

suite("the default domain", () => {
  const four: RuleInput[] = ["a", "b", "c", "d"].map((name) => ({ Domain: `${name}.example.com`, Url: "/" }));

  changing("is that of the first rule, whatever it says of itself, until another one asks for it", async (world) => {
    const { create, done, shown } = await start(world);
    await done(await create({ Domain: "a.example.com", Url: "/", DefaultServer: false }));
    assert.deepEqual(await shown(), ["a.example.com/ *"]);
    await done(await create({ Domain: "b.example.com", Url: "/", DefaultServer: true }, { Domain: "a.example.com", Url: "/x" }));
    assert.deepEqual(await shown(), ["a.example.com/", "b.example.com/ *", "a.example.com/x"]);
    const two = ["c", "d"].map((name) => ({ Domain: `${name}.example.com`, Url: "/", DefaultServer: true }));
    await failsWith("InvalidParameter", create(...two));
  });

  changing("passes to the oldest domain left when its last rule goes, or to the one that the call names", async (world) => {
    const { sdk, done, place, shown } = await start(world, four);
    await failsWith(
      "InvalidParameter.LocationNotFound",
      sdk.DeleteRule({ ...place, Domain: "a.example.com", NewDefaultServerDomain: "a.example.com" }),
    );
    await done(await sdk.DeleteRule({ ...place, Domain: "a.example.com", NewDefaultServerDomain: "c.example.com" }));
    assert.deepEqual(await shown(), ["b.example.com/", "c.example.com/ *", "d.example.com/"]);
    await done(await sdk.DeleteRule({ ...place, Domain: "c.example.com" }));
    assert.deepEqual(await shown(), ["b.example.com/ *", "d.example.com/"]);
    await done(await sdk.DeleteRule({ ...place, Domain: "d.example.com" }));
    assert.deepEqual(await shown(), ["b.example.com/ *"], "it was not the default");
    await done(await sdk.DeleteRule({ ...place, Domain: "b.example.com" }));
    assert.deepEqual(await shown(), []);
  });

  changing("is handed on by name, and cannot just be given up", async (world) => {
    const { sdk, done, place, shown } = await start(world, four);
    const domain = { ...place, Domain: "a.example.com" };
    await failsWith("InvalidParameterValue", sdk.ModifyDomainAttributes({ ...domain, DefaultServer: false }));
    await done(await sdk.ModifyDomainAttributes({ ...domain, DefaultServer: false, NewDefaultServerDomain: "c.example.com" }));
    assert.deepEqual(await shown(), ["a.example.com/", "b.example.com/", "c.example.com/ *", "d.example.com/"]);
    await done(await sdk.ModifyDomainAttributes({ ...place, Domain: "b.example.com", DefaultServer: true }));
    assert.deepEqual(await shown(), ["a.example.com/", "b.example.com/ *", "c.example.com/", "d.example.com/"]);
  });
});

suite("domains", () => {
  changing("a domain is renamed with all of its rules, their checks and its part as the default", async (world) => {
    const { sdk, done, place, rules, shown } = await start(world, [
      { Domain: DOMAIN, Url: "/1" },
      { Domain: DOMAIN, Url: "/2", HealthCheck: { HttpCheckDomain: "check.example.com" } },
      { Domain: "b.example.com", Url: "/1" },
    ]);
    const domain = { ...place, Domain: DOMAIN };
    await failsWith("InvalidParameterValue.Duplicate", sdk.ModifyDomainAttributes({ ...domain, NewDomain: "b.example.com" }));
    await done(await sdk.ModifyDomainAttributes({ ...domain, NewDomain: "n.example.com" }));
    assert.deepEqual(await shown(), ["n.example.com/1 *", "n.example.com/2 *", "b.example.com/1"]);
    assert.deepEqual(
      (await rules()).map((rule) => rule.HealthCheck?.HttpCheckDomain),
      ["n.example.com", "check.example.com", "b.example.com"],
    );
    await failsWith("InvalidParameter.LocationNotFound", sdk.ModifyDomainAttributes({ ...domain, NewDomain: "x.example.com" }));
    await done(await sdk.ModifyDomain({ ...place, Domain: "n.example.com", NewDomain: "m.example.com" }));
    await done(await sdk.ModifyDomainAttributes({ ...place, Domain: "b.example.com", NewDomains: ["c.example.com", "d.example.com"] }));
    assert.deepEqual((await rules()).at(-1)?.Domains, ["c.example.com", "d.example.com"]);
  });
});

suite("targets of rules", () => {
  changing("they are bound by location, or by domain and URL; the location wins", async (world) => {
    const { sdk, done, place, ids, backends, LoadBalancerId, ListenerId } = await start(world, [
      { Domain: DOMAIN, Url: "/1" },
      { Domain: DOMAIN, Url: "/2" },
    ]);
    const [first = "", second = ""] = ids;
    const [one, two, three] = backends.map((EniIp) => ({ EniIp, Port: 80 }));
    assert.ok(one && two && three);
    await done(await sdk.RegisterTargets({ ...place, LocationId: first, Targets: [one] }));
    await done(await sdk.RegisterTargets({ ...place, Domain: DOMAIN, Url: "/2", Targets: [two] }));
    await done(await sdk.RegisterTargets({ ...place, LocationId: first, Domain: DOMAIN, Url: "/2", Targets: [three] }));
    const bound = async (Filters: { Name: string; Values: string[] }[] = []) =>
      ((await sdk.DescribeTargets({ LoadBalancerId, Filters })).Listeners?.[0]?.Rules ?? []).map((rule) => [
        rule.LocationId,
        (rule.Targets ?? []).map((target) => target.PrivateIpAddresses?.[0]),
      ]);
    assert.deepEqual(await bound(), [
      [first, [one.EniIp, three.EniIp]],
      [second, [two.EniIp]],
    ]);
    assert.deepEqual(await bound([{ Name: "location-id", Values: [second] }]), [[second, [two.EniIp]]]);
    assert.deepEqual(await bound([{ Name: "private-ip-address", Values: [three.EniIp] }]), [
      [first, [three.EniIp]],
      [second, []],
    ]);
    const health = await sdk.DescribeTargetHealth({ LoadBalancerIds: [LoadBalancerId], LocationIds: [second] });
    assert.deepEqual(
      health.LoadBalancers?.[0]?.Listeners?.[0]?.Rules?.map((rule) => [rule.LocationId, rule.Domain, rule.Url, rule.Targets?.[0]?.IP]),
      [[second, DOMAIN, "/2", two.EniIp]],
    );
    await done(await sdk.ModifyTargetWeight({ ...place, LocationId: first, Targets: [one], Weight: 0 }));
    const ModifyList = [{ ListenerId, LocationId: second, Targets: [{ ...two, Weight: 7 }] }];
    await done(await sdk.BatchModifyTargetWeight({ LoadBalancerId, ModifyList }));
    const weights = ((await sdk.DescribeTargets({ LoadBalancerId })).Listeners?.[0]?.Rules ?? []).map((rule) =>
      (rule.Targets ?? []).map((target) => target.Weight),
    );
    assert.deepEqual(weights, [[0, 10], [7]]);
    await done(await sdk.DeregisterTargets({ ...place, LocationId: first, Targets: [one] }));
    assert.deepEqual((await bound())[0], [first, [three.EniIp]]);
  });

  changing("each rule has a check of its own, which can be switched off", async (world) => {
    const { sdk, done, place, ids, backends, LoadBalancerId } = await start(world, [
      { Domain: DOMAIN, Url: "/1" },
      { Domain: DOMAIN, Url: "/2", HealthCheck: { HealthSwitch: 0 } },
    ]);
    for (const LocationId of ids)
      await done(await sdk.RegisterTargets({ ...place, LocationId, Targets: [{ EniIp: backends[0], Port: 80 }] }));
    const health = async () =>
      ((await sdk.DescribeTargetHealth({ LoadBalancerIds: [LoadBalancerId] })).LoadBalancers?.[0]?.Listeners?.[0]?.Rules ?? []).map(
        (rule) => rule.Targets?.[0]?.HealthStatusDetail,
      );
    assert.deepEqual(await health(), ["Unknown", "Close"]);
    const [first = "", second = ""] = ids;
    await done(await sdk.ModifyRule({ ...place, LocationId: first, HealthCheck: { HealthSwitch: 0 } }));
    await done(await sdk.ModifyRule({ ...place, LocationId: second, HealthCheck: { HealthSwitch: 1 } }));
    assert.deepEqual(await health(), ["Close", "Unknown"]);
  });

  changing("layer 7 needs a location, layer 4 has none", async (world) => {
    const { sdk, done, place, backends, LoadBalancerId, ListenerId } = await start(world, [{ Domain: DOMAIN, Url: "/" }]);
    const Targets = [{ EniIp: backends[0], Port: 80 }];
    await failsWith("InvalidParameter.LocationNotFound", sdk.RegisterTargets({ ...place, Targets }));
    await failsWith("InvalidParameter.LocationNotFound", sdk.RegisterTargets({ ...place, Domain: DOMAIN, Url: "/none", Targets }));
    const bare = [{ ListenerId, EniIp: backends[0], Port: 80 }];
    await failsWith("InvalidParameter.LocationNotFound", sdk.BatchRegisterTargets({ LoadBalancerId, Targets: bare }));
    const made = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [81], Protocol: "TCP" }));
    const layer4 = { LoadBalancerId, ListenerId: made.ListenerIds?.[0] ?? "" };
    await failsWith("InvalidParameter.LocationNotFound", sdk.RegisterTargets({ ...layer4, LocationId: "loc-00000000", Targets }));
  });

  changing("one batch fills rules and listeners; a bad target marks its listener with all its rules, and no other", async (world) => {
    const { sdk, done, ids, backends, LoadBalancerId, ListenerId } = await start(world, [
      { Domain: DOMAIN, Url: "/1" },
      { Domain: DOMAIN, Url: "/2" },
    ]);
    const made = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [81], Protocol: "TCP" }));
    const [tcp = ""] = made.ListenerIds ?? [];
    const [first = "", second = ""] = ids;
    const target = { EniIp: backends[0], Port: 80 };
    const places = [{ ListenerId, LocationId: first }, { ListenerId, LocationId: second }, { ListenerId: tcp }];
    const good = places.map((place) => ({ ...place, ...target }));
    const bad = { ListenerId, LocationId: second, EniIp: "203.0.113.1", Port: 80 };
    const count = async () =>
      ((await sdk.DescribeTargets({ LoadBalancerId })).Listeners ?? []).flatMap((one) =>
        (one.Rules ?? [one]).map(({ Targets }) => Targets?.length ?? 0),
      );
    const reply = await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: [...good, bad] });
    assert.deepEqual(reply.FailListenerIdSet, [ListenerId]);
    assert.equal((await count()).at(-1), 1, "the other listener is bound");
    await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: good });
    assert.deepEqual(await count(), [1, 1, 1]);
    const off = await sdk.BatchDeregisterTargets({ LoadBalancerId, Targets: good });
    assert.deepEqual(off.FailListenerIdSet, []);
    assert.deepEqual(await count(), [0, 0, 0]);
  });

  changing("who binds an address is told over all load balancers of its VPC", async (world) => {
    const { sdk, done, place, ids, backends, LoadBalancerId, ListenerId } = await start(world, [{ Domain: DOMAIN, Url: "/" }]);
    const [LocationId = ""] = ids;
    await done(await sdk.RegisterTargets({ ...place, LocationId, Targets: [{ EniIp: backends[0], Port: 80, Weight: 3 }] }));
    const [loadBalancer] = (await sdk.DescribeLoadBalancers({ LoadBalancerIds: [LoadBalancerId] })).LoadBalancerSet ?? [];
    const VpcId = loadBalancer?.VpcId ?? "";
    const ask = async (PrivateIp: string, vpc = VpcId) =>
      (await sdk.DescribeLBListeners({ Backends: [{ VpcId: vpc, PrivateIp }] })).LoadBalancers.filter(
        (one) => one.LoadBalancerId === LoadBalancerId,
      );
    const [binder] = await ask(backends[0]);
    assert.deepEqual(
      [binder?.Vip, binder?.Listeners?.length, binder?.Listeners?.[0]?.ListenerId],
      [loadBalancer?.LoadBalancerVips?.[0], 1, ListenerId],
    );
    const [rule] = binder?.Listeners?.[0]?.Rules ?? [];
    assert.deepEqual([rule?.LocationId, rule?.Domain, rule?.Url], [LocationId, DOMAIN, "/"]);
    const [target] = rule?.Targets ?? [];
    assert.deepEqual([target?.Type, target?.PrivateIp, target?.Port, target?.Weight], ["eni", backends[0], 80, 3]);
    assert.deepEqual(await ask(backends[1]), []);
    assert.deepEqual(await ask(backends[0], "vpc-00000000"), []);
  });
});
