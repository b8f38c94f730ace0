import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { makeClbApi } from "../../../coordinator/cloud/clb-api.ts";
import { RateLimit } from "../../../coordinator/cloud/rate-limit.ts";
import { CLUSTER, LISTENER_NAME, SERVICE_UID } from "../../builders.ts";
import { aFakeClock } from "../pods.ts";
import { aListeningLoadBalancer, aStage, newListeners, slots, withCode } from "../stage.ts";

const WISH = { name: "web", clientToken: "token-1", clusterId: CLUSTER, ownerUid: SERVICE_UID, vpcId: undefined, subnetId: undefined };

test("an order is repeated by its token, and makes one load balancer, tagged as ours", async (t) => {
  const stage = aStage(t);
  const [first, second] = await stage.finish(Promise.all([WISH, WISH].map((wish) => stage.api.createLoadBalancer(wish, stage.signal))));
  assert.equal(first, second);
  const found = await stage.finish(stage.api.ownLoadBalancers(CLUSTER, stage.signal));
  assert.deepEqual(
    found.map(({ loadBalancerId, running, tags }) => [loadBalancerId, running, tags]),
    [[first, true, { "clb-direct.io/cluster": CLUSTER, "clb-direct.io/owner": SERVICE_UID }]],
  );
});

test("finds a cluster's load balancers however many pages they fill, and nobody else's", async (t) => {
  const stage = aStage(t, { limits: { openLoadBalancers: 300 } });
  for (let n = 0; n < 205; n++) stage.cloud.addLoadBalancer({ tags: { "clb-direct.io/cluster": n < 201 ? CLUSTER : "0123abcd" } });
  const found = await stage.finish(stage.api.ownLoadBalancers(CLUSTER, stage.signal));
  assert.equal(new Set(found.map(({ loadBalancerId }) => loadBalancerId)).size, 201);
});

test("a load balancer that does not exist is undefined, not an error", async (t) => {
  const stage = aStage(t);
  stage.cloud.addLoadBalancer();
  assert.equal(await stage.finish(stage.api.loadBalancer("lb-nowhere", stage.signal)), undefined);
});

test("reads the targets of more listeners than one question takes", async (t) => {
  const stage = aStage(t);
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  const listeners = Array.from({ length: 45 }, (_, n) => ({ name: LISTENER_NAME.replace("80", String(1_000 + n)), port: 1_000 + n }));
  const ids = await stage.finish(stage.api.createListeners(id, newListeners({ listeners }), stage.signal));
  await stage.finish(stage.api.bind(id, ids.map((listenerId) => slots(listenerId, 1)).flat(), stage.signal));
  const read = await stage.finish(stage.api.listeners(id, () => true, stage.signal));
  assert.deepEqual(
    read.map(({ port, targets }) => [port, targets]).toSorted(([a], [b]) => Number(a) - Number(b)),
    listeners.map(({ port }) => [port, [{ ip: "10.244.0.1", port: 8080, weight: 10 }]]),
  );
});

test("gives the ids of new listeners in the order of the names, and leaves the cloud's defaults where nothing is wished", async (t) => {
  const stage = aStage(t);
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  const listeners = [90, 80, 85].map((port) => ({ name: LISTENER_NAME.replace("80", String(port)), port }));
  const ids = await stage.finish(
    stage.api.createListeners(id, newListeners({ listeners, healthCheck: { healthyCount: 2 } }), stage.signal),
  );
  const read = await stage.finish(stage.api.listeners(id, () => true, stage.signal));
  assert.deepEqual(
    ids.map((listenerId) => read.find((one) => one.listenerId === listenerId)?.name),
    listeners.map(({ name }) => name),
  );
  assert.deepEqual(read[0]?.healthCheck, { enabled: true, intervalSeconds: 5, timeoutSeconds: 2, healthyCount: 2, unhealthyCount: 3 });
});

