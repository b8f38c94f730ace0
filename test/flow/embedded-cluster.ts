/** The embedded API server and the simulated nodes, scheduler and controllers, all in this process; new for each test. */
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { makeClock } from "../../common/clock.ts";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { DEFAULT_NAMESPACE } from "../../common/names.ts";
import { secondsOf } from "../cluster/embedded/objects.ts";
import { type AuditEntry, type EmbeddedCluster, startApiServer } from "../cluster/embedded/server.ts";
import { claimSlot } from "../cluster/network.ts";
import type { Pod } from "../cluster/simulated/objects.ts";
import { startSimulatedCluster } from "../cluster/simulated/start.ts";
import type { RouteDeps } from "../cluster/webhook-route.ts";
import type { FlowCluster, SeenRequest, Troubles } from "./cluster.ts";

/** Who the simulated nodes and the test are at the API server; the product is everybody else (an agent acts as its node where it can). */
const CLUSTER_USER = "simulated-cluster";
const BOOKMARK_MS = 5_000;

export type EmbeddedFlowCluster = FlowCluster & { readonly api: EmbeddedCluster } & {
  readonly storeSlice: NonNullable<RouteDeps["storeSlice"]>;
};

export async function startEmbedded(nodes: readonly string[], directory: string): Promise<EmbeddedFlowCluster> {
  const steps: (() => Promise<unknown>)[] = [];
  const end = async (): Promise<void> => {
    for (const step of steps.toReversed()) await step();
  };
  const { plan, release } = await claimSlot();
  steps.push(release);
  const seen: SeenRequest[] = [];
  const onRequest = (entry: AuditEntry): void => void seen.push({ ...entry, atMs: Date.now(), byProduct: entry.username !== CLUSTER_USER });
  const api = await startApiServer({ host: plan.apiServer, bookmarkMs: BOOKMARK_MS, onRequest });
  steps.push(() => api.stop());
  const kubeconfigFile = join(directory, "kubeconfig");
  await writeFile(kubeconfigFile, api.kubeconfig(), { mode: 0o600 });
  const clock = makeClock();
  const anotherClient = async (): Promise<KubeClient> => {
    const made = await makeKubeClient({ clock, env: { KUBECONFIG: kubeconfigFile }, impersonateUser: CLUSTER_USER });
    steps.push(() => made.close());
    return made;
  };
  const client = await anotherClient();
  const cluster = { client, clock, log: pino({ level: "silent" }) };
  const simulated = await startSimulatedCluster({ ...cluster, nodes, plan });
  steps.push(() => simulated.stop());
  const pods = (): readonly Pod[] => api.store.list("pods", "demo") as unknown as readonly Pod[]; // stored as it was sent
  const storeSlice = sliceStore(api.store);
  const troubles = troublesOf(api);
  return {
    plan,
    cluster,
    client,
    anotherClient,
    apiServer: api,
    storeSlice,
    install: "accounts",
    pods,
    requests: () => seen,
    troubles,
    api,
    end,
  };
}

const sliceStore =
  (store: EmbeddedCluster["store"]): EmbeddedFlowCluster["storeSlice"] =>
  ({ metadata, ...slice }) => {
    const identity = {
      namespace: DEFAULT_NAMESPACE,
      uid: randomUUID() as string,
      resourceVersion: "",
      creationTimestamp: secondsOf(Date.now()),
    };
    const stored = { ...slice, endpoints: [...slice.endpoints], metadata: { ...metadata, labels: { ...metadata.labels }, ...identity } };
    store.put("endpointslices", stored);
  };

/** Watches of that resource, or all, end and cannot go on where they were. */
export function relist(api: EmbeddedCluster, resource?: string): void {
  api.faults.inject({ kind: "compact" });
  api.faults.inject({ kind: "reset-watches", ...(resource !== undefined && { resource }) });
}

function troublesOf(api: EmbeddedCluster): Troubles {
  const lasting = async (kind: "freeze" | "gone", ms: number): Promise<void> => {
    api.faults.inject({ kind, ms });
    await new Promise((resolve) => setTimeout(resolve, ms));
  };
  return {
    freeze: (ms) => lasting("freeze", ms),
    leave: (ms) => lasting("gone", ms),
    forget: async () => relist(api),
    vanish: async (resource, namespace, name, silent) => {
      api.faults.inject({ kind: "vanish", resource, namespace, name, silent });
      if (silent) relist(api, resource);
    },
  };
}
