/** A cluster that is not ours, named by KUBECONFIG: whether the demo can run in it, and how everything that it made is taken away again. */
import { createServer } from "node:net";
import { pino } from "pino";
import { makeClock } from "../../common/clock.ts";
import { findKubeAccess } from "../../common/kubernetes/access.ts";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { DEFAULT_NAMESPACE, LOAD_BALANCER_CLASS } from "../../common/names.ts";
import { applyManifests, collectionPath, loadInstallation, loadManifests, withoutWorkloads } from "../cluster/manifests.ts";
import { until } from "../cluster/process.ts";
import { answered, listAll } from "../cluster/simulated/cluster.ts";
import { isTrue, type Node } from "../cluster/simulated/objects.ts";
import { NAMESPACE } from "./example.ts";
import { type Ground, type GroundDeps, Refusal } from "./parts.ts";
import { makePodCheck } from "./pod-check.ts";
import { type Memory, remember } from "./remember.ts";

/** Throws with what must be mended where the demo cannot run in that cluster; changes nothing there before it knows. */
export async function borrowCluster({ plan, steps, say }: GroundDeps): Promise<Ground> {
  const { KUBECONFIG: kubeconfigFile = "" } = process.env; // oxlint-disable-line node/no-process-env -- as kubectl finds it
  if (kubeconfigFile === "")
    throw new Refusal("--cluster kubeconfig needs to know which cluster: set KUBECONFIG, e.g. KUBECONFIG=~/.kube/config npm run demo -- …");
  const env = { KUBECONFIG: kubeconfigFile };
  const apiServer = await addressOf(env);
  const clock = makeClock();
  const plain = await makeKubeClient({ clock, env, userAgent: "demo" });
  steps.push(() => plain.close());
  const { gitVersion } = await plain.get<{ gitVersion: string }>("/version");
  await refuseWhatIsTaken(plain);
  const nodes = await nodesThatRunPods(plain);
  say(`Kubernetes ${gitVersion} at ${apiServer.url} (KUBECONFIG), nodes ${nodes.map(({ name }) => name).join(", ")}`);

  const memory = remember(plain);
  steps.push(memory.takeAwayRest);
  const cluster = { client: memory.client, clock, log: pino({ level: "silent" }) };
  await ensureConfigKind(memory.client);
  const agents = (await Promise.all(nodes.map(async ({ name, address }) => ((await isOurs(address)) ? [name] : [])))).flat();
  const addresses = nodes.map(({ address }) => address);
  return {
    cluster,
    apiServer,
    kubeconfigFile,
    install: "everything",
    behind: ["setpriv", "--pdeathsig", "TERM"], // no namespace of ours ends what a killed demo leaves
    coordinatorEnv: agents.length < nodes.length ? { AGENT_GRACE_MS: "1000" } : {}, // nobody needs to wait for agents that never come
    plan: { ...plan, nodeAddress: (index) => addresses[index] ?? "" },
    nodes: nodes.map(({ name }) => name),
    agents,
    checkPods: makePodCheck(plain, NAMESPACE),
    leave: async () => {
      say("taking away all that the demo made in the cluster");
      await takeAwayExample(plain, memory);
    },
  };
}

/** While the coordinator runs, which takes its finalizer off the Service. */
async function takeAwayExample(client: KubeClient, { takeAwayNamespace }: Memory): Promise<void> {
  try {
    await takeAwayNamespace(NAMESPACE);
  } catch {
    // A coordinator that cannot: the load balancer was an emulated one, so nothing is lost.
    await client.patch(`/api/v1/namespaces/${NAMESPACE}/services/web`, { metadata: { finalizers: null } }, "merge");
    await takeAwayNamespace(NAMESPACE);
  }
}