test("tells health by slot, and says nothing of targets that nobody probed", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  const [one, two] = slots(listenerId, 2);
  assert.ok(one !== undefined && two !== undefined);
  await stage.finish(stage.api.bind(id, [one, two], stage.signal));
  stage.cloud.setHealth({ loadBalancerId: id, ...one }, "Alive");
  const states = (await stage.finish(stage.api.health([id], stage.signal))).get(id);
  assert.equal(states?.get(`${listenerId} ${one.ip}:8080`), "Alive");
  assert.notEqual(states?.get(`${listenerId} ${two.ip}:8080`), "Alive");
});

test("asks about 30 load balancers at most, and never deletes 'all listeners' by naming none", async (t) => {
  const stage = aStage(t);
  const many = Array.from({ length: 31 }, (_, n) => `lb-${n}`);
  await assert.rejects(stage.api.health(many, stage.signal), RangeError);
  await assert.rejects(stage.api.deleteListeners("lb-1", [], stage.signal), RangeError);
  assert.deepEqual(stage.calls, []);
});

test("throttling pauses only the action that was throttled", async (t) => {
  const stage = aStage(t);
  const { id } = await aListeningLoadBalancer(stage);
  await stage.clock.advance(5_000);
  stage.cloud.faults.add({ kind: "error", code: "RequestLimitExceeded", action: "DescribeListeners", count: 1 });
  await assert.rejects(stage.finish(stage.api.listeners(id, () => true, stage.signal)), withCode("RequestLimitExceeded"));
  stage.calls.length = 0;
  const throttledMs = stage.clock.now();
  const again = stage.api.listeners(id, () => true, stage.signal);
  await stage.finish(stage.api.loadBalancer(id, stage.signal));
  await stage.finish(again);
  const at = (action: string): number => (stage.calls.find((call) => call.action === action)?.atMs ?? 0) - throttledMs;
  assert.ok(at("DescribeLoadBalancers") < 50, `waited ${at("DescribeLoadBalancers")} ms`);
  assert.ok(at("DescribeListeners") >= 900, `waited only ${at("DescribeListeners")} ms`);
});

test("stays within the cloud's own rate limit however much is asked", async (t) => {
  const stage = aStage(t);
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  await stage.finish(Promise.all(Array.from({ length: 200 }, () => stage.api.loadBalancer(id, stage.signal))));
  assert.equal(stage.cloud.counts().refused["RequestLimitExceeded"], undefined);
});

test("a question about a task that fails does not fail the write", async (t) => {
  const stage = aStage(t);
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  stage.cloud.faults.add({ kind: "error", code: "InternalError", action: "DescribeTaskStatus", count: 2 });
  await stage.finish(stage.api.createListeners(id, newListeners(), stage.signal));
  assert.equal((await stage.look(id)).listeners.length, 1);
  assert.ok(stage.codes.includes("DescribeTaskStatus InternalError"));
});

test("gives a stuck task up after a minute, in doubt", async () => {
  const clock = aFakeClock(1_790_000_000_000);
  const transport = (_service: string, action: string): Promise<unknown> =>
    Promise.resolve(action === "DescribeTaskStatus" ? { Status: 2 } : { RequestId: "task-1" });
  const api = makeClbApi({ transport, clock, rateLimit: new RateLimit(clock, { perSecond: 20, pauseAfterThrottlingMs: 1_000 }) });
  const ended = assert.rejects(api.setWeights("lb-1", slots("lbl-1", 1), new AbortController().signal), (error: unknown) => {
    assert.ok(withCode("TaskStuck")(error) && Reflect.get(Object(error), "ambiguous") === true);
    return true;
  });
  await clock.advance(65_000);
  await ended;
});

test("what is called off rejects with the signal's reason, and is counted as cancelled", async () => {
  const clock = aFakeClock();
  const codes: string[] = [];
  const transport = (_service: string, _action: string, _request: object, signal: AbortSignal): Promise<unknown> =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("The user aborted a request."))));
  const rateLimit = new RateLimit(clock, { perSecond: 20, pauseAfterThrottlingMs: 1_000 });
  const api = makeClbApi({ transport, clock, rateLimit, onCall: (_action, code) => void codes.push(code) });
  const calledOff = new AbortController();
  const call = api.loadBalancer("lb-1", calledOff.signal);
  await clock.advance(10);
  calledOff.abort(new Error("stop"));
  await assert.rejects(call, /^Error: stop$/);
  await clock.advance(1);
  assert.deepEqual(codes, ["Cancelled"]);
});

