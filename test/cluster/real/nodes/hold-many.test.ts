/** Many Pods of one node, all deleted at once; in hold.test.ts there are few. HELD_PODS sets how many: `npm run proof:hold` takes as many as a stock kubelet does. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { until } from "../../process.ts";
import { heldPods, startAgents } from "./held-pods.ts";
import { endAll, startTestProduct, type TestProduct } from "./test-product.ts";
import { realNodesSkip } from "./testing.ts";

const skip = await realNodesSkip();
const COUNT = Number(process.env["HELD_PODS"] ?? "20");
/** Two cores start and end a hundred containers in some minutes, and nothing else beside; the grace outlasts the calls of all. For few the usual one does. */
const GRACE_SECONDS = COUNT > 20 ? 120 : 30;
const READY_MS = 400_000;

/** Who does not serve refuses the connection at once; a machine on which 20 Pods are being deleted may take its time for an answer. */
const isServing = (ip: string): Promise<boolean> =>
  fetch(`http://${ip}:8080/`, { headers: { connection: "close" }, signal: AbortSignal.timeout(5_000) }).then(
    ({ ok }) => ok,
    () => false,
  );

/** A skipped suite would not be counted; a skipped test is. */
const realSuite = (name: string, tests: () => void): void => {
  if (skip === false) suite(name, tests);
  else test(name, { skip });
};

realSuite("the preStop hold of a full node", () => {
  let given: TestProduct;
  const steps: (() => Promise<unknown>)[] = [];

  before(async () => {
    given = await startTestProduct((step) => steps.push(step), { holds: true, names: ["node-a"] });
    await startAgents(given);
  });
  after(() => endAll(steps));

  test(`${COUNT} Pods at once: each is called for, and serves until weight 0 is effective and its drain is over`, async () => {
    const { deploy, remove, begun, ends, untilGone } = heldPods(given);
    const pods = await deploy("many", COUNT, { grace: GRACE_SECONDS, readyMs: READY_MS });
    await remove(pods);
    assert.equal(await isServing(pods[0]?.status?.podIP ?? ""), true);
    await until("all are held or have been", async () => (await begun("node-a", pods)) === COUNT, 60_000);
    await untilGone("many", READY_MS);
    const held = await ends("node-a", pods);
    assert.equal(held.length, COUNT);
    for (const { pod, lowered, end } of held)
      assert.ok(lowered === true && (end === "drained" || end === "drain-time"), `${pod}: ${end}, lowered: ${lowered}`);
  });
});
