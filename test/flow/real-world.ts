/** The same installation as world.ts, on a real control plane: etcd, kube-apiserver, controller manager, scheduler; simulated nodes. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { pino } from "pino";
import { makeClock } from "../../common/clock.ts";
import type { KubeClient } from "../../common/kube-client.ts";
import { TEST_KEY } from "../cloud/options.ts";
import { type StartedCloud, startCloud } from "../cloud/start.ts";
import { applyManifests, exampleFile, loadManifests } from "../cluster/manifests.ts";
import { type AddressPlan, addressPlan, claimSlot } from "../cluster/network.ts";
import { makeProduct, type Product } from "../cluster/product.ts";
import { findControlPlane } from "../cluster/real/binaries.ts";
import { ADMIN, kubeletUser } from "../cluster/real/certificates.ts";
import { networkFault, type RealCluster, startControlPlane } from "../cluster/real/control-plane.ts";
import { untilSchedulable } from "../cluster/real/schedulable.ts";
import { startSimulatedCluster } from "../cluster/simulated/start.ts";
import { SECOND_KEY } from "./world.ts";

const NODES = ["node-a", "node-b"];

/** Why no test can run on a real control plane here; false: it can. For the `skip` option of a test. */
export async function realSkip(): Promise<string | false> {
  const found = await findControlPlane();
  return found.kind === "missing" ? found.reason : (networkFault(addressPlan(1)) ?? false);
}

export type RealWorld = {
  readonly plan: AddressPlan;
  readonly cloud: StartedCloud;
  readonly cluster: RealCluster;
  readonly admin: KubeClient;
  readonly product: Product;
};

/** With RBAC and policy of deploy/manifests; both processes run with their own ServiceAccounts. Ends with the test. */
export async function startRealWorld(t: TestContext, options: { readonly replicas?: 1 | 2 } = {}): Promise<RealWorld> {
  const found = await findControlPlane();
  if (found.kind === "missing") throw new Error(found.reason);
  const { plan, release } = await claimSlot();
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-flow-"));
  const steps: (() => Promise<unknown>)[] = [release, () => rm(directory, { recursive: true, force: true })];
  t.after(async () => {
    const failures: unknown[] = [];
    for (const step of steps.toReversed()) await step().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, "the world did not end cleanly");
  });
  const cloud = await startCloud({ host: plan.cloud, vipCidr: plan.vipRange, keys: [TEST_KEY, SECOND_KEY] });
  steps.push(() => cloud.stop());
  const cluster = await startControlPlane({ plan, binaries: found.binaries });
  steps.push(() => cluster.stop());
  const admin = await cluster.client(ADMIN);
  const shared = { client: admin, clock: makeClock(), log: pino({ level: "silent" }) };
  const kubeletClient = (node: string): Promise<KubeClient> => cluster.client(kubeletUser(node));
  const simulated = await startSimulatedCluster({ ...shared, nodes: NODES, plan, controllers: [], kubeletClient });
  steps.push(() => simulated.stop());
  await untilSchedulable(admin, NODES);
  const product = makeProduct({
    cluster: shared,
    apiServer: cluster,
    install: "everything",
    cloudEndpoint: cloud.endpoint,
    keys: [TEST_KEY, SECOND_KEY],
    plan,
    nodes: NODES,
    directory,
    replicas: options.replicas ?? 1,
    coordinatorEnv: { DRAIN_MS: "3000", LOG_LEVEL: "debug" },
  });
  steps.push(() => product.stop());
  await product.startCoordinator();
  if (options.replicas === 2) await product.startCoordinator(1);
  await Promise.all(NODES.map((node) => product.startAgent(node)));
  return { plan, cloud, cluster, admin, product };
}

/** deploy/examples/web.yaml; the namespace first, until its ServiceAccount is there. */
export async function applyRealExample({ admin }: RealWorld): Promise<void> {
  const manifests = await loadManifests(exampleFile("web.yaml"));
  await applyManifests(admin, manifests);
}