suite("a call without an answer", () => {
  /** Answers nothing to what is `silent`; `asked`: the actions in order, and when requests were given up, seconds from the start. */
  const aSilentCloud = (silent: (action: string, asked: number) => boolean) => {
    const clock = aFakeClock(0);
    const asked: string[] = [];
    const transport = (_service: string, action: string, _request: object, signal: AbortSignal): Promise<unknown> =>
      new Promise((resolve, reject) => {
        asked.push(action);
        if (!silent(action, asked.filter((one) => one === action).length)) return resolve({ RequestId: "task-1", Status: 0 });
        signal.addEventListener("abort", () => {
          asked.push(`given up at ${clock.now() / 1000}`);
          reject(new Error("The user aborted a request."));
        });
      });
    const rateLimit = new RateLimit(clock, { perSecond: 20, pauseAfterThrottlingMs: 1_000 });
    return { clock, asked, api: makeClbApi({ transport, clock, rateLimit }) };
  };
  const { signal } = new AbortController();

  test("is given up after ten seconds where it reads", async () => {
    const { clock, asked, api } = aSilentCloud(() => true);
    const reads = [api.loadBalancer("lb-1", signal), api.listeners("lb-1", () => true, signal), api.health(["lb-1"], signal)];
    const ended = Promise.all(reads.map((read) => assert.rejects(read, withCode("Transport"))));
    await clock.advance(9_990);
    assert.equal(asked.length, 3);
    await clock.advance(20);
    await ended;
    assert.deepEqual([asked.slice(3), clock.pendingSleeps], [Array(3).fill("given up at 10"), 0]);
  });

  test("is given up after five seconds where it asks about a task, which is asked about again", async () => {
    const { clock, asked, api } = aSilentCloud((action, at) => action === "DescribeTaskStatus" && at === 1);
    const done = api.setWeights("lb-1", slots("lbl-1", 1), signal);
    await clock.advance(6_000);
    await done;
    assert.deepEqual(asked, ["BatchModifyTargetWeight", "DescribeTaskStatus", "given up at 5.1", "DescribeTaskStatus"]);
    assert.equal(clock.pendingSleeps, 0);
  });

  test("is waited for where it writes: it may last as long as its task", async () => {
    const { clock, asked, api } = aSilentCloud(() => true);
    const calledOff = new AbortController();
    const write = api.setWeights("lb-1", slots("lbl-1", 1), calledOff.signal);
    await clock.advance(50_000);
    assert.deepEqual(asked, ["BatchModifyTargetWeight"]);
    calledOff.abort(new Error("stop"));
    await assert.rejects(write, /^Error: stop$/);
  });
});

test("reads answers in which everything may be null", async () => {
  const clock = aFakeClock();
  const answers: Record<string, unknown> = {
    DescribeLoadBalancers: { LoadBalancerSet: [{ LoadBalancerId: "lb-1", Status: 1, LoadBalancerVips: null, Tags: null, Domain: null }] },
    DescribeListeners: { Listeners: [{ ListenerId: "lbl-1", ListenerName: null, Protocol: "TCP", Port: 80, HealthCheck: null }] },
    DescribeTargets: {
      Listeners: [
        {
          ListenerId: "lbl-1",
          Targets: [
            { PrivateIpAddresses: null, Port: 1, Weight: 10 },
            { PrivateIpAddresses: ["10.244.0.1"], Port: 8080, Weight: null },
          ],
        },
      ],
    },
    DescribeTargetHealth: { LoadBalancers: [{ LoadBalancerId: "lb-1", Listeners: [{ ListenerId: "lbl-1", Rules: null }] }] },
  };
  const transport = (_service: string, action: string): Promise<unknown> => Promise.resolve(answers[action]);
  const api = makeClbApi({ transport, clock, rateLimit: new RateLimit(clock, { perSecond: 100, pauseAfterThrottlingMs: 1_000 }) });
  const { signal } = new AbortController();
  const facts = await api.loadBalancer("lb-1", signal);
  assert.deepEqual(facts, { loadBalancerId: "lb-1", vips: [], domain: undefined, running: true, tags: {} });
  const [listener] = await api.listeners("lb-1", () => true, signal);
  assert.deepEqual(
    [listener?.name, listener?.healthCheck.enabled, listener?.targets],
    ["", true, [{ ip: "10.244.0.1", port: 8080, weight: 0 }]],
  );
  assert.deepEqual((await api.health(["lb-1"], signal)).get("lb-1"), new Map());
});

