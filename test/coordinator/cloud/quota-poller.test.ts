import assert from "node:assert/strict";
import { test } from "node:test";
import { QuotaPoller } from "../../../coordinator/cloud/quota-poller.ts";
import type { Quotas } from "../../../coordinator/domain/plan/quota-forecast.ts";
import { aFakeClock, silentLog } from "../pods.ts";

const QUOTAS: Quotas = { listenersPerLoadBalancer: 50, rulesPerListener: 50, targetsPerPlace: 200 };

test("tells when a quota was raised, not when it is as before, lower, or could not be read", async () => {
  const clock = aFakeClock();
  const answers: (Quotas | Error)[] = [
    QUOTAS,
    QUOTAS,
    { ...QUOTAS, targetsPerPlace: 100 },
    new Error("away"),
    { ...QUOTAS, targetsPerPlace: 100, rulesPerListener: undefined },
    { ...QUOTAS, targetsPerPlace: 500 },
  ];
  const raised: number[] = [];
  let read = 0;
  const quotas = async (): Promise<Quotas> => {
    const answer = answers[read++] ?? QUOTAS;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const stop = new AbortController();
  const poller = new QuotaPoller({ api: { quotas }, clock, log: silentLog, onRaised: () => void raised.push(read) });
  const over = poller.run(stop.signal);
  while (read < answers.length) await clock.advance(60_000);
  assert.deepEqual([raised, poller.current?.targetsPerPlace], [[answers.length], 500]);
  stop.abort();
  await over;
});
