import assert from "node:assert/strict";
import { createServer } from "node:net";
import { suite, test } from "node:test";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import { changing, contract, EMULATED_ONLY } from "./contract.ts";
import { FAST_CHECK, failsWith, withCloud } from "./fixture.ts";

const lb = { LoadBalancerId: "lb-00000000" };

suite("listeners", () => {
  changing("they are created in the order of the ports, changed, described and deleted", async ({ sdk, done, loadBalancer }) => {
    const LoadBalancerId = await loadBalancer();
    const names = { Ports: [8001, 8002], ListenerNames: ["one", "two"], Protocol: "TCP" };
    const { ListenerIds = [] } = await done(await sdk.CreateListener({ LoadBalancerId, ...names }));
    const [first = "", second = ""] = ListenerIds;
    const described = (await sdk.DescribeListeners({ LoadBalancerId })).Listeners ?? [];
    assert.deepEqual(
      described.map((one) => [one.ListenerId, one.ListenerName, one.Port]),
      [
        [first, "one", 8001],
        [second, "two", 8002],
      ],
    );
    assert.equal(described[0]?.HealthCheck?.IntervalTime, 5);
    await done(await sdk.ModifyListener({ LoadBalancerId, ListenerId: first, ListenerName: "new", HealthCheck: FAST_CHECK }));
    const [changed] = (await sdk.DescribeListeners({ LoadBalancerId, ListenerIds: [first] })).Listeners ?? [];
    assert.deepEqual([changed?.ListenerName, changed?.HealthCheck?.IntervalTime, changed?.HealthCheck?.HealthSwitch], ["new", 2, 1]);
    await failsWith("InvalidParameter", sdk.DeleteLoadBalancerListeners({ LoadBalancerId, ListenerIds: [first, "lbl-none"] }));
    await done(await sdk.DeleteListener({ LoadBalancerId, ListenerId: first }));
    await failsWith("InvalidParameter.ListenerIdNotFound", sdk.DeleteListener({ LoadBalancerId, ListenerId: first }));
    await done(await sdk.DeleteLoadBalancerListeners({ LoadBalancerId })); // none named: all
    assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 0);
  });

  changing("a port is taken once per transport protocol", async ({ sdk, done, loadBalancer }) => {
    const LoadBalancerId = await loadBalancer();
    await done(await sdk.CreateListener({ LoadBalancerId, Ports: [8001], Protocol: "TCP" }));
    await failsWith("InvalidParameter.PortCheckFailed", sdk.CreateListener({ LoadBalancerId, Ports: [8001], Protocol: "HTTP" }));
    await failsWith("InvalidParameter.PortCheckFailed", sdk.CreateListener({ LoadBalancerId, Ports: [8000, 8001], Protocol: "TCP" }));
    await failsWith("InvalidParameterValue.Duplicate", sdk.CreateListener({ LoadBalancerId, Ports: [8000, 8000], Protocol: "TCP" }));
    await done(await sdk.CreateListener({ LoadBalancerId, Ports: [8001], Protocol: "UDP" }));
  });

  changing("each protocol says what it has, and nothing of what it has not", async ({ sdk, done, loadBalancer }) => {
    const LoadBalancerId = await loadBalancer();
    for (const [Protocol, port] of [
      ["TCP", 81],
      ["UDP", 81],
      ["HTTP", 80],
    ] as const)
      await done(await sdk.CreateListener({ LoadBalancerId, Ports: [port], Protocol }));
    const { Listeners = [] } = await sdk.DescribeListeners({ LoadBalancerId });
    assert.deepEqual(
      Listeners.map((one) => [one.Protocol, one.HealthCheck?.CheckType, one.Scheduler, one.Rules, one.IdleConnectTimeout, one.EndPort]),
      [
        ["TCP", "TCP", "WRR", null, 900, 0],
        ["UDP", "PING", "WRR", null, 300, 0],
        ["HTTP", undefined, null, [], null, 0],
      ],
    );
    const only = async (more: object) => (await sdk.DescribeListeners({ LoadBalancerId, ...more })).Listeners?.map((one) => one.Protocol);
    assert.deepEqual([await only({ Protocol: "UDP" }), await only({ Port: 80 })], [["UDP"], ["HTTP"]]);
  });

  /** Whatever is in the fields, a listener like this cannot be made. */
  const refused: readonly { readonly because: string; readonly fields: object; readonly code?: string }[] = [
    { because: "QUIC needs a certificate", fields: { Protocol: "QUIC" }, code: "MissingParameter" },
    { because: "there is no such protocol", fields: { Protocol: "SCTP" } },
    { because: "rules have their own checks", fields: { Protocol: "HTTP", HealthCheck: FAST_CHECK } },
    { because: "rules have their own schedulers", fields: { Protocol: "HTTP", Scheduler: "LEAST_CONN" } },
    { because: "IP_HASH is for changed listeners only", fields: { Scheduler: "IP_HASH" } },
    { because: "sessions need WRR", fields: { SessionExpireTime: 60, Scheduler: "LEAST_CONN" } },
    { because: "sessions are of TCP and UDP", fields: { Protocol: "HTTP", SessionExpireTime: 60 } },
    { because: "a TCP listener has no certificate", fields: { Certificate: { CertId: "abcdefgh" } } },
    { because: "TCP_SSL needs a certificate", fields: { Protocol: "TCP_SSL" }, code: "MissingParameter" },
    { because: "HTTPS without SNI needs a certificate", fields: { Protocol: "HTTPS" }, code: "MissingParameter" },
    {
      because: "there is one way to name a certificate",
      fields: {
        Protocol: "HTTPS",
        Certificate: { CertId: "abcdefgh" },
        MultiCertInfo: { SSLMode: "UNIDIRECTIONAL", CertList: [{ CertId: "abcdefgh" }] },
      },
      code: "InvalidParameter",
    },
    { because: "SNI is for HTTPS", fields: { SniSwitch: 1 } },
    { because: "kept connections are of layer 7", fields: { KeepaliveEnable: 1 } },
    { because: "PROXY protocol is for TCP_SSL", fields: { ProxyProtocol: true } },
    { because: "QUIC sessions are of UDP", fields: { SessionType: "QUIC_CID" } },
    { because: "the timeout is longer than the interval", fields: { HealthCheck: { IntervalTime: 5, TimeOut: 6 } } },
    { because: "an HTTP check needs a version and a domain", fields: { HealthCheck: { CheckType: "HTTP" } } },
    { because: "TCP is not pinged", fields: { HealthCheck: { CheckType: "PING" } } },
    { because: "UDP has no HTTP", fields: { Protocol: "UDP", HealthCheck: { CheckType: "HTTP" } } },
    { because: "a check of one's own says what it sends", fields: { HealthCheck: { CheckType: "CUSTOM" } }, code: "MissingParameter" },
    {
      because: "HEX is in pairs",
      fields: { HealthCheck: { CheckType: "CUSTOM", ContextType: "HEX", SendContext: "0F0", RecvContext: "00" } },
    },
    {
      because: "a check path begins with a slash",
      fields: { HealthCheck: { CheckType: "HTTP", HttpVersion: "HTTP/1.1", HttpCheckDomain: "a.example", HttpCheckPath: "live" } },
    },
    {
      because: "a pattern is no host to ask for",
      fields: { HealthCheck: { CheckType: "HTTP", HttpVersion: "HTTP/1.1", HttpCheckDomain: "*.example" } },
    },
    { because: "there is a name for each port", fields: { ListenerNames: ["one", "two"] }, code: "InvalidParameterValue.Length" },
  ];
  for (const { because, fields, code = "InvalidParameterValue" } of refused)
    contract(`one is refused: ${because}`, async ({ sdk }) => {
      await failsWith(code, sdk.request("CreateListener", { ...lb, Ports: [80], Protocol: "TCP", ...fields }));
    });
});

