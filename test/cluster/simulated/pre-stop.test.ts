/** What a simulated kubelet does with preStop hooks, as kubelets were seen to do it: one Pod, without an API server. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { after, before, suite, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { HOLD_PORT } from "../../../common/names.ts";
import { claimSlot, type SlotClaim } from "../network.ts";
import { until } from "../process.ts";
import { AddressPool } from "./address-pool.ts";
import type { Container, Pod } from "./objects.ts";
import { PodWorker } from "./pod-worker.ts";

const hook = (port: number, path = "/hold/t0ken"): Pick<Container, "lifecycle"> => ({
  lifecycle: { preStop: { httpGet: { port, path } } },
});

suite("preStop hooks of a simulated kubelet", () => {
  let slot: SlotClaim;
  before(async () => {
    slot = await claimSlot();
  });
  after(async () => await slot.release());

  type Calls = { readonly at: number[]; readonly heads: string[]; readonly port: number };
  /** Something that is called at its own address, e.g. instead of a Pod's. */
  const listen = async (
    t: TestContext,
    host: string,
    answer: (request: IncomingMessage, response: ServerResponse) => void,
    port = 0,
  ): Promise<Calls> => {
    const calls = { at: [] as number[], heads: [] as string[] };
    const server = createServer((request, response) => {
      calls.at.push(performance.now());
      calls.heads.push(`${request.method} ${request.url} ${request.headers.host}`);
      answer(request, response);
    });
    await new Promise<void>((resolve, reject) => void server.once("error", reject).listen(port, host, resolve));
    t.after(() => server.close().closeAllConnections());
    const bound = server.address();
    return { ...calls, port: typeof bound === "object" ? (bound?.port ?? 0) : 0 };
  };

  /** A Pod whose application runs; `ended` is when each container had ended, since the deletion. */
  const start = async (
    t: TestContext,
    containers: readonly Container[],
    { holdAddress, index = 0 }: { holdAddress?: string; index?: number } = {},
  ) => {
    const ip = slot.plan.podAddresses[index] ?? "";
    const metadata = { name: `web-${index}`, namespace: "demo", uid: `pod-${index}` };
    const pod: Pod = { metadata: { ...metadata, resourceVersion: "1" }, spec: { containers } };
    let isRemoved = false;
    const client = {
      patch: async () => await Promise.resolve(pod),
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
    };
    const worker = new PodWorker({ ...deps, holdAddress }, pod);
    t.after(() => worker.stop());
    const serves = (port: number): Promise<boolean> =>
      new Promise((resolve) => {
        const socket = connect(port, ip, () => resolve(true));
        socket.once("error", () => resolve(false)).once("connect", () => socket.destroy());
      });
    await until("the application", () => serves(8080));
    const startMs = performance.now();
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
    const until0 = async (done: () => boolean | Promise<boolean>): Promise<number> => {
      await until("the end", done, 15_000, 10);
      return performance.now() - startMs;
    };
    return {
      worker,
      remove,
      ip,
      sinceDeletion: (atMs: number | undefined): number => (atMs ?? Number.NaN) - startMs,
      refused: (port = 8080) => until0(async () => !(await serves(port))),
      removed: () => until0(() => isRemoved),
    };
  };
  const web = (name: string, containerPort: number, more: Partial<Container> = {}, env: Container["env"] = []): Container => ({
    name,
    env: [{ name: "STARTUP_SECONDS", value: "0" }, ...(env ?? [])],
    ports: [{ containerPort }],
    ...more,
  });
  /** Never too early; how late says how busy the machine is. */
  const near = (ms: number, wanted: number, what: string): void =>
    assert.ok(ms > wanted - 100 && ms < wanted + 4_000, `${what} after ${ms} ms, ${wanted} expected`);

  test("the call has no timeout of its own, and its status is ignored", async (t) => {
    const { port } = await listen(t, slot.plan.client, (_, response) => void sleep(1_500).then(() => response.writeHead(500).end()));
    const { remove, refused } = await start(t, [
      web("web", 8080, { lifecycle: { preStop: { httpGet: { host: slot.plan.client, port } } } }),
    ]);
    remove(10);
    near(await refused(), 1_500, "SIGTERM");
  });

  test("a connection that is refused or reset ends the hook at once", async (t) => {
    const refusing = await start(t, [web("web", 8080, hook(9))]);
    refusing.remove(10);
    near(await refusing.refused(), 0, "SIGTERM");
    await refusing.worker.stop();
    const { port } = await listen(t, slot.plan.client, (request) => request.socket.destroy());
    const reset = await start(t, [web("web", 8080, { lifecycle: { preStop: { httpGet: { host: slot.plan.client, port } } } })]);
    reset.remove(10);
    near(await reset.refused(), 0, "SIGTERM");
  });

  test("hooks of several containers run at the same time, and each container gets SIGTERM after its own", async (t) => {
    const calls = await listen(
      t,
      slot.plan.podAddresses[0] ?? "",
      (request, response) => void sleep(request.url === "/one" ? 500 : 1_500).then(() => response.end()),
      8090,
    );
    const pod = await start(t, [web("one", 8080, hook(8090, "/one")), web("two", 8081, hook(8090, "/two"))]);
    pod.remove(10);
    const [one, two] = await Promise.all([pod.refused(8080), pod.refused(8081)]);
    near(one, 500, "SIGTERM of the first");
    near(two, 1_500, "SIGTERM of the second");
    for (const at of calls.at) near(pod.sinceDeletion(at), 0, "its call");
    assert.deepEqual(calls.heads.toSorted(), [`GET /one ${pod.ip}:8090`, `GET /two ${pod.ip}:8090`]);
  });

  test("the hooks of 110 Pods are called at once, and each waits for its own answer", async (t) => {
    const holdAddress = slot.plan.nodeAddress(0);
    const waiting: ServerResponse[] = [];
    await listen(t, holdAddress, (_, response) => void waiting.push(response), HOLD_PORT);
    const many = { length: 110 };
    const pods = await Promise.all(
      Array.from(many, async (_, index) => await start(t, [web("web", 8080, hook(HOLD_PORT))], { holdAddress, index })),
    );
    for (const { remove } of pods) remove(30);
    await until("all are called", () => waiting.length === pods.length, 15_000);
    for (const response of waiting) response.end();
    await Promise.all(pods.map(({ refused }) => refused()));
  });

  test("a hook's time counts against the grace period; 2 s are left for SIGTERM at least", async (t) => {
    const { port } = await listen(t, slot.plan.client, (_, response) => void sleep(1_000).then(() => response.end()));
    const stubborn = { lifecycle: { preStop: { httpGet: { host: slot.plan.client, port } } } };
    for (const [grace, expected] of [
      [4, 4_000],
      [1, 3_000],
    ] as const) {
      const pod = await start(t, [web("web", 8080, stubborn, [{ name: "GRACEFUL", value: "true" }])]);
      const open = connect(8080, pod.ip).on("error", () => undefined);
      open.write("GET / HTTP/1.1\r\n"); // a request that never comes to its end
      await sleep(50);
      pod.remove(grace);
      near(await pod.removed(), expected, `SIGKILL with a grace period of ${grace} s`);
      open.destroy();
      await pod.worker.stop();
    }
  });

  test("a second deletion with a shorter grace does not reach a hook that runs", async (t) => {
    const { port } = await listen(t, slot.plan.client, (_, response) => void sleep(3_000).then(() => response.end()));
    const pod = await start(t, [web("web", 8080, { lifecycle: { preStop: { httpGet: { host: slot.plan.client, port } } } })]);
    pod.remove(30);
    await sleep(200);
    pod.remove(1, 3);
    near(await pod.refused(), 3_000, "SIGTERM");
  });

  test("a deletion by force calls the hook and gives SIGTERM a second later, whatever it does", async (t) => {
    const calls = await listen(t, slot.plan.client, () => undefined);
    const pod = await start(t, [web("web", 8080, { lifecycle: { preStop: { httpGet: { host: slot.plan.client, port: calls.port } } } })]);
    void pod.worker.gone();
    near(await pod.refused(), 1_000, "SIGTERM");
    assert.equal(calls.at.length, 1);
  });

  test("without a rule, calls to the hold port go to the hold server, with the Pod's address as their host", async (t) => {
    const holdAddress = slot.plan.nodeAddress(0);
    const calls = await listen(t, holdAddress, (_, response) => void response.end(), HOLD_PORT);
    const pod = await start(t, [web("web", 8080, hook(HOLD_PORT))], { holdAddress });
    pod.remove(10);
    await pod.refused();
    assert.deepEqual(calls.heads, [`GET /hold/t0ken ${pod.ip}:${HOLD_PORT}`]);
  });
});