test("reads the targets of a load balancer that is not large in one call, whoever's its listeners are, and tells of those asked for only", async () => {
  for (const { own, rules, calls } of [
    { own: 49, rules: 1, calls: [[]] },
    { own: 49, rules: 2, calls: [20, 20, 9] },
    { own: 20, rules: 0, calls: [20] },
  ]) {
    const clock = aFakeClock();
    const asked: unknown[] = [];
    const ids = Array.from({ length: own + 1 }, (_, n) => `lbl-${n}`);
    const Rules = Array.from({ length: rules }, (_, n) => ({ LocationId: `loc-${n}`, Domain: "", Url: `/${n}` }));
    const target = { PrivateIpAddresses: ["10.244.0.1"], Port: 8080, Weight: 10 };
    const answers: Record<string, object> = {
      DescribeListeners: {
        Listeners: ids.map((ListenerId, n) => ({ ListenerId, Protocol: "HTTP", Port: n + 1, Rules: n === 0 ? undefined : Rules })),
      },
      DescribeTargets: { Listeners: ids.map((ListenerId) => ({ ListenerId, Targets: [target], Rules })) },
    };
    const transport = (_service: string, action: string, request: object): Promise<unknown> => {
      const named: unknown = Reflect.get(request, "ListenerIds");
      if (action === "DescribeTargets") asked.push(Array.isArray(named) ? named.length : []);
      return Promise.resolve(answers[action]);
    };
    const api = makeClbApi({ transport, clock, rateLimit: new RateLimit(clock, { perSecond: 100, pauseAfterThrottlingMs: 1_000 }) });
    const listeners = await api.listeners("lb-1", (_, id) => id !== "lbl-0", new AbortController().signal);
    assert.deepEqual([asked, listeners.flatMap(({ targets }) => targets).length, listeners[0]?.targets], [calls, own, []]);
  }
});

test("asks by their ids for what an answer for all listeners leaves out: it is not taken for unbound", async () => {
  const clock = aFakeClock();
  const ids = Array.from({ length: 22 }, (_, n) => `lbl-${n}`);
  const targets = [{ PrivateIpAddresses: ["10.244.0.1"], Port: 8080, Weight: 10 }];
  const Rules = ["loc-1", "loc-2"].map((LocationId) => ({ LocationId, Domain: "", Url: `/${LocationId}` }));
  const asked: unknown[] = [];
  const backends = (ListenerId: string, isCut: boolean) => ({
    ListenerId,
    Targets: [],
    Rules: Rules.slice(0, isCut && ListenerId === "lbl-7" ? 1 : 2).map((rule) => ({ ...rule, Targets: targets })),
  });
  const transport = (_service: string, action: string, { ListenerIds }: { readonly ListenerIds?: readonly string[] }): Promise<unknown> => {
    if (action === "DescribeListeners")
      return Promise.resolve({ Listeners: ids.map((ListenerId, n) => ({ ListenerId, Protocol: "HTTP", Port: n + 1, Rules })) });
    asked.push(ListenerIds ?? "all");
    return Promise.resolve({ Listeners: (ListenerIds ?? ids.slice(0, 20)).map((id) => backends(id, ListenerIds === undefined)) });
  };
  const api = makeClbApi({ transport, clock, rateLimit: new RateLimit(clock, { perSecond: 100, pauseAfterThrottlingMs: 1_000 }) });
  const listeners = await api.listeners("lb-1", () => true, new AbortController().signal);
  const bound = listeners.flatMap(({ rules }) => rules.flatMap((rule) => rule.targets));
  assert.deepEqual([asked, bound.length], [["all", ["lbl-7", "lbl-20", "lbl-21"]], 44]);
});

