import { fork } from "node:child_process";
import { once } from "node:events";
import { Client } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_client.js";
import type { StartOptions } from "../../test/cloud/cli/start.ts";
import { type Profile, TEST_KEY } from "../../test/cloud/runtime/options.ts";

/** Nothing but the cloud's own work: no latency, no task time. */
export const INSTANT: Profile = {
  apiLatencyMs: { default: 0, write: 0, jitterPct: 0 },
  taskMs: { base: 0, perRuleOnLb: 0, perTarget: 0 },
  batchTargets: { mode: "sync", busyAfterReturnMs: 0 },
  createLoadBalancerMs: 0,
};

/** What can be sent to another process; `scale` makes the clock. */
type ChildOptions = Omit<StartOptions, "clock" | "probe"> & { readonly scale: number };

export type ChildQuestion =
  | { readonly kind: "start"; readonly options: ChildOptions }
  | { readonly kind: "usage"; readonly garbage: boolean };
export type ChildAnswer =
  | { readonly kind: "started"; readonly endpoint: string; readonly adminUrl: string }
  | ({ readonly kind: "usage" } & Usage)
  | { readonly kind: "failed"; readonly reason: string };

/** CPU time since the start of the process, and its memory now. */
export type Usage = { readonly cpuMs: number; readonly heapBytes: number; readonly rssBytes: number };

export type CloudProcess = {
  readonly endpoint: string;
  readonly adminUrl: string;
  /** `garbage` is collected first, so that the heap is what is really held. */
  usage(garbage?: boolean): Promise<Usage>;
  stop(): Promise<void>;
};

/** Starts a cloud in a process of its own, so that its CPU and memory can be told apart. Rejects with what it failed with. */
export async function startCloudProcess(options: ChildOptions): Promise<CloudProcess> {
  const child = fork(new URL("./cloud-child.ts", import.meta.url));
  const ended = once(child, "exit");
  const ask = async (question: ChildQuestion): Promise<ChildAnswer> => {
    const answered = once(child, "message").then(([answer]) => answer as ChildAnswer); // our own child
    child.send(question);
    const answer = await Promise.race([
      answered,
      ended.then(([code, signal]): ChildAnswer => ({ kind: "failed", reason: `it ended with ${code ?? signal}` })),
    ]);
    if (answer.kind === "failed") throw new Error(`the cloud's process: ${answer.reason}`);
    return answer;
  };
  const started = await ask({ kind: "start", options });
  if (started.kind !== "started") throw new Error(`the cloud's process answered ${started.kind}`);
  return {
    endpoint: started.endpoint,
    adminUrl: started.adminUrl,
    usage: async (garbage = false) => {
      const usage = await ask({ kind: "usage", garbage });
      if (usage.kind !== "usage") throw new Error(`the cloud's process answered ${usage.kind}`);
      return usage;
    },
    stop: async () => {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}

/** The official SDK, pointed at the cloud. */
export function sdkFor(endpoint: string): Client {
  const { secretId, secretKey } = TEST_KEY;
  const httpProfile = { protocol: "http://", endpoint, reqTimeout: 60 } as const;
  return new Client({ credential: { secretId, secretKey }, region: "ap-guangzhou", profile: { httpProfile } });
}