suite("certificates", EMULATED_ONLY, () => {
  const start = async (t: Parameters<typeof withCloud>[0]) => {
    const started = await withCloud(t, { dataPlane: false });
    const { loadBalancerId: LoadBalancerId } = started.cloud.addLoadBalancer();
    const nowMs = Date.now();
    const authority = await issueAuthority(nowMs);
    const leaf = await issueServing(authority, ["a.example.com"], [], nowMs);
    const upload = { CertName: "leaf", CertContent: leaf.certPem, CertKey: leaf.keyPem };
    const { sdk, done } = started;
    const create = (fields: object, port = 443): Promise<{ RequestId?: string; ListenerIds?: string[] }> =>
      sdk.request("CreateListener", { LoadBalancerId, Ports: [port], Protocol: "HTTPS", ...fields });
    const make = async (fields: object, port?: number): Promise<string> => (await done(await create(fields, port))).ListenerIds?.[0] ?? "";
    const listeners = async () => (await sdk.DescribeListeners({ LoadBalancerId })).Listeners ?? [];
    return { ...started, LoadBalancerId, authority, upload, create, make, listeners };
  };

  test("one that comes with a request has an id afterwards, by which it can be named again", async (t) => {
    const { make, listeners, create, upload } = await start(t);
    await make({ Certificate: upload });
    const [shown] = await listeners();
    const CertId = shown?.Certificate?.CertId ?? "";
    assert.deepEqual([shown?.Certificate?.SSLMode, CertId.length > 0, shown?.SniSwitch], ["UNIDIRECTIONAL", true, 0]);
    await make({ MultiCertInfo: { SSLMode: "UNIDIRECTIONAL", CertList: [{ CertId }] } }, 444);
    assert.equal((await listeners())[1]?.Certificate?.CertId, CertId);
    await failsWith("InvalidParameterValue", create({ Certificate: { CertId: "unknown0" } }, 445));
  });

  test("one without its key, with another's key or not in PEM is refused; two of a kind as well", async (t) => {
    const { create, upload, authority } = await start(t);
    await failsWith("MissingParameter", create({ Certificate: { CertName: "x", CertContent: upload.CertContent } }));
    await failsWith("InvalidParameterValue", create({ Certificate: { ...upload, CertKey: authority.keyPem } }));
    await failsWith("InvalidParameterValue", create({ Certificate: { ...upload, CertContent: "no PEM" } }));
    await failsWith("InvalidParameterValue", create({ MultiCertInfo: { SSLMode: "UNIDIRECTIONAL", CertList: [upload, upload] } }));
  });

  test("mutual authentication names the authority of the clients", async (t) => {
    const { create, make, upload, authority, listeners } = await start(t);
    await failsWith("MissingParameter", create({ Certificate: { ...upload, SSLMode: "MUTUAL" } }));
    await make({ Certificate: { ...upload, SSLMode: "MUTUAL", CertCaName: "ca", CertCaContent: authority.certPem } });
    const [shown] = await listeners();
    assert.equal(shown?.Certificate?.SSLMode, "MUTUAL");
    assert.notEqual(shown?.Certificate?.CertCaId, shown?.Certificate?.CertId);
  });

  test("with SNI each domain has its own; SNI is switched on, never off", async (t) => {
    const { sdk, done, make, upload, LoadBalancerId, listeners } = await start(t);
    const ListenerId = await make({ SniSwitch: 1 });
    const place = { LoadBalancerId, ListenerId };
    const rule = (Domain: string, more: object) => sdk.CreateRule({ ...place, Rules: [{ Domain, Url: "/", ...more }] });
    await failsWith("MissingParameter", rule("a.example.com", {}));
    await done(await rule("a.example.com", { Certificate: upload, Http2: true }));
    await done(await sdk.CreateRule({ ...place, Rules: [{ Domain: "a.example.com", Url: "/more" }] }));
    const rules = async () => (await listeners())[0]?.Rules ?? [];
    const [first, second] = await rules();
    assert.deepEqual([second?.Certificate?.CertId, second?.Http2], [first?.Certificate?.CertId, true], "they belong to the domain");
    await done(await sdk.ModifyDomainAttributes({ ...place, Domain: "a.example.com", Certificate: upload, Http2: false }));
    const after = await rules();
    assert.notEqual(after[0]?.Certificate?.CertId, first?.Certificate?.CertId);
    assert.deepEqual(
      after.map((one) => [one.Certificate?.CertId, one.Http2]),
      [
        [after[0]?.Certificate?.CertId, false],
        [after[0]?.Certificate?.CertId, false],
      ],
    );
    await failsWith("InvalidParameterValue", sdk.ModifyListener({ ...place, SniSwitch: 0 }));
  });

  test("without SNI the listener has one for all domains", async (t) => {
    const { sdk, done, make, upload, LoadBalancerId, listeners } = await start(t);
    const ListenerId = await make({ Certificate: upload });
    const place = { LoadBalancerId, ListenerId };
    const Rules = [{ Domain: "a.example.com", Url: "/", Certificate: upload }];
    await failsWith("InvalidParameter", sdk.CreateRule({ ...place, Rules }));
    await done(await sdk.ModifyListener({ ...place, SniSwitch: 1 }));
    await done(await sdk.CreateRule({ ...place, Rules }));
    assert.equal((await listeners())[0]?.SniSwitch, 1);
  });
});