test("names the rule in every call that concerns one, and reads rules back with their targets and health", async () => {
  const clock = aFakeClock();
  const requests: [string, object][] = [];
  const check = { HealthSwitch: 1, IntervalTime: 5, TimeOut: 2, HealthNum: 3, UnHealthNum: 3, HttpCheckPath: "/", HttpCode: 31 };
  const rule = { LocationId: "loc-1", Domain: "Shop.example.com", Url: "/", Scheduler: "IP_HASH", HealthCheck: check };
  const target = { PrivateIpAddresses: ["10.244.0.1"], Port: 8080, Weight: 10 };
  const answers: Record<string, object> = {
    DescribeListeners: { Listeners: [{ ListenerId: "lbl-1", ListenerName: "n", Protocol: "HTTP", Port: 80, Rules: [rule] }] },
    DescribeTargets: { Listeners: [{ ListenerId: "lbl-1", Targets: null, Rules: [{ LocationId: "loc-1", Targets: [target] }] }] },
    DescribeTargetHealth: {
      LoadBalancers: [
        {
          LoadBalancerId: "lb-1",
          Listeners: [
            {
              ListenerId: "lbl-1",
              Protocol: "HTTP",
              Rules: [{ LocationId: "loc-1", Targets: [{ IP: "10.244.0.1", Port: 8080, HealthStatusDetail: "Alive" }] }],
            },
          ],
        },
      ],
    },
    DescribeTaskStatus: { Status: 0 },
    CreateRule: { LocationIds: ["loc-2", "loc-3"] },
  };
  const transport = (_service: string, action: string, request: object): Promise<unknown> => {
    if (action !== "DescribeTaskStatus") requests.push([action, request]);
    return Promise.resolve({ RequestId: "r", ...answers[action] });
  };
  const api = makeClbApi({ transport, clock, rateLimit: new RateLimit(clock, { perSecond: 1_000, pauseAfterThrottlingMs: 1_000 }) });
  const { signal } = new AbortController();
  const finish = async <T>(work: Promise<T>): Promise<T> => {
    await clock.advance(1_000);
    return await work;
  };
  const place = { listenerId: "lbl-1", locationId: "loc-1" };
  const slot = { ...place, ip: "10.244.0.1", port: 8080, weight: 10, podUid: "pod-1" };

  const [listener] = await api.listeners("lb-1", () => true, signal);
  assert.deepEqual(listener?.rules, [
    {
      ...place,
      domain: "shop.example.com",
      url: "/",
      scheduler: "IP_HASH",
      targets: [{ ip: "10.244.0.1", port: 8080, weight: 10 }],
      healthCheck: {
        enabled: true,
        intervalSeconds: 5,
        timeoutSeconds: 2,
        healthyCount: 3,
        unhealthyCount: 3,
        httpPath: "/",
        httpCodes: 31,
      },
    },
  ]);
  assert.deepEqual([...((await api.health(["lb-1"], signal)).get("lb-1") ?? [])], [["lbl-1/loc-1 10.244.0.1:8080", "Alive"]]);

  requests.length = 0;
  const rules = [
    { domain: "a.example.com", url: "/", healthCheck: { httpPath: "/ok", httpMethod: "GET" }, scheduler: "LEAST_CONN" },
    { domain: "b.example.com", url: "/b", healthCheck: {} },
  ] as const;
  assert.deepEqual(await finish(api.createRules("lb-1", { listenerId: "lbl-1", rules }, signal)), ["loc-2", "loc-3"]);
  await finish(api.modifyPlace("lb-1", place, { healthCheck: { enabled: false }, scheduler: "WRR" }, signal));
  await finish(api.deleteRules("lb-1", "lbl-1", ["loc-1"], signal));
  const redirected = { locationId: "loc-1", targetLocationId: "loc-9", domain: "a.example.com", code: 302, keepsPath: true };
  const redirects = { listenerId: "lbl-1", targetListenerId: "lbl-9", rules: [redirected] };
  await finish(api.makeRedirects("lb-1", redirects, signal));
  await finish(api.deleteRedirects("lb-1", redirects, signal));
  await finish(api.bind("lb-1", [slot], signal));
  await finish(api.unbind("lb-1", [slot], signal));
  await finish(api.setWeights("lb-1", [{ ...slot, weight: 0 }], signal));
  const lb = { LoadBalancerId: "lb-1" };
  const at = { ListenerId: "lbl-1", LocationId: "loc-1" };
  const between = { ...lb, SourceListenerId: "lbl-1", TargetListenerId: "lbl-9" };
  const locations = { SourceLocationId: "loc-1", TargetLocationId: "loc-9" };
  assert.deepEqual(requests, [
    [
      "CreateRule",
      {
        ...lb,
        ListenerId: "lbl-1",
        Rules: [
          { Domain: "a.example.com", Url: "/", HealthCheck: { HttpCheckPath: "/ok", HttpCheckMethod: "GET" }, Scheduler: "LEAST_CONN" },
          { Domain: "b.example.com", Url: "/b", HealthCheck: {} },
        ],
      },
    ],
    ["ModifyRule", { ...lb, ...at, HealthCheck: { HealthSwitch: 0 }, Scheduler: "WRR" }],
    ["DeleteRule", { ...lb, ListenerId: "lbl-1", LocationIds: ["loc-1"] }],
    ["ManualRewrite", { ...between, RewriteInfos: [{ ...locations, RewriteCode: 302, TakeUrl: true, SourceDomain: "a.example.com" }] }],
    ["DeleteRewrite", { ...between, RewriteInfos: [locations] }],
    ["BatchRegisterTargets", { ...lb, Targets: [{ ...at, EniIp: "10.244.0.1", Port: 8080, Weight: 10 }] }],
    ["BatchDeregisterTargets", { ...lb, Targets: [{ ...at, EniIp: "10.244.0.1", Port: 8080 }] }],
    ["BatchModifyTargetWeight", { ...lb, ModifyList: [{ ...at, Weight: 0, Targets: [{ EniIp: "10.244.0.1", Port: 8080, Weight: 0 }] }] }],
  ]);
  await assert.rejects(api.deleteRules("lb-1", "lbl-1", [], signal), RangeError);
});

