/** One whole installation for a flow test: cloud, cluster and nodes in this process, coordinator and agents as the processes they are. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { pino } from "pino";
import { makeClock } from "../../common/clock.ts";
import { type KubeClient, makeKubeClient } from "../../common/kube-client.ts";
import { type ApiKey, type CloudOptions, TEST_KEY } from "../cloud/options.ts";
import { type StartedCloud, startCloud } from "../cloud/start.ts";
import { type AuditEntry, type EmbeddedCluster, startApiServer } from "../cluster/embedded/server.ts";
import { applyManifests, exampleFile, loadManifests, type Manifest } from "../cluster/manifests.ts";
import { type AddressPlan, claimSlot } from "../cluster/network.ts";
import { lastLines, until } from "../cluster/process.ts";
import { makeProduct, type Product } from "../cluster/product.ts";
import { type SimulatedCluster, startSimulatedCluster } from "../cluster/simulated/start.ts";

export type WorldOptions = {
  readonly nodes?: readonly string[];
  /** Nodes that get an agent; default: all. */
  readonly agents?: readonly string[];
  readonly cloud?: Partial<CloudOptions>;
  readonly coordinatorEnv?: Readonly<Record<string, string>>;
  readonly agentEnv?: Readonly<Record<string, string>>;
  /** Coordinators that agents are told of; the test starts the second one. Default 1. */
  readonly replicas?: 1 | 2;
  readonly bookmarkMs?: number;
  /** Uses the cloud of another world instead of one of its own: two clusters in one account. */
  readonly sharing?: World;
};

/** One answered request to the API server; that of a watch when it began. */
export type SeenRequest = AuditEntry & { readonly atMs: number };

/** Who the simulated nodes and the test are at the API server; the product is everybody else (an agent acts as its node where it can). */
const CLUSTER_USER = "simulated-cluster";
export const isByProduct = ({ username }: AuditEntry): boolean => username !== CLUSTER_USER;

export type World = {
  readonly plan: AddressPlan;
  readonly cloud: StartedCloud;
  readonly api: EmbeddedCluster;
  readonly client: KubeClient;
  readonly product: Product;
  readonly simulated: SimulatedCluster;
  readonly directory: string;
  /** All requests to the API server so far, oldest first. */
  readonly requests: readonly SeenRequest[];
};

/** What a second world on the same cloud signs with, so that the cloud's journal tells the two apart. */
export const SECOND_KEY: ApiKey = { secretId: "AKIDCLBDIRECTTEST00000000000000000001", secretKey: TEST_KEY.secretKey };

/** Drains are short, so that tests see their end. */
const COORDINATOR_ENV = { DRAIN_MS: "3000", LOG_LEVEL: "debug" };

/** Ends with the test, which also checks what must hold in every flow: no two writes at one load balancer ever overlapped. */
export async function startWorld(t: TestContext, options: WorldOptions = {}): Promise<World> {
  const nodes = options.nodes ?? ["node-a", "node-b"];
  const { plan, release } = await claimSlot();
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-flow-"));
  const keepLogs = process.env["KEEP_LOGS"] !== undefined; // for a look at a run by hand
  const steps: (() => Promise<unknown>)[] = [release, ...(keepLogs ? [] : [() => rm(directory, { recursive: true, force: true })])];
  t.after(async () => {
    if (!(t as TestContext & { passed: boolean }).passed)
      console.error(`coordinator's log ends:\n${lastLines(join(directory, "coordinator.log"), 40)}`);
    const failures: unknown[] = [];
    for (const step of steps.toReversed()) await step().catch((error: unknown) => failures.push(error)); // one that fails must not keep the others from running
    if (failures.length > 0) throw new AggregateError(failures, "the world did not end cleanly");
  });

  const cloud =
    options.sharing?.cloud ??
    (await startCloud({ host: plan.cloud, vipCidr: plan.vipRange, keys: [TEST_KEY, SECOND_KEY], ...options.cloud }));
  if (options.sharing === undefined) steps.push(() => cloud.stop());
  const requests: SeenRequest[] = [];
  const onRequest = (entry: AuditEntry): void => void requests.push({ ...entry, atMs: Date.now() });
  const api = await startApiServer({ host: plan.apiServer, bookmarkMs: options.bookmarkMs ?? 5_000, onRequest });
  steps.push(() => api.stop());
  const kubeconfigFile = join(directory, "kubeconfig");
  await writeFile(kubeconfigFile, api.kubeconfig(), { mode: 0o600 });
  const clock = makeClock();
  const log = pino({ level: "silent" });
  const client = await makeKubeClient({ clock, env: { KUBECONFIG: kubeconfigFile }, impersonateUser: CLUSTER_USER });
  steps.push(() => client.close());
  const cluster = { client, clock, log };
  const simulated = await startSimulatedCluster({ ...cluster, nodes, plan });
  steps.push(() => simulated.stop());
  const product = makeProduct({
    cluster,
    apiServer: api,
    install: "accounts",
    cloudEndpoint: cloud.endpoint,
    keys: options.sharing === undefined ? [TEST_KEY, SECOND_KEY] : [SECOND_KEY],
    plan,
    nodes,
    directory,
    coordinatorEnv: { ...COORDINATOR_ENV, ...options.coordinatorEnv },
    ...(options.agentEnv && { agentEnv: options.agentEnv }),
    ...(options.replicas && { replicas: options.replicas }),
  });
  steps.push(() => product.stop());
  await product.startCoordinator();
  await Promise.all((options.agents ?? nodes).map((node) => product.startAgent(node)));
  return { plan, cloud, api, client, product, simulated, directory, requests };
}

/** The example manifests, changed for the network at hand and by `change`. */
async function exampleManifests(
  plan: AddressPlan,
  change: (manifest: Manifest) => Manifest = (manifest) => manifest,
): Promise<readonly Manifest[]> {
  const manifests = await loadManifests(exampleFile("web.yaml"));
  return manifests.map((manifest) =>
    change(JSON.parse(JSON.stringify(manifest).replaceAll('"port":80,', `"port":${plan.servicePort},`)) as Manifest),
  );
}

export async function applyExample(
  world: World,
  change?: (manifest: Manifest) => Manifest,
  wanted: (manifest: Manifest) => boolean = () => true,
): Promise<void> {
  await applyManifests(world.client, (await exampleManifests(world.plan, change)).filter(wanted));
}

/** What the only load balancer of the cloud has bound: "ip:port" -> weight, over all its listeners. */
export function boundTargets(world: World): Map<string, number> {
  const bound = new Map<string, number>();
  for (const { listeners } of world.cloud.cloud.state().loadBalancers)
    for (const { targets } of listeners) for (const { ip, port, weight } of targets) bound.set(`${ip}:${port}`, weight);
  return bound;
}

export { until };
