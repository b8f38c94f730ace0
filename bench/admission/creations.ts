/** The Pods that are created, as dry runs. */
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { INJECT_LABEL } from "../../common/names.ts";
import { TIMEOUT_SECONDS } from "../../coordinator/admission/webhook-objects.ts";
import { isGated } from "../../test/cluster/injected.ts";
import type { Kind } from "./rows.ts";

export const NAMESPACE = "bench";
/** Pods with it are meant for the control. */
export const CONTROL_LABEL = "bench.example.com/control";

const LABELS: Readonly<Record<Kind, Readonly<Record<string, string>>>> = {
  alone: { [INJECT_LABEL]: "disabled" },
  control: { [INJECT_LABEL]: "disabled", [CONTROL_LABEL]: "true" },
  webhook: {},
  again: { [INJECT_LABEL]: "disabled", [CONTROL_LABEL]: "true" },
};

const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
/** Until the last one of a burst is answered, however slow the machine is. */
const ANSWER_MS = 60_000;
/** A client has 32 connections: what is more waits in it, and not at the API server. */
export const PER_CLIENT = 32;

/** `isLate`: the API server went on without the webhook, because it had no answer in time. */
export type Created = { readonly tookMs: number; readonly isLate: boolean };
export type Create = (kind: Kind, index: number) => Promise<Created>;

/** Creates Pods that one of so many Services selects. Rejects where one has not what it should have, though the API server need not have waited. */
export function makeCreate(clients: readonly KubeClient[], services: number): Create {
  let next = 0;
  return async (kind, index) => {
    const client = clients[next++ % clients.length];
    if (client === undefined) throw new Error("no client");
    const labels = { app: `web-${index % services}`, ...LABELS[kind] };
    const pod = { metadata: { generateName: "web-", labels }, spec: { containers: [{ name: "web", image: "web" }] } };
    const startedMs = performance.now();
    const created = await untilTaken(client, pod);
    const tookMs = performance.now() - startedMs;
    const isGood = isGated(created) === (kind !== "alone");
    const isLate = !isGood && kind !== "alone" && tookMs >= TIMEOUT_SECONDS * 1_000;
    if (!isGood && !isLate) throw new Error(`a Pod of kind ${kind} has not what it should, after ${Math.round(tookMs)} ms`);
    return { tookMs, isLate };
  };
}

/** What the API server has too much of is created again, as kubectl and controllers do. */
async function untilTaken(client: KubeClient, pod: object): Promise<unknown> {
  for (;;)
    try {
      return await client.create(PODS, pod, { query: { dryRun: "All" }, timeoutMs: ANSWER_MS });
    } catch (error) {
      if (!(error instanceof KubeApiError) || error.failure !== "throttled") throw error;
      await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs ?? 1_000));
    }
}

/** So many, so many at a time; what each of them gave. */
export async function inParallel<T>(many: number, parallel: number, one: (index: number) => Promise<T>): Promise<readonly T[]> {
  const all: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < many) all.push(await one(next++));
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return all;
}
