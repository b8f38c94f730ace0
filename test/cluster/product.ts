/** Runs coordinators and agents as processes, as a Deployment and a DaemonSet would: with the rights, Pod objects, tokens and mounted files of theirs. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  AGENT_SERVICE_ACCOUNT,
  CA_BUNDLE_CONFIG_MAP,
  CA_BUNDLE_KEY,
  COORDINATOR_SERVICE_ACCOUNT,
  DEFAULT_NAMESPACE,
  TOKEN_AUDIENCE,
} from "../../common/names.ts";
import { askExplain, type Trust, trustOf } from "./ask-explain.ts";
import { accountsOf, applyManifests, loadInstallation, type Manifest, withoutWorkloads } from "./manifests.ts";
import type { AddressPlan } from "./network.ts";
import { type RunningProcess, startProcess, until } from "./process.ts";
import type { Cluster } from "./simulated/cluster.ts";
import { simulatedHold } from "./simulated/hold-address.ts";
import { EXTERNAL } from "./simulated/pod-worker.ts";
import { type Projection, projectConfigMapKey, projectToken } from "./simulated/projected.ts";
import { type RouteDeps, routeWebhook } from "./webhook-route.ts";

export type ProductOptions = {
  /** As an administrator. */
  readonly cluster: Cluster;
  readonly apiServer: { readonly url: string; readonly caPem: string };
  /** Where the process of that Pod finds the API server instead, e.g. behind a proxy that can be cut. */
  readonly apiServerUrl?: (pod: string) => Promise<string>;
  /** Of an API server in this process; see RouteDeps. */
  readonly storeSlice?: RouteDeps["storeSlice"];
  /** What is installed first: a server without RBAC and policies takes the accounts only. */
  readonly install: "accounts" | "everything";
  /** E.g. "10.244.3.202:8080"; plain HTTP. */
  readonly cloudEndpoint: string;
  /** Of the first and the second coordinator; one for both if there is only one. */
  readonly keys: readonly { readonly secretId: string; readonly secretKey: string }[];
  readonly plan: AddressPlan;
  /** Coordinators that agents are told of; default 1. */
  readonly replicas?: 1 | 2;
  /** Names of the Nodes in the order of `plan.nodeAddress`. */
  readonly nodes: readonly string[];
  /** Logs and projected files go here. */
  readonly directory: string;
  readonly coordinatorEnv?: Readonly<Record<string, string>>;
  readonly agentEnv?: Readonly<Record<string, string>>;
  /** What the agent of that Node alone gets, e.g. where its metadata service is. */
  readonly agentEnvOf?: (node: string) => Readonly<Record<string, string>>;
  /** Whether each agent gets its hold server; default: no. */
  readonly holds?: boolean;
  /** Command line that every process is put behind, e.g. ["setpriv", "--pdeathsig", "TERM"] where nothing else ends it with us. */
  readonly behind?: readonly string[];
  /** What is run instead of the sources, e.g. bundles with the flags that an installation gives Node. */
  readonly programs?: {
    readonly [program in "agent" | "coordinator" | "hold"]?: Pick<Parameters<typeof startProcess>[0], "script" | "flags">;
  };
  /** What brings a program onto a Node's own network, e.g. RealNodes.enter. Default: agents run where everything runs. */
  readonly enter?: (node: string) => readonly string[];
};

/** 0 is the one that most tests have, 1 the second replica. */
export type Replica = 0 | 1;

export type Product = {
  /** Ops port of the first coordinator, e.g. "http://10.244.3.200:9090". */
  readonly opsUrl: string;
  /** Explain port of the first coordinator, e.g. "https://10.244.3.200:9092". */
  readonly explainUrl: string;
  readonly coordinator: (replica?: Replica) => RunningProcess | undefined;
  readonly agent: (node: string) => RunningProcess | undefined;
  /** Starts a coordinator and waits until it is ready; the first one also until some replica leads. */
  readonly startCoordinator: (replica?: Replica) => Promise<RunningProcess>;
  /** Starts the agent of a Node; `ready` waits for its first acknowledged snapshot. `address` replaces the coordinators'. */
  readonly startAgent: (node: string, options?: { readonly ready?: boolean; readonly address?: string }) => Promise<RunningProcess>;
  /**
   * As an update of the DaemonSet with maxSurge 1: another Pod's processes beside the first ones, which get SIGTERM when those are ready. Gives
   * the first ones, which finish what they hold.
   */
  readonly updateAgent: (node: string) => Promise<readonly RunningProcess[]>;
  /** The hold server of a Node; it starts with the agent, or before it. */
  readonly hold: (node: string) => RunningProcess | undefined;
  /** GET on the leader's explain port, with a token of ServiceAccount clb-direct-reader, e.g. explain("?namespace=demo"). */
  readonly explain: <T>(query: string) => Promise<T>;
  readonly stop: () => Promise<void>;
};

