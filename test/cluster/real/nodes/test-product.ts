/** The product beside two real nodes, with an emulated cloud: what tests of agents and of hold servers begin with. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { makeClock } from "../../../../common/clock.ts";
import { type StartedCloud, startCloud } from "../../../cloud/cli/start.ts";
import { TEST_KEY } from "../../../cloud/runtime/options.ts";
import { readScenario } from "../../../cloud/scenario/scenario.ts";
import { makeProduct, type Product } from "../../product.ts";
import type { Cluster } from "../../simulated/cluster.ts";
import type { RealNode } from "./start.ts";
import { NODE_NAMES, startTestNodes, type TestNodes } from "./testing.ts";

export type TestProduct = { readonly started: TestNodes; readonly product: Product; readonly cloud: StartedCloud };

type TestProductOptions = {
  /** Agents get hold servers; default: they do not. */
  readonly holds?: boolean;
  /** How long a drain takes where connections are not counted; default 3 s. */
  readonly drainMs?: number;
  /** The nodes are TKE's, with the account that this says of them, as a scenario has it; default: plain nodes, and nobody described the network. */
  readonly accountOf?: (nodes: readonly RealNode[]) => object;
  readonly coordinatorEnv?: Readonly<Record<string, string>>;
  /** The coordinator is a process on that node's network, as the Pod of an installation; no agent runs then. Default: it runs where the test does. */
  readonly coordinatorOn?: string;
  /** As in RealNodesOptions. */
  readonly logind?: string | undefined;
  /** Default: two. */
  readonly names?: readonly string[];
};

/** One coordinator runs, no agent yet. `onEnd` takes what stops a part, also where a later one does not start. */
export async function startTestProduct(
  onEnd: (step: () => Promise<unknown>) => void,
  { holds = false, drainMs = 3_000, accountOf, coordinatorEnv, coordinatorOn, logind, names = NODE_NAMES }: TestProductOptions = {},
): Promise<TestProduct> {
  const started = await startTestNodes({ isTke: accountOf !== undefined, logind, names });
  onEnd(() => started.stop());
  const { admin, slot, nodes } = started;
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-nodes-test-"));
  if (process.env["KEEP_LOGS"] === undefined) onEnd(() => rm(directory, { recursive: true, force: true })); // for a look at a run by hand
  const { cloud: host, vipRange: vipCidr } = slot.plan;
  const account = accountOf && readScenario(JSON.stringify(accountOf(nodes.nodes)), "account", Date.now()); // JSON is YAML
  account?.options.network?.globalRouterCidrs.push(nodes.range);
  const cloud = await startCloud({ ...account?.options, backendCidrs: [nodes.range], host, vipCidr, keys: [TEST_KEY], metadataPort: 0 });
  onEnd(() => cloud.stop());
  const place = nodes.nodes.find(({ name }) => name === coordinatorOn);
  const cluster: Cluster = { client: admin, clock: makeClock(), log: pino({ level: "silent" }) };
  const product = makeProduct({
    cluster,
    apiServer: started.cluster,
    install: "everything",
    cloudEndpoint: cloud.endpoint,
    keys: [TEST_KEY],
    plan: place === undefined ? nodes.plan : { ...nodes.plan, coordinator: place.address },
    ...(place !== undefined && { behind: nodes.enter(place.name) }),
    nodes: names,
    enter: nodes.enter,
    directory,
    holds,
    coordinatorEnv: { DRAIN_MS: String(drainMs), ...coordinatorEnv },
    agentEnvOf: (node) => metadataEnv(cloud, node),
  });
  onEnd(() => product.stop());
  await product.startCoordinator();
  return { started, product, cloud };
}

/** Where an agent finds the metadata service of its node: that of the instance "ins-<node>". Nowhere, where the account has none. */
const metadataEnv = ({ metadata }: StartedCloud, node: string): Record<string, string> => ({
  METADATA_URL: metadata.get(`ins-${node.replace("-", "")}`) ?? "",
});

/** Takes all of it away in reverse order; what ran on would keep the file from ending, so a part that fails is told after the others. */
export async function endAll(steps: readonly (() => Promise<unknown>)[]): Promise<void> {
  const ends: PromiseSettledResult<unknown>[] = [];
  for (const step of steps.toReversed()) ends.push(...(await Promise.allSettled([step()])));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