suite("listeners of the emulated cloud", EMULATED_ONLY, () => {
  test("an empty list of listeners to delete means all of them, as none at all does", async (t) => {
    const { sdk, done, cloud } = await withCloud(t, { dataPlane: false });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    await done(await sdk.CreateListener({ LoadBalancerId, Ports: [80, 81], Protocol: "TCP" }));
    await done(await sdk.DeleteLoadBalancerListeners({ LoadBalancerId, ListenerIds: [] }));
    assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 0);
  });

  test("a load balancer with a specification has wider ranges and limits of its own", async (t) => {
    const { sdk, done } = await withCloud(t, { dataPlane: false });
    const order = async (more: object): Promise<string> =>
      (await done(await sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", ...more }))).LoadBalancerIds?.[0] ?? "";
    const [shared, specified] = [await order({}), await order({ SlaType: "clb.c2.medium" })];
    const create = (LoadBalancerId: string, port: number, more: object) =>
      sdk.CreateListener({ LoadBalancerId, Ports: [port], Protocol: "TCP", ...more });
    await done(await create(shared, 80, { IdleConnectTimeout: 900 }));
    await failsWith("InvalidParameterValue.Range", create(shared, 81, { IdleConnectTimeout: 901 }));
    await failsWith("InvalidParameterValue", create(shared, 81, { MaxConn: 100 }));
    const wide = await done(await create(specified, 80, { IdleConnectTimeout: 1980, MaxConn: 100, MaxCps: 10 }));
    await failsWith("InvalidParameterValue.Range", create(specified, 81, { IdleConnectTimeout: 1981 }));
    const [shown] = (await sdk.DescribeListeners({ LoadBalancerId: specified, ListenerIds: wide.ListenerIds ?? [] })).Listeners ?? [];
    assert.deepEqual([shown?.IdleConnectTimeout, shown?.MaxConn, shown?.MaxCps], [1980, 100, 10]);
  });

  test("a port that cannot be listened on fails the task, which says why and leaves nothing", async (t) => {
    const { sdk, task, cloud } = await withCloud(t);
    const { loadBalancerId: LoadBalancerId, vip } = cloud.addLoadBalancer();
    const squatter = createServer();
    t.after(() => squatter.close());
    await new Promise<void>((resolve) => void squatter.listen(8002, vip, resolve));
    const { Status, Message } = await task(await sdk.CreateListener({ LoadBalancerId, Ports: [8001, 8002], Protocol: "TCP" }));
    assert.equal(Status, 1);
    assert.match(Message ?? "", /cannot listen on 127\.198\.\d+\.\d+:8002: EADDRINUSE/);
    assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 0);
  });

  test("an address range that is not local fails the task with the fix", async (t) => {
    const { sdk, task, cloud } = await withCloud(t, { vipCidr: "203.0.113.0/24" });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const { Message } = await task(await sdk.CreateListener({ LoadBalancerId, Ports: [8001], Protocol: "TCP" }));
    assert.match(Message ?? "", /cannot listen on 203\.0\.113\.1:8001: EADDRNOTAVAIL \(the range of VIPs is not local here/);
  });
});
