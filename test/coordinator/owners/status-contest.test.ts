import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServiceRecord } from "../../../coordinator/domain/intent/service.ts";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import { otherWriter, StatusContest } from "../../../coordinator/owners/status-contest.ts";
import { aService } from "../../builders.ts";
import { aFakeClock } from "../pods.ts";

const VALUE = "198.18.0.1 of load balancer lb-1";
const written = (manager: string, time: string, fields: object) => ({ manager, time, operation: "Update", fieldsV1: fields });
const STATUS = { "f:status": { "f:loadBalancer": { "f:ingress": {} } } };
const RAW = {
  metadata: {
    managedFields: [
      written("kubectl", "2026-01-02T03:00:00Z", { "f:spec": {} }),
      written("cloud-controller-manager", "2026-01-02T03:04:05Z", STATUS),
      written("clb-direct", "2026-01-02T03:04:06Z", STATUS),
    ],
  },
};

/** Somebody who changes the status as soon as we have written it; writes whenever it may for so long. */
async function contested(ms: number) {
  const clock = aFakeClock();
  const told: Problem[] = [];
  const client = { list: async () => await Promise.resolve({ items: [RAW as never], resourceVersion: "1" }) };
  const contest = new StatusContest({ client, clock, tell: (problem) => void told.push(problem) });
  const { signal } = new AbortController();
  const writes: number[] = [];
  let version = 1;
  for (const endMs = clock.now() + ms; clock.now() < endMs; await clock.advance(25)) {
    const service = aService({ resourceVersion: String(++version), ingress: ["203.0.113.7"] });
    if (contest.restMs(service, VALUE) !== 0) continue;
    await contest.foresee(service, VALUE, signal);
    contest.wrote(service, VALUE);
    writes.push(clock.now());
  }
  return { clock, contest, told, writes };
}

test("a status that another controller changes at once is put back ever more rarely, and who it is is told once", async () => {
  const { told, writes } = await contested(300_000);
  assert.ok(writes.length <= 17, `${writes.length} writes in five minutes`);
  const last = writes.slice(-2);
  assert.ok((last[1] ?? 0) - (last[0] ?? 0) >= 30_000, last.join());
  assert.equal(told.length, 1);
  const { reason, message } = told[0] ?? {};
  assert.equal(reason, "StatusContested");
  for (const part of ["Service demo/web", "cloud-controller-manager", "203.0.113.7", VALUE, "loadBalancerClass"])
    assert.ok(message?.includes(part), message);
});

test("a status that was cleared by hand is put back at once, and nobody is told", async () => {
  const clock = aFakeClock();
  const told: Problem[] = [];
  const client = { list: async () => await Promise.resolve({ items: [RAW as never], resourceVersion: "1" }) };
  const contest = new StatusContest({ client, clock, tell: (problem) => void told.push(problem) });
  const put = async (service: ServiceRecord): Promise<void> => {
    await contest.foresee(service, VALUE, new AbortController().signal);
    contest.wrote(service, VALUE);
  };
  await put(aService({ resourceVersion: "1" }));
  assert.equal(contest.restMs(aService({ resourceVersion: "1" }), VALUE), "unseen"); // the watch has not shown our own write
  assert.equal(contest.restMs(aService({ resourceVersion: "5" }), VALUE), 0);
  await put(aService({ resourceVersion: "5" }));
  await clock.advance(700_000);
  await put(aService({ resourceVersion: "9" }));
  assert.deepEqual(told, []);
});

test("another value than the last one is written at once", async () => {
  const { contest } = await contested(60_000);
  assert.equal(contest.restMs(aService({ resourceVersion: "99999" }), "198.18.0.2 of load balancer lb-1"), 0);
});

test("who wrote the status is read from managedFields, and nobody where they are not there", () => {
  assert.equal(otherWriter(RAW), "cloud-controller-manager");
  assert.equal(otherWriter({ metadata: {} }), undefined);
});