/** As processes in that cluster get it: a URL of host and port, and the CA. */
async function addressOf(env: { readonly KUBECONFIG: string }): Promise<Ground["apiServer"]> {
  const access = await findKubeAccess(env);
  const { tls } = await access.credentials();
  const { pathname } = new URL(access.server);
  if (tls.ca === undefined || pathname !== "/")
    throw new Refusal(
      `KUBECONFIG=${env.KUBECONFIG}: ${access.server} needs a certificate-authority and no path, as Pods of that cluster find it`,
    );
  return { url: access.server, caPem: String(tls.ca) };
}

/** Nothing that is there already is touched: neither a real installation nor what an earlier demo left. */
async function refuseWhatIsTaken(client: KubeClient): Promise<void> {
  const manifests = withoutWorkloads(await loadInstallation());
  const clusterScoped = manifests.filter(({ metadata, kind }) => metadata.namespace === undefined && kind !== "Namespace");
  const wanted = [
    ...[NAMESPACE, DEFAULT_NAMESPACE].map((name) => `/api/v1/namespaces/${name}`),
    ...clusterScoped.map((manifest) => `${collectionPath(manifest)}/${manifest.metadata.name}`),
  ];
  const taken: string[] = [];
  for (const path of wanted) if (await isThere(client, path)) taken.push(path.split("/").slice(-2).join("/"));
  type Service = {
    readonly metadata: { readonly namespace: string; readonly name: string };
    readonly spec?: { readonly loadBalancerClass?: string };
  };
  for (const { metadata, spec } of await listAll<Service>(client, "/api/v1/services"))
    if (spec?.loadBalancerClass === LOAD_BALANCER_CLASS) taken.push(`service ${metadata.namespace}/${metadata.name}`);
  if (taken.length > 0)
    throw new Refusal(
      `the demo needs a cluster without ${taken.join(", ")}, and touches nothing that is not its own: choose another cluster or delete them`,
    );
}

const isThere = (client: KubeClient, path: string): Promise<boolean> =>
  client.get(path).then(
    () => true,
    (error: unknown) => {
      if (answered(error, 404)) return false;
      throw error;
    },
  );

type ListedNode = Node & {
  readonly spec?: { readonly taints?: readonly { readonly key: string; readonly effect: string }[] };
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] };
};

async function nodesThatRunPods(client: KubeClient): Promise<readonly { readonly name: string; readonly address: string }[]> {
  const all = await listAll<ListedNode>(client, "/api/v1/nodes");
  const faults: string[] = [];
  const usable = all.filter(({ metadata, spec, status }) => {
    const taint = spec?.taints?.find(({ effect }) => effect !== "PreferNoSchedule");
    const ready = isTrue(status?.conditions, "Ready");
    if (!ready) faults.push(`${metadata.name} is not Ready`);
    else if (taint !== undefined) faults.push(`${metadata.name} has the taint ${taint.key}`);
    else if (spec?.unschedulable === true) faults.push(`${metadata.name} is cordoned`);
    else return true;
    return false;
  });
  if (usable.length === 0) throw new Refusal(`no Node of that cluster runs Pods: ${faults.join(", ") || "it has none"}`);
  return usable.map(({ metadata, status }) => ({
    name: metadata.name,
    address: status?.addresses?.find(({ type }) => type === "InternalIP")?.address ?? "",
  }));
}

/** Whether a Node is this machine: only there can its agent run. */
function isOurs(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once("error", () => resolve(false));
    server.listen(0, address === "" ? "192.0.2.1" : address, () => server.close(() => resolve(true)));
  });
}

const CRDS = new URL("../../deploy/chart/crds/tkeserviceconfigs.yaml", import.meta.url).pathname;
const KIND = "/apis/cloud.tencent.com/v1alpha1/tkeserviceconfigs";

/** On TKE it is there. */
async function ensureConfigKind(client: KubeClient): Promise<void> {
  if (await isThere(client, KIND)) return;
  await applyManifests(client, await loadManifests(CRDS));
  // 429: "storage is (re)initializing", the answer for a new kind
  await until("TkeServiceConfig is served", () =>
    isThere(client, KIND).catch((error: unknown) => (answered(error, 429, 503) ? false : Promise.reject(error as Error))),
  );
}
