/** What somebody can do who has the stream token of one node: nothing to the Pods of any other, and nothing with Pods that do not exist. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import type { PodFact } from "../../common/vocabulary.ts";
import type { PodExplanation } from "../../coordinator/explain/explain.ts";
import { aPod } from "../builders.ts";
import type { Pod } from "../cluster/simulated/objects.ts";
import { metric } from "./disturbed-rollout.ts";
import { changedExample } from "./examples.ts";
import { converged, podsOf } from "./look.ts";
import { aStranger, type Stranger, stolenToken } from "./stranger.ts";
import { applyExample, boundTargets, startWorld, until, type World } from "./world.ts";

/** Everything that was tried took effect within a second before. */
const WAIT_MS = 3_000;
const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, WAIT_MS));

/** A ready Pod as the agent of node-a would report it, which no API server has. */
const invented = (over: Partial<PodFact>): PodFact =>
  aPod({
    uid: randomUUID(),
    name: `invented-${randomUUID().slice(0, 8)}`,
    nodeName: "node-a",
    resourceVersion: "9999999",
    hasGate: false,
    ...over,
  });
const onNode = (pods: readonly Pod[], node: string): readonly Pod[] => pods.filter(({ spec }) => spec.nodeName === node);
const ipOf = (pod: Pod | undefined): string => pod?.status?.podIP ?? "";

/** Six Pods that serve; the agent of node-a has ended, and somebody speaks with its token. */
async function robbed(t: TestContext): Promise<{ world: World; pods: readonly Pod[]; thief: Stranger }> {
  const world = await startWorld(t, { coordinatorEnv: { AGENT_GRACE_MS: "600000" } });
  await applyExample(world);
  const pods = await converged(world, { count: 6 });
  await world.product.agent("node-a")?.stop();
  const thief = await aStranger(t, world, await stolenToken(world, "node-a"));
  await thief.hello("node-a");
  const heard = thief.heard.filter((one) => one !== "tasks"); // which ports to probe is told to every stream
  assert.deepEqual(heard, ["welcome"], JSON.stringify(thief.end()));
  return { world, pods, thief };
}
const refused = (world: World, why: string): Promise<number> =>
  metric(world.product.opsUrl, "clb_direct_reports_refused_total", `why="${why}"`);
const own = (pods: readonly Pod[]): PodFact[] =>
  onNode(pods, "node-a").map((pod) =>
    aPod({ uid: pod.metadata.uid, name: pod.metadata.name, nodeName: "node-a", ips: [ipOf(pod)], labels: { app: "web" }, gate: "True" }),
  );

test("somebody has the stream token of a node", { timeout: 240_000 }, async (t) => {
  const { world, pods, thief } = await robbed(t);
  const before = boundTargets(world);
  assert.equal(before.size, 6);
  const others = onNode(pods, "node-b").map(ipOf);

  await t.test("invented Pods at the addresses of another node take nothing away from it", async () => {
    await thief.claim([...own(pods), ...others.map((ip) => invented({ ips: [ip] }))]);
    await wait();
    assert.deepEqual(boundTargets(world), before);
    assert.equal(await refused(world, "unknown"), others.length);
  });

  await t.test("an invented Pod at its own address is never bound", async () => {
    await thief.claim([...own(pods), invented({ ips: [world.plan.client] })]);
    await wait();
    assert.deepEqual(boundTargets(world), before);
  });

  await t.test("the UIDs of another node's Pods, told as its own, moved, or ended", async () => {
    const stolen = onNode(pods, "node-b").map((pod) =>
      invented({ uid: pod.metadata.uid, name: pod.metadata.name, ips: [world.plan.client] }),
    );
    await thief.claim([...own(pods), ...stolen]);
    await thief.claim(own(pods));
    await wait();
    assert.deepEqual(boundTargets(world), before);
    assert.ok((await refused(world, "foreign")) >= stolen.length);
  });

  await t.test("a name that leads to another object writes nothing there", async () => {
    const services = (): number => world.requests().filter(({ resource, byProduct }) => byProduct && resource === "services/status").length;
    const count = services();
    const crooked = ["../services/web", "..%2Fservices%2Fweb", "web/../../services/web"].map((name) =>
      invented({ name, hasGate: true, ips: [] }),
    );
    await thief.claim([...own(pods), ...crooked]);
    await wait();
    assert.equal(services(), count);
    assert.equal(await refused(world, "name"), crooked.length);
  });

  await t.test("more Pods than a node can have are refused, and a new Pod of another node is bound all the same", async () => {
    for (let part = 0; part < 5; part++)
      await thief.claim(Array.from({ length: 1_000 }, () => invented({ ips: [world.plan.client], hasGate: true })));
    assert.ok((await refused(world, "limit")) > 1_000);
    await applyExample(world, changedExample({ replicas: 7 }));
    const onB = await until("a Pod of node-b more is bound", async () => {
      const all = onNode(await podsOf(world, "app=web"), "node-b").filter((pod) => boundTargets(world).has(`${ipOf(pod)}:8080`));
      return all.length > others.length && all;
    });
    assert.ok(onB.length > 0);
  });
});

test("on a coordinator that has just begun, the UIDs of another node's Pods told first: the API server decides whose they are", {
  timeout: 120_000,
}, async (t) => {
  const { world, pods, thief } = await robbed(t);
  thief.close();
  const before = boundTargets(world);
  await world.product.agent("node-b")?.stop();
  await world.product.coordinator()?.stop();
  await world.product.startCoordinator();
  const again = await aStranger(t, world, await stolenToken(world, "node-a"));
  await again.hello("node-a");
  const stolen = onNode(pods, "node-b").map((pod) => invented({ uid: pod.metadata.uid, name: pod.metadata.name, ips: [ipOf(pod)] }));
  await again.claim([...own(pods), ...stolen]);
  await world.product.startAgent("node-b");
  const [first] = onNode(pods, "node-b");
  await until("the true node's report counts", async () => {
    const told = await world.product.explain<PodExplanation>(`?pod=demo/${first?.metadata.name}`).catch(() => undefined);
    return told?.node === "node-b" && told.factsFrom === "agent";
  });
  await wait();
  assert.deepEqual(boundTargets(world), before);
});