const READY_MS = 30_000;
const PORTS = { stream: 9443, ops: 9090, health: 9091, explain: 9092 } as const;
const TOKEN_SECONDS = 3600;

export function makeProduct(options: ProductOptions): Product {
  const { cluster, plan, directory } = options;
  const hosts = [plan.coordinator, plan.standby] as const;
  const explainUrls = hosts.map((host) => `https://${host}:${PORTS.explain}`);
  let trust: Promise<Trust> | undefined;
  const opsUrls = hosts.map((host) => `http://${host}:${PORTS.ops}`);
  const coordinators = new Map<Replica, RunningProcess>();
  const agents = new Map<string, RunningProcess>();
  const holdServers = new Map<string, RunningProcess>();
  /** Of each Node, and the processes of those that were replaced. */
  const updates = new Map<string, number>();
  const replaced: RunningProcess[] = [];
  const projections = new Map<string, Projection>();
  let prepared: Promise<void> | undefined;
  let stopped = false;
  /** Whoever is still starting when everything ends must not leave a process behind. */
  const launch = (process: Parameters<typeof startProcess>[0]): RunningProcess => {
    if (stopped) throw new Error(`${process.name} was stopped while starting`);
    return startProcess({ ...process, behind: [...(options.behind ?? []), ...(process.behind ?? [])] });
  };

  /** Keeps a projected file for the life of the product; resolves when it is there. */
  const project = async (file: string, make: (file: string) => Projection): Promise<string> => {
    const projection = projections.get(file) ?? make(file);
    projections.set(file, projection);
    await projection.written;
    return file;
  };
  const token = async (file: string, serviceAccount: string, pod: PodRef, audience: string | undefined): Promise<string> => {
    const shared = { namespace: DEFAULT_NAMESPACE, serviceAccount, expirationSeconds: TOKEN_SECONDS };
    return await project(file, (path) => projectToken(cluster, { ...shared, audience, pod, file: path }));
  };
  /** The environment and files by which a Pod's process finds the API server, with its own ServiceAccount's token. */
  const inCluster = async (name: string, serviceAccount: string, pod: PodRef): Promise<Record<string, string>> => {
    const mounted = join(directory, name);
    await mkdir(mounted, { recursive: true });
    await writeFile(join(mounted, "ca.crt"), options.apiServer.caPem);
    await token(join(mounted, "token"), serviceAccount, pod, undefined);
    const { hostname, port } = new URL((await options.apiServerUrl?.(name)) ?? options.apiServer.url);
    return { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port, KUBERNETES_SERVICE_ACCOUNT_DIR: mounted };
  };

  const routeToRunning = async (): Promise<void> => {
    const running = [...coordinators].filter(([, { hasExited }]) => !hasExited());
    await routeWebhook(
      options,
      running.map(([replica]) => hosts[replica]),
    );
  };

  const startCoordinator = async (replica: Replica = 0): Promise<RunningProcess> => {
    await (prepared ??= prepare(cluster, options.install));
    const name = `clb-direct-coordinator-${replica}`;
    const pod = await ensurePod(cluster, name, COORDINATOR_SERVICE_ACCOUNT, options.nodes[replica % options.nodes.length]);
    const key = options.keys[replica] ?? options.keys[0];
    const env = {
      ...(await inCluster(name, COORDINATOR_SERVICE_ACCOUNT, pod)),
      CLB_REGION: "ap-guangzhou",
      CLB_ENDPOINT: options.cloudEndpoint,
      CLB_PROTOCOL: "http://",
      TENCENTCLOUD_SECRET_ID: key?.secretId ?? "",
      TENCENTCLOUD_SECRET_KEY: key?.secretKey ?? "",
      OWNERSHIP: "annotation",
      POD_NAME: name,
      LISTEN_HOST: hosts[replica],
      SERVING_NAMES: hosts[replica],
      ...(options.holds !== true && { DRAIN_MODE: "none" }), // else Pods without a hook of their own would sleep
      ...options.coordinatorEnv,
    };
    const logFile = join(directory, replica === 0 ? "coordinator.log" : `coordinator-${replica}.log`);
    const coordinator = launch({
      name: `coordinator ${replica}`,
      script: "coordinator/main.ts",
      ...options.programs?.coordinator,
      env,
      logFile,
    });
    coordinators.set(replica, coordinator);
    await ready(coordinator, opsUrls[replica] ?? "");
    await routeToRunning();
    // As for a Pod whose container died; at the end of a test there is nobody left to tell.
    void coordinator.exited.then(async () => await routeToRunning().catch(() => undefined));
    await until("a leader", async () => await explain<object>("").catch(() => undefined), READY_MS);
    return coordinator;
  };

  const explain = async <T>(query: string): Promise<T> => {
    let text = "no coordinator runs";
    for (const [replica, running] of coordinators) {
      if (running.hasExited()) continue;
      const url = `${explainUrls[replica]}/explain${query}`;
      const asked = askExplain(url, await (trust ??= trustOf(cluster)));
      const answer = await asked.catch((error: unknown) => {
        trust = undefined; // perhaps of a former authority
        throw error;
      });
      if (answer.status === 200) return JSON.parse(answer.text) as T;
      text = `GET ${url}: ${answer.status} ${answer.text}`;
    }
    throw new Error(text);
  };

  /** The socket of the Node's hold server, which goes on when its agent is started anew, as containers of one Pod do. */
  const startHold = (node: string, stateDirectory: string, behind: readonly string[]): string => {
    const socket = join(stateDirectory, "hold.sock");
    if (holdServers.get(node)?.hasExited() === false) return socket;
    const index = options.nodes.indexOf(node);
    const env = {
      HOLD_SOCKET: socket,
      STATE_DIRECTORY: stateDirectory,
      ...(options.enter === undefined ? simulatedHold(plan, index) : { NODE_IP: plan.nodeAddress(index) }),
    };
    const logFile = join(directory, `hold-${node}.log`);
    const running = launch({ name: `hold ${node}`, script: "agent/hold/main.ts", ...options.programs?.hold, behind, env, logFile });
    holdServers.set(node, running);
    return socket;
  };

  const startAgent: Product["startAgent"] = async (node, { ready: wait = true, address } = {}) => {
    await (prepared ??= prepare(cluster, options.install));
    const host = plan.nodeAddress(options.nodes.indexOf(node));
    const update = updates.get(node) ?? 0;
    const name = `clb-direct-agent-${node}${update === 0 ? "" : `-${update}`}`;
    const pod = await ensurePod(cluster, name, AGENT_SERVICE_ACCOUNT, node);
    const access = await inCluster(name, AGENT_SERVICE_ACCOUNT, pod);
    const bundle = { namespace: DEFAULT_NAMESPACE, name: CA_BUNDLE_CONFIG_MAP, key: CA_BUNDLE_KEY };
    const env = {
      ...access,
      NODE_NAME: node,
      COORDINATOR_ADDRESS:
        address ??
        hosts
          .slice(0, options.replicas ?? 1)
          .map((one) => `${one}:${PORTS.stream}`)
          .join(","),
      CA_BUNDLE_FILE: await project(join(directory, name, "bundle.crt"), (file) => projectConfigMapKey(cluster, { ...bundle, file })),
      TOKEN_FILE: await token(join(directory, name, "stream-token"), AGENT_SERVICE_ACCOUNT, pod, TOKEN_AUDIENCE),
      LISTEN_HOST: host,
      STATE_DIRECTORY: join(directory, name),
      ...options.agentEnv,
      ...options.agentEnvOf?.(node),
    };
    const behind = options.enter?.(node) ?? [];
    if (options.holds === true) Object.assign(env, { HOLD_SOCKET: startHold(node, join(directory, name), behind) });
    const logFile = join(directory, `agent-${node}.log`);
    const agent = launch({ name: `agent ${node}`, script: "agent/main.ts", ...options.programs?.agent, behind, env, logFile });
    agents.set(node, agent);
    if (wait) await ready(agent, `http://${host}:${PORTS.ops}`);
    return agent;
  };

  const updateAgent: Product["updateAgent"] = async (node) => {
    const former = [agents.get(node), holdServers.get(node)].flatMap((one) => one ?? []);
    replaced.push(...former);
    agents.delete(node);
    holdServers.delete(node);
    const update = (updates.get(node) ?? 0) + 1;
    updates.set(node, update);
    await startAgent(node);
    const files = ["ready", ...(options.holds === true ? ["hold-ready"] : [])];
    const isReady = (): boolean => files.every((file) => existsSync(join(directory, `clb-direct-agent-${node}-${update}`, file)));
    await until(`the second agent of ${node} is ready`, isReady, READY_MS);
    for (const one of former) one.signal("SIGTERM");
    return former;
  };

  return {
    opsUrl: opsUrls[0] ?? "",
    explainUrl: explainUrls[0] ?? "",
    coordinator: (replica = 0) => coordinators.get(replica),
    agent: (node) => agents.get(node),
    hold: (node) => holdServers.get(node),
    startCoordinator,
    startAgent,
    updateAgent,
    explain,
    stop: async () => {
      stopped = true;
      for (const one of [...holdServers.values(), ...replaced]) one.signal("SIGKILL"); // it would finish what is held
      await Promise.all([...agents.values(), ...holdServers.values(), ...replaced, ...coordinators.values()].map((one) => one.stop()));
      await Promise.all([...projections.values()].map((one) => one.stop()));
    },
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

/** First minor of Kubernetes 1 with associated-node impersonation on by default (kubernetes.md §5). */
const IMPERSONATION_MINOR = 36;

/** Installs what deploy/install.yaml has, the workloads apart: those are the processes here. */
async function prepare({ client }: Cluster, install: ProductOptions["install"]): Promise<void> {
  const all = await loadInstallation();
  if (install === "accounts") return await applyManifests(client, accountsOf(all));
  const { minor } = await client.get<{ minor: string }>("/version"); // e.g. "36", with some vendors "36+"
  const legacy = Number.parseInt(minor, 10) < IMPERSONATION_MINOR ? await loadInstallation("before-1.36") : [];
  await applyManifests(client, [...withoutWorkloads(all).map(byAnnotation), ...legacy]);
}

/** The coordinators here run with OWNERSHIP=annotation: what the chart makes of `ownership: annotation`. */
function byAnnotation(manifest: Manifest): Manifest {
  if (manifest.kind !== "ValidatingAdmissionPolicy") return manifest;
  const spec = manifest["spec"] as { readonly variables?: readonly { readonly name: string; readonly expression: string }[] };
  const variables = spec.variables?.map((one) => (one.name === "byAnnotation" ? { ...one, expression: "true" } : one));
  return { ...manifest, spec: { ...spec, ...(variables && { variables }) } };
}

/** On real nodes an image that only waits; where it is not there, nobody is to look for it elsewhere. */
const PLACEHOLDER = { name: "main", image: "registry.example.com/clb-direct:1", imagePullPolicy: "Never" };

type PodRef = { readonly name: string; readonly uid: string };

/** The Pod object that tokens are bound to; hostNetwork, external: a simulated kubelet gives it a status and runs nothing for it. */
async function ensurePod({ client }: Cluster, name: string, serviceAccountName: string, nodeName: string | undefined): Promise<PodRef> {
  const path = `/api/v1/namespaces/${DEFAULT_NAMESPACE}/pods`;
  const pod: Manifest = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: DEFAULT_NAMESPACE, labels: { process: serviceAccountName }, annotations: { [EXTERNAL]: "true" } },
    spec: { nodeName, hostNetwork: true, serviceAccountName, containers: [PLACEHOLDER] },
  };
  type Created = { readonly metadata: { readonly uid: string } };
  const created = await client.create<Created>(path, pod).catch(() => client.get<Created>(`${path}/${name}`));
  return { name, uid: created.metadata.uid };
}
