/** A node whose machine shuts down under a stock kubelet: its Pods end without a deletion, all at once. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { startLoad } from "../../../demo/load.ts";
import { until } from "../../process.ts";
import type { Pod } from "../../simulated/objects.ts";
import { findLogind } from "./application.ts";
import { heldPods, PODS, startAgents } from "./held-pods.ts";
import { endAll, startTestProduct, type TestProduct } from "./test-product.ts";
import { realNodesSkip } from "./testing.ts";

const logind = findLogind();
const skip = (await realNodesSkip()) || (logind.kind === "missing" && logind.reason);
const [LEAVING, STAYING] = [3, 4];
const SHUTDOWN_MS = 120_000;
/** Of the held ones that live on, as far as anybody knows (hold-budget.ts), and what a busy machine adds. */
const SIGN_MS = 6_500;
const PATIENCE_MS = 10_000;

/** A skipped suite would not be counted; a skipped test is. */
const realSuite = (name: string, tests: () => void): void => {
  if (skip === false) suite(name, tests);
  else test(name, { skip });
};

realSuite("a node that shuts down", () => {
  let given: TestProduct;
  const steps: (() => Promise<unknown>)[] = [];

  before(async () => {
    given = await startTestProduct((step) => steps.push(step), { holds: true, ...(logind.kind === "found" && { logind: logind.file }) });
    await startAgents(given);
  });
  after(() => endAll(steps));

  test("its Pods are held until weight 0 is effective, and no new connection fails", async (t) => {
    const { deploy, ends } = heldPods(given);
    const { started, cloud } = given;
    const staying = await deploy("staying", STAYING, { node: "node-b" });
    const leaving = await deploy("leaving", LEAVING);
    const targets = (): ReadonlyMap<string, number> =>
      new Map(
        cloud.cloud
          .state()
          .loadBalancers.flatMap(({ listeners }) => listeners.flatMap((one) => one.targets.map(({ ip, weight }) => [ip, weight]))),
      );
    const isAlive = ({ status }: Pod): boolean => (targets().get(status?.podIP ?? "") ?? 0) > 0;
    assert.ok([...staying, ...leaving].every(isAlive));
    const [loadBalancer] = cloud.cloud.state().loadBalancers;
    const [listener] = loadBalancer?.listeners ?? [];
    const load = startLoad({
      host: loadBalancer?.vip ?? "",
      port: listener?.port ?? 0,
      rate: 100,
      localAddress: started.slot.plan.client,
      timeoutMs: PATIENCE_MS,
    });
    t.after(() => load.stop());
    const since = cloud.cloud.journal.lastSeq;
    await started.nodes.shutDown("node-a", SHUTDOWN_MS);
    const held = await ends("node-a", leaving);
    for (const { pod, end, lowered, heldMs = 0 } of held) {
      assert.deepEqual([end, lowered], ["drained", true], pod);
      assert.ok(heldMs < SIGN_MS, `${pod}: ${heldMs} ms`);
    }
    assert.equal(held.length, LEAVING);
    const { items } = await started.admin.list<Pod>(PODS, { labelSelector: "test=leaving" });
    // By its exit code, although the kubelet means it to be Failed: the application's is 0.
    assert.deepEqual(
      items.map(({ metadata, status }) => [status?.phase, metadata.deletionTimestamp]),
      leaving.map(() => ["Succeeded", undefined]),
    );
    await until("nothing of it is bound", () => leaving.every(({ status }) => !targets().has(status?.podIP ?? "")), 60_000);
    assert.ok(staying.every(isAlive));
    const { requests, failures } = await load.stop();
    const calls = cloud.cloud.journal
      .since(since)
      .flatMap((entry) => (entry.kind === "call" && !entry.action.startsWith("Describe") ? [entry.action] : []));
    t.diagnostic(
      `${requests} requests, ${failures.length} failed; held for ${held.map(({ heldMs = 0 }) => heldMs).join(", ")} ms; ${calls.join(", ")}`,
    );
    assert.deepEqual(
      failures.filter(({ connection }) => connection === "new"),
      [],
      `${failures.length} of ${requests} requests failed`,
    );
    assert.ok(requests >= 100, `only ${requests} requests were sent`);
  });
});
