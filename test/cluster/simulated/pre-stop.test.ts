/** What a simulated kubelet does with preStop hooks, as kubelets were seen to do it: one Pod, without an API server, on a clock of the test. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { after, before, suite, type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { pino } from "pino";
import { HOLD_PORT } from "../../../common/names.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";
import { claimSlot, type SlotClaim } from "../network.ts";
import { until } from "../process.ts";
import { AddressPool } from "./address-pool.ts";
import type { Container, Pod } from "./objects.ts";
import { KILLED, PodWorker } from "./pod-worker.ts";

/** For what comes over the network, however busy the machine is. */
const LIMIT_MS = 60_000;

const hook = (port: number, path = "/hold/t0ken"): Pick<Container, "lifecycle"> => ({
  lifecycle: { preStop: { httpGet: { port, path } } },
});

suite("preStop hooks of a simulated kubelet", () => {
  let slot: SlotClaim;
  before(async () => {
    slot = await claimSlot();
  });
  after(async () => await slot.release());

  type Calls = { readonly waiting: Map<string, ServerResponse>; readonly heads: string[]; readonly port: number };
  /** Something that is called at its own address, e.g. instead of a Pod's; calls wait, by path, until the test answers. */
  const listen = async (
    t: TestContext,
    host: string,
    { port = 0, answer = () => undefined }: { port?: number; answer?: (request: IncomingMessage, response: ServerResponse) => void } = {},
  ): Promise<Calls> => {
    const waiting = new Map<string, ServerResponse>();
    const heads: string[] = [];
    const server = createServer((request, response) => {
      waiting.set(request.url ?? "", response);
      heads.push(`${request.method} ${request.url} ${request.headers.host}`);
      answer(request, response);
    });
    await new Promise<void>((resolve, reject) => void server.once("error", reject).listen(port, host, resolve));
    t.after(() => server.close().closeAllConnections());
    const bound = server.address();
    return { waiting, heads, port: typeof bound === "object" ? (bound?.port ?? 0) : 0 };
  };
  const called = async ({ waiting }: Calls, path = "/"): Promise<ServerResponse> =>
    await until(`a call of ${path}`, () => waiting.get(path), LIMIT_MS, 5);

  /** A Pod whose application runs, on a clock that stands still but for `pass`. */
  const start = async (
    t: TestContext,
    containers: readonly Container[],
    { holdAddress, index = 0 }: { holdAddress?: string; index?: number } = {},
  ) => {
    const ip = slot.plan.podAddresses[index] ?? "";
    const clock = makeVirtualClock();
    const metadata = { name: `web-${index}`, namespace: "demo", uid: `pod-${index}` };
    const pod: Pod = { metadata: { ...metadata, resourceVersion: "1" }, spec: { containers } };
    let isRemoved = false;
    const phases: string[] = [];
    const client = {
      patch: async (_path: string, patch: { status: { phase: string } }) => {
        phases.push(patch.status.phase);
        return await Promise.resolve(pod);
      },
      delete: async () => {
        isRemoved = true;
        return await Promise.resolve(undefined);
      },
    };
    const deps = {
      client: client as never,
      log: pino({ level: "silent" }),
      hostIp: slot.plan.nodeAddress(0),
      addresses: new AddressPool([ip]),
      clock,
    };
    const worker = new PodWorker({ ...deps, holdAddress }, pod);
    t.after(() => worker.stop());
    const serves = (port: number): Promise<boolean> =>
      new Promise((resolve) => {
        const socket = connect(port, ip, () => resolve(true));
        socket.once("error", () => resolve(false)).once("connect", () => socket.destroy());
      });
    await until("the application", () => serves(8080));
    const remove = (grace: number, version = 2): void =>
      worker.see({
        ...pod,
        metadata: {
          ...pod.metadata,
          resourceVersion: String(version),
          deletionTimestamp: "2026-01-02T03:04:05Z",
          deletionGracePeriodSeconds: grace,
        },
      });
    const kill = (how: string): void =>
      worker.see({ ...pod, metadata: { ...pod.metadata, resourceVersion: "2", annotations: { [KILLED]: how } } });
    return {
      worker,
      remove,
      kill,
      /** As told to the API server. */
      phases,
      ip,
      serves: (port = 8080) => serves(port),
      refused: (port = 8080) => until(`SIGTERM at port ${port}`, async () => !(await serves(port)), LIMIT_MS, 5),
      /** What follows from it, but for the network, is over as well. */
      pass: async (ms: number): Promise<void> => {
        await clock.run(clock.sleep(ms));
        for (let turns = 0; turns < 20; turns++) await turn();
      },
      isRemoved: () => isRemoved,
      removed: () => until("the end", () => isRemoved, LIMIT_MS, 5),
    };
  };
  const web = (name: string, containerPort: number, more: Partial<Container> = {}, env: Container["env"] = []): Container => ({
    name,
    env: [{ name: "STARTUP_SECONDS", value: "0" }, ...(env ?? [])],
    ports: [{ containerPort }],
    ...more,
  });
  const elsewhere = (port: number): Pick<Container, "lifecycle"> => ({
    lifecycle: { preStop: { httpGet: { host: slot.plan.client, port } } },
  });

  test("the call has no timeout of its own, and its status is ignored", async (t) => {
    const calls = await listen(t, slot.plan.client);
    const pod = await start(t, [web("web", 8080, elsewhere(calls.port))]);
    pod.remove(7_200);
    const response = await called(calls);
    await pod.pass(3_600_000);
    assert.equal(await pod.serves(), true);
    response.writeHead(500).end();
    await pod.refused();
  });

  test("a connection that is refused or reset ends the hook at once", async (t) => {
    const refusing = await start(t, [web("web", 8080, hook(9))]);
    refusing.remove(10);
    await refusing.refused();
    await refusing.worker.stop();
    const { port } = await listen(t, slot.plan.client, { answer: (request) => request.socket.destroy() });
    const reset = await start(t, [web("web", 8080, elsewhere(port))]);
    reset.remove(10);
    await reset.refused();
  });

  test("hooks of several containers run at the same time, and each container gets SIGTERM after its own", async (t) => {
    const calls = await listen(t, slot.plan.podAddresses[0] ?? "", { port: 8090 });
    const pod = await start(t, [web("one", 8080, hook(8090, "/one")), web("two", 8081, hook(8090, "/two"))]);
    pod.remove(10);
    const [one, two] = [await called(calls, "/one"), await called(calls, "/two")];
    one.end();
    await pod.refused(8080);
    assert.equal(await pod.serves(8081), true);
    two.end();
    await pod.refused(8081);
    assert.deepEqual(calls.heads.toSorted(), [`GET /one ${pod.ip}:8090`, `GET /two ${pod.ip}:8090`]);
  });

  test("the hooks of 110 Pods are called at once, and each waits for its own answer", async (t) => {
    const holdAddress = slot.plan.nodeAddress(0);
    const calls = await listen(t, holdAddress, { port: HOLD_PORT });
    const pods = await Promise.all(
      Array.from({ length: 110 }, async (_, index) => {
        const path = `/hold/t0ken-${index}`;
        return { path, ...(await start(t, [web("web", 8080, hook(HOLD_PORT, path))], { holdAddress, index })) };
      }),
    );
    for (const { remove } of pods) remove(30);
    for (const { path } of pods) await called(calls, path);
    const [first, ...others] = pods;
    assert.ok(first !== undefined);
    (await called(calls, first.path)).end();
    await first.refused();
    for (const { serves } of others) assert.equal(await serves(), true);
    for (const { path } of others) (await called(calls, path)).end();
    await Promise.all(others.map(({ refused }) => refused()));
  });

  for (const [grace, answeredAtMs, killedAtMs] of [
    [4, 1_000, 4_000],
    [1, undefined, 3_000],
  ] as const)
    test(`a hook's time counts against a grace of ${grace} s, and 2 s are left for SIGTERM at least: SIGKILL after ${killedAtMs} ms`, async (t) => {
      const calls = await listen(t, slot.plan.client);
      const pod = await start(t, [web("web", 8080, elsewhere(calls.port), [{ name: "GRACEFUL", value: "true" }])]);
      const open = connect(8080, pod.ip).on("error", () => undefined);
      await new Promise((resolve) => open.once("connect", resolve).write("GET / HTTP/1.1\r\n")); // a request that never comes to its end
      pod.remove(grace);
      const response = await called(calls);
      const termAtMs = answeredAtMs ?? grace * 1_000;
      await pod.pass(termAtMs);
      if (answeredAtMs !== undefined) response.end();
      await pod.refused();
      await pod.pass(killedAtMs - termAtMs - 1);
      assert.equal(pod.isRemoved(), false);
      await pod.pass(1);
      await pod.removed();
      open.destroy();
    });

  test("a second deletion with a shorter grace does not reach a hook that runs", async (t) => {
    const calls = await listen(t, slot.plan.client);
    const pod = await start(t, [web("web", 8080, elsewhere(calls.port))]);
    pod.remove(30);
    const response = await called(calls);
    pod.remove(1, 3);
    await pod.pass(29_000);
    assert.equal(await pod.serves(), true);
    response.end();
    await pod.refused();
  });

  test("a deletion by force calls the hook and gives SIGTERM a second later, whatever it does", async (t) => {
    const calls = await listen(t, slot.plan.client);
    const pod = await start(t, [web("web", 8080, elsewhere(calls.port))]);
    void pod.worker.gone();
    await called(calls);
    await pod.pass(999);
    assert.equal(await pod.serves(), true);
    await pod.pass(1);
    await pod.refused();
    assert.equal(calls.heads.length, 1);
  });

  test("a container that is killed without a deletion serves until its hook is answered, and is started anew", async (t) => {
    const calls = await listen(t, slot.plan.client);
    const container = web("web", 8080, elsewhere(calls.port));
    const pod = await start(t, [{ ...container, env: [{ name: "STARTUP_SECONDS", value: "1" }] }]);
    await pod.pass(1);
    pod.kill("restart");
    const response = await called(calls);
    await pod.pass(5_000);
    assert.equal(await pod.serves(), true);
    response.end();
    await pod.refused();
    await until("it is started anew", () => pod.serves(), LIMIT_MS, 5);
    assert.deepEqual([calls.heads.length, pod.isRemoved()], [1, false]);
  });

  test("a node that shuts down calls the hooks, with its own grace, and keeps the Pod's object", async (t) => {
    const calls = await listen(t, slot.plan.client);
    const pod = await start(t, [web("web", 8080, elsewhere(calls.port))]);
    pod.kill("shutdown 20");
    await called(calls);
    await pod.pass(19_900);
    assert.equal(await pod.serves(), true, "nobody answers");
    await pod.pass(100);
    await pod.refused();
    await until("its phase", () => pod.phases.includes("Failed"), LIMIT_MS, 5);
    assert.equal(pod.isRemoved(), false);
  });

  test("without a rule, calls to the hold port go to the hold server, with the Pod's address as their host", async (t) => {
    const holdAddress = slot.plan.nodeAddress(0);
    const calls = await listen(t, holdAddress, { port: HOLD_PORT, answer: (_, response) => void response.end() });
    const pod = await start(t, [web("web", 8080, hook(HOLD_PORT))], { holdAddress });
    pod.remove(10);
    await pod.refused();
    assert.deepEqual(calls.heads, [`GET /hold/t0ken ${pod.ip}:${HOLD_PORT}`]);
  });
});
