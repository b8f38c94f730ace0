import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { inspect } from "node:util";
import { Client } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_client.js";
import type { HealthCheck } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { makeClock } from "../../../common/clock.ts";
import { type StartOptions, startCloud } from "../../cloud/cli/start.ts";
import { type ApiKey, type Profile, TEST_KEY } from "../../cloud/runtime/options.ts";
import { reset } from "../../reset.ts";

/** For tests that only want to get there. */
export const QUICK: Profile = {
  apiLatencyMs: { default: 0, write: 0, jitterPct: 0 },
  taskMs: { base: 40, perRuleOnLb: 0, perTarget: 0 },
  batchTargets: { mode: "sync", busyAfterReturnMs: 0 },
  createLoadBalancerMs: 40,
};

/** The fastest check that the API allows: healthy after 2–4 s. */
export const FAST_CHECK: HealthCheck = { IntervalTime: 2, TimeOut: 2, HealthNum: 2, UnHealthNum: 2 };

/** For tests that look while a task runs. */
export const UNHURRIED: Profile = { ...QUICK, taskMs: { base: 300, perRuleOnLb: 0, perTarget: 0 }, createLoadBalancerMs: 300 };

/** VIPs of this process: test files run side by side and must not listen on each other's addresses. */
export const VIPS = `127.198.${process.pid % 256}.0/24`;

export function sdkFor(endpoint: string, key: ApiKey = TEST_KEY): Client {
  const { secretId, secretKey, token } = key;
  const httpProfile = { protocol: "http://", endpoint, reqTimeout: 10 } as const;
  return new Client({
    credential: { secretId, secretKey, ...(token !== undefined && { token }) },
    region: "ap-guangzhou",
    profile: { httpProfile },
  });
}

/** Waiting for tasks. */
export type Settled = {
  /** Polls until the task is over. */
  readonly task: (accepted: { RequestId?: string }) => Promise<{ Status?: number; Message?: string }>;
  /** The same, and it must have succeeded; gives back what it was given. */
  readonly done: <T extends { RequestId?: string }>(accepted: T) => Promise<T>;
};

export function settled(sdk: Client, pollMs = 5): Settled {
  const task: Settled["task"] = async (accepted) => {
    for (;;) {
      const status = await sdk.DescribeTaskStatus({ TaskId: accepted.RequestId ?? "" });
      if (status.Status !== 2) return status;
      await delay(pollMs);
    }
  };
  return {
    task,
    done: async (accepted) => {
      const { Status, Message } = await task(accepted);
      assert.equal(Status, 0, Message);
      return accepted;
    },
  };
}

/** A cloud over HTTP that ends with the test, and the official SDK pointed at it. */
export async function withCloud(t: TestContext, options: StartOptions = {}) {
  const limits = { clbPerSecond: 100_000, tagPerSecond: 100_000, ...options.limits };
  const started = await startCloud({ vipCidr: VIPS, profile: QUICK, ...options, limits });
  t.after(() => started.stop());
  const sdk = sdkFor(started.endpoint);
  const { task, done } = settled(sdk);
  const listener = async (LoadBalancerId: string, port: number, check: HealthCheck = FAST_CHECK): Promise<string> => {
    const created = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [port], Protocol: "TCP", HealthCheck: check }));
    return created.ListenerIds?.[0] ?? "";
  };
  return { ...started, sdk, task, done, listener };
}

/** Time so many times as fast; by twenty a check of 2 s comes every 100 ms. */
export const hurried = (times = 20) => makeClock(times);

/** The call must fail with this code of the API; gives the message. */
export async function failsWith(code: string, call: Promise<unknown>): Promise<string> {
  const failure: unknown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(failure instanceof Error && "code" in failure, `expected ${code}, got ${inspect(failure)}`);
  assert.equal(failure.code, code, failure.message);
  return failure.message;
}

/** Waits until it is so; fails with the sentence after 5 s. */
export async function eventually(sentence: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const started = Date.now(); Date.now() - started < 5000; await delay(5)) if (await isSo()) return;
  assert.fail(`not within 5 s: ${sentence}`);
}

/** A backend that echoes, and counts the connections that sent a byte (probes send none). */
export async function echoBackend(t: TestContext, host: string, port = 0) {
  const talked = new Set<Socket>();
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => undefined).once("close", () => open.delete(socket));
    socket.on("data", (data) => {
      talked.add(socket);
      socket.write(`${host} ${data.toString()}`);
    });
  });
  await new Promise<void>((resolve) => void server.listen(port, host, resolve));
  const stop = async (): Promise<void> => {
    for (const socket of open) reset(socket);
    await new Promise<void>((resolve) => void server.close(() => resolve()));
  };
  t.after(stop);
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return { ip: host, port: address.port, talked, open, stop };
}
