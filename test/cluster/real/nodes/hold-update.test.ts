/** Held Pods while the agent of their node is replaced, and while it stands still: stock kubelets, the product's own processes. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, suite, type TestContext, test } from "node:test";
import type { HoldEnd } from "../../../../common/holds.ts";
import type { PodExplanation } from "../../../../coordinator/explain/explain.ts";
import { until } from "../../process.ts";
import type { Product } from "../../product.ts";
import type { Pod } from "../../simulated/objects.ts";
import { heldPods, startAgents } from "./held-pods.ts";
import { endAll, startTestProduct } from "./test-product.ts";
import { realNodesSkip } from "./testing.ts";

const skip = await realNodesSkip();
/** Longer than an update takes on a busy machine. */
const DRAIN_MS = 20_000;
const GRACE_SECONDS = 60;
/** The drain time is over: whichever is heard first then, that or the coordinator's word that the Pod is bound nowhere. */
const DRAINED: ReadonlySet<string> = new Set<HoldEnd>(["drain-time", "released"]);

/** A skipped suite would not be counted; a skipped test is. */
const realSuite = (name: string, tests: () => void): void => {
  if (skip === false) suite(name, tests);
  else test(name, { skip });
};

/** A connection to each that stays open until the test ends, so that none is drained before its drain time is over. */
function keepConnected(t: TestContext, pods: readonly Pod[]): Promise<unknown> {
  const open = ({ status }: Pod): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect(8080, status?.podIP ?? "", () => resolve(socket)).on("error", reject);
      t.after(() => socket.destroy());
    });
  return Promise.all(pods.map(open));
}

realSuite("held Pods and what becomes of their agent", () => {
  let product: Product;
  let nodeAddress = "";
  let pods: ReturnType<typeof heldPods>;
  const steps: (() => Promise<unknown>)[] = [];

  before(async () => {
    const started = await startTestProduct((step) => steps.push(step), { holds: true, drainMs: DRAIN_MS });
    ({ product } = started);
    await startAgents(started);
    pods = heldPods(started);
    nodeAddress = started.started.nodes.nodes.find(({ name }) => name === "node-b")?.address ?? "";
  });
  after(() => endAll(steps));

  test("twenty holds across an update of the agent: each is answered when its drain is over, by whoever took the call", async (t) => {
    const all = await pods.deploy("updated", 20, { grace: GRACE_SECONDS });
    await keepConnected(t, all);
    const [early, during, late] = [all.slice(0, 8), all.slice(8, 14), all.slice(14)];
    const begun = async (): Promise<number> => await pods.begun("node-a", all);
    await pods.remove(early);
    await until("the old one holds", async () => (await begun()) === early.length, 30_000);
    const updating = product.updateAgent("node-a");
    await pods.remove(during);
    const former = await updating;
    await pods.remove(late);
    await until("all are held", async () => (await begun()) === all.length, 30_000);
    for (const one of former) assert.equal(one.hasExited(), false, `${one.name} finishes what it holds`);
    await pods.untilGone("updated");
    const held = await pods.ends("node-a", all);
    assert.equal(held.length, all.length);
    for (const { pod, lowered, end, heldMs = 0 } of held) {
      assert.deepEqual([lowered, DRAINED.has(end ?? "")], [true, true], `${pod}: ${end}`);
      assert.ok(heldMs >= DRAIN_MS, `${pod}: ${heldMs} ms`);
    }
    assert.deepEqual(
      await Promise.all(former.map(({ exited }) => exited)),
      former.map(() => 0),
    );
  });

  test("new connections that still come after the answer are counted: whoever sends them does not know of the drain", async () => {
    const [pod] = await pods.deploy("asked", 1, { node: "node-b", grace: GRACE_SECONDS });
    const address = pod?.status?.podIP ?? "";
    const countOf = async (): Promise<number> => {
      const text = await (await fetch(`http://${nodeAddress}:9090/metrics`)).text();
      return Number(/^clb_direct_agent_connections_after_hold_total (\d+)$/m.exec(text)?.[1]);
    };
    const known = await countOf();
    await pods.remove(pod === undefined ? [] : [pod]);
    const asked: Socket[] = [];
    const ask = (): void => {
      const socket = connect(8080, address).on("error", () => undefined);
      socket.destroySoon();
      asked.push(socket);
    };
    const asking = setInterval(ask, 50);
    try {
      await until("some were counted", async () => (await countOf()) > known, 60_000);
    } finally {
      clearInterval(asking);
      for (const socket of asked) socket.destroy(); // the kernel asks for two minutes where nobody is any more
    }
    await pods.untilGone("asked");
  });

  test("an agent that stands still for ten seconds in the middle takes nothing from a hold", async (t) => {
    const some = await pods.deploy("blocked", 3, { node: "node-b", grace: GRACE_SECONDS });
    await keepConnected(t, some);
    await pods.remove(some);
    await until(
      "all have weight 0",
      async () => {
        const told = some.map(({ metadata }) => product.explain<PodExplanation>(`?pod=demo/${metadata.name}`));
        return (await Promise.all(told)).every(({ held }) => held?.includes(": lowered") === true);
      },
      30_000,
    );
    product.agent("node-b")?.signal("SIGSTOP");
    try {
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      assert.deepEqual(await pods.ends("node-b", some), []);
    } finally {
      product.agent("node-b")?.signal("SIGCONT");
    }
    await pods.untilGone("blocked");
    const held = await pods.ends("node-b", some);
    assert.deepEqual(
      held.map(({ end, lowered }) => [DRAINED.has(end ?? ""), lowered]),
      some.map(() => [true, true]),
    );
  });
});