test("a drain does not wait behind questions about batches that are taken for done", async () => {
  const clock = aFakeClock(1_790_000_000_000);
  const { signal } = new AbortController();
  const asked: string[] = [];
  let requests = 0;
  const transport = (_service: string, action: string): Promise<unknown> => {
    asked.push(action);
    return Promise.resolve(action === "DescribeTaskStatus" ? { Status: 0 } : { RequestId: `request-${requests++}` });
  };
  const api = makeClbApi({ transport, rateLimit: new RateLimit(clock, { perSecond: 20, pauseAfterThrottlingMs: 1_000 }), clock });
  const slot = { listenerId: "lbl-1", ip: "10.244.0.1", port: 8080 };
  const bind = (n: number): Promise<unknown> => api.bind(`lb-${n}`, [{ ...slot, weight: 10, podUid: "pod-1" }], signal);
  for (const n of [1, 2]) void bind(n);
  await clock.advance(1_000); // both were over at their answers
  for (let n = 0; n < 100; n++) void Promise.all([bind(n), api.unbind(`lb-${n}`, [slot], signal)]);
  await clock.advance(3_000);
  const startedMs = clock.now();
  const drained = api.setWeights("lb-1", [{ ...slot, weight: 0 }], signal).then(() => clock.now() - startedMs);
  await clock.advance(20_000);
  assert.ok((await drained) <= 200, `the drain took ${await drained} ms`); // the question a little later, and at most one token's time
  assert.equal(asked.filter((action) => action === "DescribeTaskStatus").length, 203); // they are asked about all the same
});
