/** One whole installation for a flow test: cloud, cluster and nodes in this process, coordinator and agents as the processes they are. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { type StartedCloud, startCloud } from "../cloud/cli/start.ts";
import { type ApiKey, type CloudOptions, TEST_KEY } from "../cloud/runtime/options.ts";
import type { EmbeddedCluster } from "../cluster/embedded/server.ts";
import { applyInjected } from "../cluster/injected.ts";
import { applyManifests, exampleFile, loadManifests, type Manifest } from "../cluster/manifests.ts";
import type { AddressPlan } from "../cluster/network.ts";
import { lastLines, until } from "../cluster/process.ts";
import { makeProduct, type Product } from "../cluster/product.ts";
import type { Pod } from "../cluster/simulated/objects.ts";
import { type FlowCluster, KIND, type SeenRequest, type Troubles } from "./cluster.ts";
import { startEmbedded } from "./embedded-cluster.ts";
import { startReal } from "./real-cluster.ts";
import { makeWire, type Wire } from "./wire.ts";

export type WorldOptions = {
  readonly nodes?: readonly string[];
  /** Nodes that get an agent; default: all. */
  readonly agents?: readonly string[];
  readonly cloud?: Partial<CloudOptions>;
  readonly coordinatorEnv?: Readonly<Record<string, string>>;
  readonly agentEnv?: Readonly<Record<string, string>>;
  /** Each agent has a hold server, and new Pods are held where that is proven; default: no Pod gets a hook of ours. */
  readonly holds?: boolean;
  /** Coordinators that agents are told of; the test starts the second one. Default 1. */
  readonly replicas?: 1 | 2;
  /** Uses the cloud of another world instead of one of its own: two clusters in one account. */
  readonly sharing?: World;
  /** Each process of the product reaches the API server by a wire of its own, which a test can break. */
  readonly wired?: boolean;
  /** What the product's processes are started with, see ProductOptions. */
  readonly programs?: Parameters<typeof makeProduct>[0]["programs"];
};

export type World = {
  readonly plan: AddressPlan;
  readonly cloud: StartedCloud;
  /** Only on an embedded cluster, for faults that no real API server shows. */
  readonly embedded?: EmbeddedCluster;
  /** As an administrator. */
  readonly client: KubeClient;
  readonly anotherClient: FlowCluster["anotherClient"];
  readonly apiServer: FlowCluster["apiServer"];
  readonly troubles: Troubles;
  readonly product: Product;
  readonly directory: string;
  /** The Pods of Namespace demo, at once and without a request. */
  readonly pods: () => readonly Pod[];
  /** All requests to the API server so far, oldest first. */
  readonly requests: () => readonly SeenRequest[];
  /** By the name of the process's Pod, e.g. "clb-direct-coordinator-0"; empty without `wired`. */
  readonly wires: ReadonlyMap<string, Wire>;
};

/** What a second world on the same cloud signs with, so that the cloud's journal tells the two apart. */
export const SECOND_KEY: ApiKey = { secretId: "AKIDCLBDIRECTTEST00000000000000000001", secretKey: TEST_KEY.secretKey };

/** Drains are short, so that tests see their end. */
const COORDINATOR_ENV = { DRAIN_MS: "3000", LOG_LEVEL: "debug" };

/** On the kind of cluster that CLUSTER names. Ends with the test. */
export async function startWorld(t: TestContext, options: WorldOptions = {}): Promise<World> {
  const nodes = options.nodes ?? ["node-a", "node-b"];
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-flow-"));
  const keepLogs = process.env["KEEP_LOGS"] !== undefined; // for a look at a run by hand
  const steps: (() => Promise<unknown>)[] = keepLogs ? [] : [() => rm(directory, { recursive: true, force: true })];
  t.after(async () => {
    if (!(t as TestContext & { passed: boolean }).passed)
      console.error(`coordinator's log ends:\n${lastLines(join(directory, "coordinator.log"), 40)}`);
    const failures: unknown[] = [];
    for (const step of steps.toReversed()) await step().catch((error: unknown) => failures.push(error)); // one that fails must not keep the others from running
    if (failures.length > 0) throw new AggregateError(failures, "the world did not end cleanly");
  });

  const embedded = KIND === "embedded" ? await startEmbedded(nodes, directory) : undefined;
  const { cluster, end, install, ...seen } = embedded ?? (await startReal(nodes));
  steps.push(end);
  const { plan, apiServer } = seen;
  const cloud =
    options.sharing?.cloud ??
    (await startCloud({ host: plan.cloud, vipCidr: plan.vipRange, keys: [TEST_KEY, SECOND_KEY], ...options.cloud }));
  if (options.sharing === undefined) steps.push(() => cloud.stop());
  const wires = new Map<string, Wire>();
  steps.push(async () => void (await Promise.all([...wires.values()].map((wire) => wire.stop()))));
  const apiServerUrl = async (pod: string): Promise<string> => {
    const wire = wires.get(pod) ?? (await makeWire(apiServer.url));
    wires.set(pod, wire);
    return wire.url;
  };
  const product = makeProduct({
    cluster,
    apiServer,
    ...(embedded && { storeSlice: embedded.storeSlice }),
    ...(options.wired && { apiServerUrl }),
    install,
    cloudEndpoint: cloud.endpoint,
    keys: options.sharing === undefined ? [TEST_KEY, SECOND_KEY] : [SECOND_KEY],
    plan,
    nodes,
    directory,
    coordinatorEnv: { ...COORDINATOR_ENV, ...options.coordinatorEnv },
    ...(options.agentEnv && { agentEnv: options.agentEnv }),
    ...(options.holds && { holds: options.holds }),
    ...(options.replicas && { replicas: options.replicas }),
    ...(options.programs && { programs: options.programs }),
  });
  steps.push(() => product.stop());
  await product.startCoordinator();
  await Promise.all((options.agents ?? nodes).map((node) => product.startAgent(node)));
  return { ...seen, ...(embedded && { embedded: embedded.api }), cloud, product, directory, wires };
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

/** Every Pod gets the gate, as in a cluster that has known the Service for a while; without the Service they get none. */
export async function applyExample(
  world: World,
  change?: (manifest: Manifest) => Manifest,
  wanted: (manifest: Manifest) => boolean = () => true,
): Promise<void> {
  const manifests = (await exampleManifests(world.plan, change)).filter(wanted);
  await (manifests.some(({ kind }) => kind === "Service") ? applyInjected : applyManifests)(world.client, manifests);
}

/** What the only load balancer of the cloud has bound: "ip:port" -> weight, over all its listeners. */
export function boundTargets(world: World): Map<string, number> {
  const bound = new Map<string, number>();
  for (const { listeners } of world.cloud.cloud.state().loadBalancers)
    for (const { targets } of listeners) for (const { ip, port, weight } of targets) bound.set(`${ip}:${port}`, weight);
  return bound;
}

export { until };
