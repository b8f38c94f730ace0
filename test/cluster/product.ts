/** Runs coordinator and agents as processes, as a Deployment and a DaemonSet would: their Pod objects, tokens and mounted files included. */
import { join } from "node:path";
import {
  AGENT_SERVICE_ACCOUNT,
  CA_BUNDLE_CONFIG_MAP,
  CA_BUNDLE_KEY,
  COORDINATOR_SERVICE_ACCOUNT,
  DEFAULT_NAMESPACE,
  TOKEN_AUDIENCE,
} from "../../common/names.ts";
import { applyManifests, type Manifest } from "./manifests.ts";
import type { AddressPlan } from "./network.ts";
import { type RunningProcess, startProcess, until } from "./process.ts";
import type { Cluster } from "./simulated/cluster.ts";
import { EXTERNAL } from "./simulated/pod-worker.ts";
import { type Projection, projectConfigMapKey, projectToken } from "./simulated/projected.ts";

export type ProductOptions = {
  readonly cluster: Cluster;
  readonly kubeconfigFile: string;
  /** E.g. "10.244.3.202:8080"; plain HTTP. */
  readonly cloudEndpoint: string;
  readonly key: { readonly secretId: string; readonly secretKey: string };
  readonly plan: AddressPlan;
  /** Names of the Nodes in the order of `plan.nodeAddress`. */
  readonly nodes: readonly string[];
  /** Logs and projected files go here. */
  readonly directory: string;
  readonly coordinatorEnv?: Readonly<Record<string, string>>;
  readonly agentEnv?: Readonly<Record<string, string>>;
};

export type Product = {
  readonly opsUrl: string;
  readonly coordinator: () => RunningProcess | undefined;
  readonly agent: (node: string) => RunningProcess | undefined;
  /** Starts the coordinator and waits until it is ready. */
  readonly startCoordinator: () => Promise<RunningProcess>;
  /** Starts the agent of a Node; `ready` waits for its first acknowledged snapshot. `address` replaces the coordinator's. */
  readonly startAgent: (node: string, options?: { readonly ready?: boolean; readonly address?: string }) => Promise<RunningProcess>;
  /** GET on the coordinator's ops port, e.g. explain("?namespace=demo"). */
  readonly explain: <T>(query: string) => Promise<T>;
  readonly stop: () => Promise<void>;
};

const READY_MS = 30_000;
const PORTS = { stream: 9443, ops: 9090, health: 9091 } as const;
const TOKEN_SECONDS = 3600;

export function makeProduct(options: ProductOptions): Product {
  const { cluster, plan, directory } = options;
  const opsUrl = `http://${plan.coordinator}:${PORTS.ops}`;
  const agents = new Map<string, RunningProcess>();
  const projections = new Map<string, Projection>();
  let coordinator: RunningProcess | undefined;
  let prepared: Promise<void> | undefined;

  const startCoordinator = async (): Promise<RunningProcess> => {
    await (prepared ??= prepare(cluster));
    coordinator = startProcess({
      name: "coordinator",
      script: "coordinator/main.ts",
      env: coordinatorEnv(options),
      logFile: join(directory, "coordinator.log"),
    });
    await ready(coordinator, opsUrl);
    return coordinator;
  };

  const startAgent: Product["startAgent"] = async (node, { ready: wait = true, address = `${plan.coordinator}:${PORTS.stream}` } = {}) => {
    await (prepared ??= prepare(cluster));
    const host = plan.nodeAddress(options.nodes.indexOf(node));
    const files = { token: join(directory, `${node}.token`), authority: join(directory, `${node}.ca.crt`) };
    if (!projections.has(`${node} token`)) {
      const pod = await agentPod(cluster, node);
      const token = projectToken(cluster, {
        namespace: DEFAULT_NAMESPACE,
        serviceAccount: AGENT_SERVICE_ACCOUNT,
        audience: TOKEN_AUDIENCE,
        expirationSeconds: TOKEN_SECONDS,
        pod,
        file: files.token,
      });
      const authority = projectConfigMapKey(cluster, {
        namespace: DEFAULT_NAMESPACE,
        name: CA_BUNDLE_CONFIG_MAP,
        key: CA_BUNDLE_KEY,
        file: files.authority,
      });
      projections.set(`${node} token`, token).set(`${node} authority`, authority);
      await Promise.all([token.written, authority.written]);
    }
    const agent = startProcess({
      name: `agent ${node}`,
      script: "agent/main.ts",
      logFile: join(directory, `agent-${node}.log`),
      env: {
        KUBECONFIG: options.kubeconfigFile,
        NODE_NAME: node,
        COORDINATOR_ADDRESS: address,
        CA_BUNDLE_FILE: files.authority,
        TOKEN_FILE: files.token,
        LISTEN_HOST: host,
        ...options.agentEnv,
      },
    });
    agents.set(node, agent);
    if (wait) await ready(agent, `http://${host}:${PORTS.ops}`);
    return agent;
  };

  return {
    opsUrl,
    coordinator: () => coordinator,
    agent: (node) => agents.get(node),
    startCoordinator,
    startAgent,
    explain: async <T>(query: string): Promise<T> => {
      const response = await fetch(`${opsUrl}/explain${query}`, { signal: AbortSignal.timeout(5_000) });
      if (!response.ok) throw new Error(`GET ${opsUrl}/explain${query}: ${response.status} ${await response.text()}`);
      return (await response.json()) as T;
    },
    stop: async () => {
      await Promise.all([...agents.values(), ...(coordinator === undefined ? [] : [coordinator])].map((one) => one.stop()));
      await Promise.all([...projections.values()].map((one) => one.stop()));
    },
  };
}

