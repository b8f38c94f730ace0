/** The product beside two real nodes, with an emulated cloud: what tests of agents and of hold servers begin with. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { makeClock } from "../../../../common/clock.ts";
import { startCloud } from "../../../cloud/cli/start.ts";
import { TEST_KEY } from "../../../cloud/runtime/options.ts";
import { makeProduct, type Product } from "../../product.ts";
import type { Cluster } from "../../simulated/cluster.ts";
import { NODE_NAMES, startTestNodes, type TestNodes } from "./testing.ts";

export type TestProduct = { readonly started: TestNodes; readonly product: Product };

/** `holds`: agents get hold servers; `drainMs`: how long a drain takes where connections are not counted. */
type TestProductOptions = { readonly holds?: boolean; readonly drainMs?: number };

/** One coordinator runs, no agent yet. `onEnd` takes what stops a part, also where a later one does not start. */
export async function startTestProduct(
  onEnd: (step: () => Promise<unknown>) => void,
  { holds = false, drainMs = 3_000 }: TestProductOptions = {},
): Promise<TestProduct> {
  const started = await startTestNodes();
  onEnd(() => started.stop());
  const { admin, slot, nodes } = started;
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-nodes-test-"));
  onEnd(() => rm(directory, { recursive: true, force: true }));
  const { cloud: host, vipRange: vipCidr } = slot.plan;
  const cloud = await startCloud({ host, vipCidr, keys: [TEST_KEY], backendCidrs: [nodes.range] });
  onEnd(() => cloud.stop());
  const cluster: Cluster = { client: admin, clock: makeClock(), log: pino({ level: "silent" }) };
  const product = makeProduct({
    cluster,
    apiServer: started.cluster,
    install: "everything",
    cloudEndpoint: cloud.endpoint,
    keys: [TEST_KEY],
    plan: nodes.plan,
    nodes: NODE_NAMES,
    enter: nodes.enter,
    directory,
    holds,
    coordinatorEnv: { DRAIN_MS: String(drainMs) },
  });
  onEnd(() => product.stop());
  await product.startCoordinator();
  return { started, product };
}

/** Takes all of it away in reverse order; what ran on would keep the file from ending, so a part that fails is told after the others. */
export async function endAll(steps: readonly (() => Promise<unknown>)[]): Promise<void> {
  const ends: PromiseSettledResult<unknown>[] = [];
  for (const step of steps.toReversed()) ends.push(...(await Promise.allSettled([step()])));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
