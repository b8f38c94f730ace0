import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_HEALTH_CHECK, type LoadBalancer, placesOf } from "../../../coordinator/domain/load-balancer.ts";
import { type PlanInput, planLoadBalancer } from "../../../coordinator/domain/plan/plan-load-balancer.ts";
import { aBackend, aDesired, aWantedHttpListener, aWantedRule, CLUSTER } from "../../builders.ts";
import { aStage, type Stage } from "../stage.ts";

const backends = (count: number) => Array.from({ length: count }, (_, n) => aBackend({ podUid: `pod-${n}`, ip: `10.244.0.${n + 1}` }));
const WANTED = Array.from({ length: 25 }, (_, n) => aWantedRule({ domain: "Shop.Example.com", url: `/${n}`, backends: backends(30) }));

/** Plans and writes until nothing is left; e.g. ["structure", "bind"]. */
async function carryOut(stage: Stage, id: string, change: Partial<PlanInput>): Promise<string[]> {
  const lanes: string[] = [];
  for (; lanes.length < 30; ) {
    const { calls } = planLoadBalancer({ ...input(stage, id), ...change });
    const [call] = calls;
    if (call === undefined) return lanes;
    await stage.finish(stage.writer.make(id, call, stage.signal));
    await stage.clock.advance(1_500); // the lock is kept a little after the answer
    lanes.push(call.lane);
  }
  throw new Error(`still writing: ${lanes.join(", ")}`);
}
const input = (stage: Stage, id: string): PlanInput => {
  const actual = stage.mirror.read(id);
  assert.ok(actual !== undefined);
  const holderOf: PlanInput["holderOf"] = (ip) => ({ kind: "live", podUid: stage.addressClaims.podOf(id, ip) ?? "" });
  const desired = aDesired({ loadBalancerId: id, listeners: [aWantedHttpListener({ rules: WANTED })] });
  return { clusterId: CLUSTER, desired, actual, holderOf, serving: () => true, drained: () => true };
};
/** Each place with its targets and weights, in an order of its own. */
const summary = (one: LoadBalancer): string[] =>
  placesOf(one)
    .map((place) => [place.locationId, place.scheduler, ...place.targets.map(({ ip, weight }) => `${ip}=${weight}`).sort()].join(" "))
    .sort();

test("rules are made, bound, changed and removed on the cloud as planned, and a read afterwards asks for no write", async (t) => {
  const stage = aStage(t);
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  await stage.fill(id);
  const settled = async (change: Partial<PlanInput> = {}): Promise<void> => {
    const { actual } = input(stage, id);
    const look = await stage.look(id);
    assert.deepEqual(summary(actual), summary(look));
    assert.deepEqual(planLoadBalancer({ ...input(stage, id), ...change, actual: look }).calls, []);
    await stage.fill(id);
  };
  assert.deepEqual(await carryOut(stage, id, {}), ["structure", "structure", "bind", "structure", "bind"]);
  await settled();

  const calmer = WANTED.slice(0, 3).map((rule, n) => ({
    ...rule,
    backends: backends(20),
    ...(n === 0 && { scheduler: "LEAST_CONN" as const, healthCheck: { intervalSeconds: 9, httpPath: "/ok" } }),
  }));
  const change = { desired: aDesired({ loadBalancerId: id, listeners: [aWantedHttpListener({ rules: calmer })] }) };
  assert.deepEqual(await carryOut(stage, id, change), ["drain", "drain", "unbind", "tune", "delete", "delete"]);
  await settled(change);
  const [first] = placesOf(await stage.look(id)).filter(({ scheduler }) => scheduler === "LEAST_CONN");
  assert.deepEqual([first?.healthCheck.intervalSeconds, first?.healthCheck.httpPath], [9, "/ok"]);
  assert.equal(first?.healthCheck.timeoutSeconds, DEFAULT_HEALTH_CHECK.timeoutSeconds);

  const none = { desired: aDesired({ loadBalancerId: id }) };
  assert.deepEqual(await carryOut(stage, id, none), ["drain", "delete"]);
  await settled(none);
  assert.equal(stage.cloud.counts().overlaps, 0);
});