function coordinatorEnv(options: ProductOptions): Record<string, string> {
  return {
    KUBECONFIG: options.kubeconfigFile,
    CLB_REGION: "ap-guangzhou",
    CLB_ENDPOINT: options.cloudEndpoint,
    CLB_PROTOCOL: "http://",
    TENCENTCLOUD_SECRET_ID: options.key.secretId,
    TENCENTCLOUD_SECRET_KEY: options.key.secretKey,
    OWNERSHIP: "annotation",
    POD_NAME: "clb-direct-coordinator-0",
    LISTEN_HOST: options.plan.coordinator,
    SERVING_NAMES: options.plan.coordinator,
    ...options.coordinatorEnv,
  };
}

async function ready(running: RunningProcess, url: string): Promise<void> {
  await until(
    () => `${running.name} is not ready (log: ${running.logFile})`,
    async () => {
      if (running.hasExited()) throw new Error(`${running.name} ended while starting (log: ${running.logFile})`);
      return await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) }).then(
        ({ ok }) => ok,
        () => false,
      );
    },
    READY_MS,
  );
}

/** What the chart installs: our Namespace and ServiceAccounts. */
async function prepare({ client }: Cluster): Promise<void> {
  const account = (name: string): Manifest => ({
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name, namespace: DEFAULT_NAMESPACE },
  });
  await applyManifests(client, [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: DEFAULT_NAMESPACE } },
    account(AGENT_SERVICE_ACCOUNT),
    account(COORDINATOR_SERVICE_ACCOUNT),
  ]);
}

/** The Pod object that the agent's token is bound to; hostNetwork, external: a simulated kubelet gives it a status and runs nothing for it. */
async function agentPod({ client }: Cluster, node: string): Promise<{ name: string; uid: string }> {
  const name = `clb-direct-agent-${node}`;
  const path = `/api/v1/namespaces/${DEFAULT_NAMESPACE}/pods`;
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: DEFAULT_NAMESPACE, labels: { app: "clb-direct-agent" }, annotations: { [EXTERNAL]: "true" } },
    spec: {
      nodeName: node,
      hostNetwork: true,
      serviceAccountName: AGENT_SERVICE_ACCOUNT,
      containers: [{ name: "agent", image: "registry.example.com/clb-direct:1" }],
    },
  };
  const created = await client
    .create<{ metadata: { uid: string } }>(path, pod)
    .catch(() => client.get<{ metadata: { uid: string } }>(`${path}/${name}`));
  return { name, uid: created.metadata.uid };
}
