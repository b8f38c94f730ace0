import assert from "node:assert/strict";
import { test } from "node:test";
import { Writer } from "../../../coordinator/load-balancers/writer.ts";
import { LISTENER_NAME } from "../../builders.ts";
import { silentLog } from "../pods.ts";
import { aStage, newListeners, withCode } from "../stage.ts";

const WISH = newListeners({ healthCheck: { intervalSeconds: 7 }, scheduler: "LEAST_CONN" });

/** One listener with optional settings is created at a cloud that refuses what `refuses` names. */
async function create(t: Parameters<typeof aStage>[0], refuses: Pick<RegExp, "test">, code = "FailedOperation") {
  const stage = aStage(t);
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  await stage.fill(id);
  const { api, mirror, addressClaims, clock } = stage;
  const told: string[] = [];
  const writer = new Writer({
    api,
    mirror,
    addressClaims,
    clock,
    log: silentLog,
    onLeftOut: (_id, name, settings, { words }) => void told.push(`${name}: ${settings.join(", ")}: ${words}`),
  });
  stage.intercept.by = (action, request) => {
    if (action === "CreateListener" && refuses.test(JSON.stringify(request)))
      throw Object.assign(new Error("Uin does not support it"), { code, requestId: "req-1" });
  };
  const made = stage.finish(writer.make(id, { lane: "structure", create: WISH }, stage.signal));
  return { stage, id, told, made, creations: () => stage.calls.filter(({ action }) => action === "CreateListener").length };
}

const CASES = [
  { title: "its health check", refuses: /IntervalTime/, left: "healthCheck intervalSeconds 7", scheduler: "LEAST_CONN", tries: 3 },
  { title: "its scheduler", refuses: /LEAST_CONN/, left: "scheduler LEAST_CONN", scheduler: "WRR", tries: 4 },
  {
    title: "both",
    refuses: /LEAST_CONN|IntervalTime/,
    left: "healthCheck intervalSeconds 7, scheduler LEAST_CONN",
    scheduler: "WRR",
    tries: 5,
  },
] as const;

for (const { title, refuses, left, scheduler, tries } of CASES)
  test(`a listener is created without what the cloud refuses of ${title}, which is named`, async (t) => {
    const { stage, id, told, made, creations } = await create(t, refuses);
    await made;
    assert.deepEqual(told, [`${LISTENER_NAME}: ${left}: Uin does not support it`]);
    const [listener] = stage.mirror.read(id)?.listeners ?? [];
    assert.deepEqual([listener?.scheduler, creations()], [scheduler, tries]);
    assert.deepEqual(stage.mirror.read(id), await stage.look(id));
  });

test("a failure that has passed costs a listener none of its settings", async (t) => {
  let failures = 1;
  const passing = { test: () => failures-- > 0 };
  const { stage, id, told, made } = await create(t, passing);
  await made;
  const [listener] = stage.mirror.read(id)?.listeners ?? [];
  assert.deepEqual([told, listener?.scheduler, listener?.healthCheck.intervalSeconds], [[], "LEAST_CONN", 7]);
});

for (const [why, code, tries] of [
  ["the port is taken", "InvalidParameter.PortCheckFailed", 1],
  ["the right is missing", "UnauthorizedOperation", 1],
  ["everything is refused", "FailedOperation", 5],
] as const)
  test(`a listener that cannot be created at all fails with the first answer: ${why}`, async (t) => {
    const { told, made, creations } = await create(t, /./, code);
    await assert.rejects(made, withCode(code));
    assert.deepEqual([told, creations()], [[], tries]);
  });
