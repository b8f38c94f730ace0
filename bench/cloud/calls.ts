import signer from "tencentcloud-sdk-nodejs/tencentcloud/common/sign.js";
import type { Client } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_client.js";
import { Pool } from "undici";
import { TEST_KEY } from "../../test/cloud/runtime/options.ts";
import { type CloudProcess, INSTANT, sdkFor, startCloudProcess } from "./cloud-process.ts";
import type { Figure } from "./table.ts";

const UNLIMITED = 1_000_000;
/** Callers at a time: enough to keep two cores busy, few enough that none waits long. */
const CALLERS = 16;
const BATCH_TARGETS = 500;

/** The API without data plane: calls per second and CPU of a full batch. `seconds` per measurement. */
export async function benchCalls(seconds: number): Promise<Figure[]> {
  const limits = { clbPerSecond: UNLIMITED };
  const cloud = await startCloudProcess({ scale: 1, profile: INSTANT, dataPlane: false, health: "scripted", limits });
  try {
    const signed = await callRate(seconds, cloud, signedCaller(cloud.endpoint));
    const sdk = sdkFor(cloud.endpoint);
    const bySdk = await callRate(seconds, cloud, { call: () => sdk.DescribeQuota(null), close: async () => undefined });
    const batch = await batchCpu(cloud, sdk);
    return [
      { name: "simple calls through HTTP with signature", value: signed.perSecond, unit: "/s", goal: { atLeast: 2000 } },
      { name: "  CPU of one in the cloud", value: signed.cloudCpuMs, unit: "ms" },
      { name: "simple calls by the official SDK", value: bySdk.perSecond, unit: "/s" },
      { name: "  CPU of one in the SDK's process", value: bySdk.callerCpuMs, unit: "ms" },
      { name: `CPU of a batch of ${BATCH_TARGETS} targets: bind`, value: batch.bindMs, unit: "ms", goal: { atMost: 5 } },
      { name: `CPU of a batch of ${BATCH_TARGETS} targets: unbind`, value: batch.unbindMs, unit: "ms", goal: { atMost: 5 } },
      { name: "  CPU of the same in the SDK's process", value: batch.sdkMs, unit: "ms" },
    ];
  } finally {
    await cloud.stop();
  }
}

type Caller = { readonly call: () => Promise<unknown>; readonly close: () => Promise<void> };

/** One call, signed once and sent again and again (a signature holds for 5 min), so that the caller costs little. Rejects on any error. */
function signedCaller(endpoint: string): Caller {
  const url = `http://${endpoint}/`;
  const timestamp = Math.floor(Date.now() / 1000);
  const common = { method: "POST", url, payload: {}, timestamp, service: "clb", multipart: false, boundary: "", ...TEST_KEY };
  const authorization = signer.default.sign3({ ...common, headers: { "Content-Type": "application/json" } });
  const headers = {
    authorization,
    "content-type": "application/json",
    "x-tc-action": "DescribeQuota",
    "x-tc-version": "2018-03-17",
    "x-tc-region": "ap-guangzhou",
    "x-tc-timestamp": String(timestamp),
  };
  const pool = new Pool(`http://${endpoint}`, { connections: CALLERS });
  return {
    call: async () => {
      const { statusCode, body } = await pool.request({ path: "/", method: "POST", headers, body: "{}" });
      const text = await body.text();
      if (statusCode !== 200 || text.includes('"Error"')) throw new Error(`the cloud answered ${statusCode} ${text}`);
    },
    close: () => pool.close(),
  };
}

async function callRate(seconds: number, cloud: CloudProcess, { call, close }: Caller) {
  // Enough that the compiled code is measured, not the compiling.
  for (let warmUp = 0; warmUp < 2000; warmUp++) await call();
  const [cloudBefore, callerBefore, startedMs] = [await cloud.usage(), process.cpuUsage(), performance.now()];
  let calls = 0;
  const endMs = startedMs + seconds * 1000;
  const caller = async (): Promise<void> => {
    for (; performance.now() < endMs; calls++) await call();
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  const tookMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(callerBefore);
  const cloudCpuMs = ((await cloud.usage()).cpuMs - cloudBefore.cpuMs) / calls;
  await close();
  return { perSecond: (calls * 1000) / tookMs, cloudCpuMs, callerCpuMs: (user + system) / 1000 / calls };
}

/** CPU of one call, in ms: 500 new targets over five listeners bound, and unbound again. */
async function batchCpu(cloud: CloudProcess, sdk: Client, rounds = 40) {
  const made = await fetch(`${cloud.adminUrl}/load-balancers`, { method: "POST", body: "{}" });
  const { loadBalancerId: LoadBalancerId } = (await made.json()) as { loadBalancerId: string };
  const Ports = [1, 2, 3, 4, 5];
  const { ListenerIds = [] } = await sdk.CreateListener({ LoadBalancerId, Ports, Protocol: "TCP" });
  const perListener = BATCH_TARGETS / Ports.length;
  const Targets = ListenerIds.flatMap((ListenerId) =>
    Array.from({ length: perListener }, (_, index) => ({ ListenerId, EniIp: `10.244.1.${index}`, Port: 8080, Weight: 10 })),
  );
  const spent = { bindMs: 0, unbindMs: 0, sdkMs: 0 };
  const measured = async (what: "bindMs" | "unbindMs", call: () => Promise<{ FailListenerIdSet?: string[] }>): Promise<void> => {
    const [cloudBefore, before] = [await cloud.usage(), process.cpuUsage()];
    const { FailListenerIdSet = [] } = await call();
    const { user, system } = process.cpuUsage(before);
    if (FailListenerIdSet.length > 0) throw new Error(`a batch failed for ${FailListenerIdSet.join(", ")}`);
    spent[what] += (await cloud.usage()).cpuMs - cloudBefore.cpuMs;
    spent.sdkMs += (user + system) / 1000;
  };
  for (let round = -5; round < rounds; round++) {
    if (round === 0) spent.bindMs = spent.unbindMs = spent.sdkMs = 0; // what came before was warm-up
    await measured("bindMs", () => sdk.BatchRegisterTargets({ LoadBalancerId, Targets }));
    await measured("unbindMs", () => sdk.BatchDeregisterTargets({ LoadBalancerId, Targets }));
  }
  return { bindMs: spent.bindMs / rounds, unbindMs: spent.unbindMs / rounds, sdkMs: spent.sdkMs / rounds / 2 };
}
