/**
 * What the benchmark stands on: an API server and a cloud in this process, filled past their APIs; the agents of all nodes in a few
 * processes; coordinators as the processes they are.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { makeClock } from "../../common/clock.ts";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import { decodePod } from "../../common/kubernetes/node-pods.ts";
import {
  AGENT_SERVICE_ACCOUNT,
  CA_BUNDLE_CONFIG_MAP,
  CA_BUNDLE_KEY,
  DEFAULT_GATE_TYPE,
  DEFAULT_NAMESPACE,
  LEADER_LEASE,
  STREAM_PORT,
  TOKEN_AUDIENCE,
} from "../../common/names.ts";
import { IMAGE_ENVIRONMENT } from "../../deploy/tools/image.ts";
import { type StartedCloud, startCloud } from "../../test/cloud/cli/start.ts";
import { TEST_KEY } from "../../test/cloud/runtime/options.ts";
import type { KubeObject } from "../../test/cluster/embedded/objects.ts";
import { type EmbeddedCluster, startApiServer } from "../../test/cluster/embedded/server.ts";
import { accountsOf, applyManifests, loadInstallation } from "../../test/cluster/manifests.ts";
import { type AddressPlan, claimSlot } from "../../test/cluster/network.ts";
import { until } from "../../test/cluster/process.ts";
import { makeProduct, type Product, type Replica } from "../../test/cluster/product.ts";
import { INSTANT } from "../cloud/cloud-process.ts";
import { type Fleet, startFleet } from "./fleet.ts";
import {
  aConfig,
  aNode,
  anAgentPod,
  aPod,
  aService,
  isGateOpen,
  isReady,
  NAMESPACE,
  nodeName,
  PER_LOAD_BALANCER,
  POD_RANGE,
} from "./objects.ts";

export type Size = {
  readonly agents: number;
  /** Per agent, its own among them. */
  readonly pods: number;
  readonly services: number;
};

/** A Pod that an application has, by where it is in the store. */
export type Seat = { readonly node: string; readonly name: string; readonly service: number | undefined };

export type GroundOptions = Size & {
  readonly replicas: 1 | 2;
  /** Of the coordinators' Node. */
  readonly flags: readonly string[];
  /** Pods that Services select; default 6 per Service. */
  readonly selected?: number;
  /** Of the Pods that Services select, at the beginning. */
  readonly begin: { readonly ready: boolean; readonly gateOpen: boolean };
};

export type Ground = {
  readonly plan: AddressPlan;
  readonly store: EmbeddedCluster["store"];
  readonly cloud: StartedCloud["cloud"];
  readonly product: Product;
  readonly fleet: Fleet;
  /** Of all applications; who replaces a Pod writes its successor here. */
  readonly seats: Seat[];
  /** A number that no Pod has had. */
  readonly nextNumber: () => number;
  readonly get: (seat: Seat) => KubeObject | undefined;
  readonly put: (pod: KubeObject) => KubeObject;
  /** Calls back once, when the gate of this Pod (UID) has turned True in the store. */
  readonly onGate: (uid: string, opened: (atMs: number) => void) => void;
  /** Services `from` (inclusive) to `to` come into being. */
  readonly addServices: (from: number, to: number) => void;
  /** Pods that the first so many Services select. */
  readonly selected: (services: number) => number;
  readonly bound: () => number;
  readonly listeners: () => number;
  /** Services whose status says that they are ready. */
  readonly published: () => number;
  /** Starts all agents; resolves when each has begun to connect. */
  readonly runAgents: (overMs: number) => Promise<void>;
  readonly acknowledged: (replica?: Replica) => number;
  readonly opsUrl: (replica?: Replica) => string;
  /** What the API server has answered since the last question, by verb and resource. */
  readonly requests: () => Readonly<Record<string, number>>;
  /** Who has the Lease ("": nobody), who has had it, and the longest time between two writes of a holder, since the last question. */
  readonly lease: () => {
    readonly holder: string;
    readonly holders: readonly string[];
    readonly gapMs: number;
    readonly changedAtMs: number;
  };
  readonly stop: () => Promise<void>;
};

/** Selected Pods of each Service, unless something else is asked for. */
const PODS_PER_SERVICE = 6;
/** Weight 0 lasts so long: a replaced Pod is unbound within the measurement. */
const DRAIN_MS = 2_000;
/** What the second coordinator signs with, so that the cloud's journal tells the two apart. */
const SECOND_KEY = { secretId: "AKIDCLBDIRECTBENCH0000000000000000001", secretKey: TEST_KEY.secretKey };
export const CALLERS: readonly string[] = [TEST_KEY.secretId, SECOND_KEY.secretId];

export async function startGround(options: GroundOptions): Promise<Ground> {
  const { agents, services } = options;
  const steps: (() => Promise<unknown>)[] = [];
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-scale-"));
  // oxlint-disable-next-line typescript/dot-notation -- an index signature
  if (process.env["KEEP_LOGS"] === undefined) steps.push(() => rm(directory, { recursive: true, force: true }));
  else console.error(`logs: ${directory}`);
  const { plan, release } = await claimSlot();
  steps.push(release);
  let requests: Record<string, number> = {};
  const onRequest = ({ verb, resource }: { readonly verb: string; readonly resource: string }): void => {
    const kind = `${verb} ${resource}`;
    requests[kind] = (requests[kind] ?? 0) + 1;
  };
  const api = await startApiServer({ host: plan.apiServer, onRequest });
  steps.push(() => api.stop());
  const { store } = api;
  const kubeconfig = join(directory, "kubeconfig");
  await writeFile(kubeconfig, api.kubeconfig(), { mode: 0o600 });
  const clock = makeClock();
  const client = await makeKubeClient({ clock, env: { KUBECONFIG: kubeconfig } });
  steps.push(() => client.close());
  const started = await startCloud({
    host: plan.cloud,
    vipCidr: plan.vipRange,
    keys: [TEST_KEY, SECOND_KEY],
    profile: INSTANT,
    dataPlane: false,
    health: "scripted",
    backendCidrs: [POD_RANGE],
    limits: { openLoadBalancers: 10_000 },
  });
  steps.push(() => started.stop());
  const { cloud } = started;

  await applyManifests(client, accountsOf(await loadInstallation()));
  await client.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } });
  store.put("tkeserviceconfigs", aConfig());

  const fleet = startFleet(agents);
  steps.push(() => fleet.stop());
  const gates = new Map<string, (atMs: number) => void>();
  const lease = watchLease(store);
  const ready = new Set<string>();
  store.subscribe(({ type, plural, object }) => {
    if (plural === "services" && isReady(object)) ready.add(object.metadata.uid);
    if (plural !== "pods") return;
    const node = object.spec?.nodeName ?? "";
    if (type === "DELETED") return fleet.change({ node, removedUid: object.metadata.uid });
    const opened = gates.get(object.metadata.uid);
    if (opened !== undefined && isGateOpen(object)) {
      gates.delete(object.metadata.uid);
      opened(performance.now());
    }
    fleet.change({ node, pod: decodePod(object, DEFAULT_GATE_TYPE) });
  });

  const { seats, number } = await fill(options, api, fleet);
  let next = number;
  const loadBalancers = Array.from({ length: Math.ceil(services / PER_LOAD_BALANCER) }, () => cloud.addLoadBalancer().loadBalancerId);
  const bySelection = seats.flatMap(({ service }) => service ?? []);
  const hosts = [plan.coordinator, plan.standby].slice(0, options.replicas);
  const product = makeProduct({
    cluster: { client, clock, log: pino({ level: "silent" }) },
    apiServer: api,
    install: "accounts",
    cloudEndpoint: started.endpoint,
    keys: [TEST_KEY, SECOND_KEY],
    plan,
    replicas: options.replicas,
    nodes: [nodeName(0), nodeName(1)],
    directory,
    programs: { coordinator: { script: "coordinator/main.ts", flags: options.flags } },
    behind: ["setpriv", "--pdeathsig", "TERM"], // where no namespace of ours ends what is left
    coordinatorEnv: { DRAIN_MS: String(DRAIN_MS), LOG_LEVEL: "warn", ...IMAGE_ENVIRONMENT, ...profiling() },
  });
  steps.push(() => product.stop());
  const state = () => cloud.state().loadBalancers.flatMap(({ listeners }) => listeners);
  return {
    plan,
    store,
    cloud,
    product,
    fleet,
    seats,
    nextNumber: () => next++,
    get: ({ name }) => store.get("pods", NAMESPACE, name),
    put: (pod) => store.put("pods", pod),
    onGate: (uid, opened) => void gates.set(uid, opened),
    addServices: (from, to) => {
      for (let index = from; index < to; index++)
        store.put("services", aService(index, loadBalancers[Math.floor(index / PER_LOAD_BALANCER)] ?? ""));
    },
    selected: (count) => bySelection.filter((service) => service < count).length,
    bound: () => state().reduce((sum, { targets }) => sum + targets.length, 0),
    listeners: () => state().length,
    published: () => ready.size,
    runAgents: async (overMs) => {
      const caPem = await until(
        "the coordinator's CA bundle",
        () => store.get("configmaps", DEFAULT_NAMESPACE, CA_BUNDLE_CONFIG_MAP)?.data?.[CA_BUNDLE_KEY],
      );
      await fleet.run({ endpoints: hosts.map((host) => ({ host, port: STREAM_PORT })), caPem, overMs });
    },
    acknowledged: (replica = 0) => fleet.acknowledged(`${hosts[replica]}:${STREAM_PORT}`),
    opsUrl: (replica = 0) => `http://${hosts[replica]}:9090`,
    requests: () => {
      const seen = requests;
      requests = {};
      return seen;
    },
    lease,
    stop: async () => {
      for (const step of steps.toReversed()) await step();
    },
  };
}

/** PROFILE_TO=directory: each coordinator leaves its CPU profile there when it ends. */
function profiling(): Record<string, string> {
  // oxlint-disable-next-line typescript/dot-notation -- an index signature
  const directory = process.env["PROFILE_TO"];
  return directory === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${directory}` };
}

/** Nodes, their agents' Pods and tokens, and applications' Pods, of which every so many-th belongs to a Service. */
async function fill({ agents, pods, services, begin, ...options }: GroundOptions, api: EmbeddedCluster, fleet: Fleet) {
  const { store, tokens } = api;
  const perNode = pods - 1; // the agent's own is one of them
  const total = agents * perNode;
  const selected = Math.min(options.selected ?? services * PODS_PER_SERVICE, total);
  const rank = (n: number): number => Math.floor((n * selected) / total);
  const seats: Seat[] = [];
  let number = 0;
  for (let first = 0; first < agents; first += 250) {
    const batch: Parameters<Fleet["seat"]>[0][number][] = [];
    for (let index = first; index < Math.min(agents, first + 250); index++) {
      const node = nodeName(index);
      store.put("nodes", aNode(index));
      const agent = store.put("pods", anAgentPod(node, total + index));
      const own = [agent];
      for (let slot = 0; slot < perNode; slot++, number++) {
        const isSelected = selected > 0 && rank(number) !== rank(number + 1);
        const service = isSelected ? rank(number) % services : undefined;
        const wish = isSelected ? begin : { ready: true, gateOpen: false };
        const pod = store.put("pods", aPod({ node, number, service, ...wish }));
        own.push(pod);
        seats.push({ node, name: pod.metadata.name, service });
      }
      batch.push({ node, token: tokenOf(tokens, agent), pods: own.map((pod) => decodePod(pod, DEFAULT_GATE_TYPE)) });
    }
    await fleet.seat(batch);
  }
  return { seats, number: total + agents };
}

const TOKEN_SECONDS = 36_000;

function tokenOf(tokens: EmbeddedCluster["tokens"], { metadata: { name, uid } }: KubeObject): string {
  const boundObjectRef = { kind: "Pod", apiVersion: "v1", name, uid };
  const spec = { audiences: [TOKEN_AUDIENCE], expirationSeconds: TOKEN_SECONDS, boundObjectRef };
  const { status } = tokens.issue(DEFAULT_NAMESPACE, AGENT_SERVICE_ACCOUNT, { spec });
  return (status as { readonly token: string }).token; // as the server answers
}

function watchLease(store: EmbeddedCluster["store"]): Ground["lease"] {
  let holder = "";
  let holders: string[] = [];
  let gapMs = 0;
  let atMs = performance.now();
  let changedAtMs = atMs;
  const sinceWrite = (): number => (holder === "" ? 0 : performance.now() - atMs);
  store.subscribe(({ plural, object }) => {
    if (plural !== "leases" || object.metadata.name !== LEADER_LEASE) return;
    const { holderIdentity: next = "" } = (object.spec ?? {}) as { readonly holderIdentity?: string };
    gapMs = Math.max(gapMs, sinceWrite());
    atMs = performance.now();
    if (next === holder) return;
    holder = next;
    changedAtMs = atMs;
    if (next !== "") holders.push(next);
  });
  return () => {
    const seen = { holder, holders, gapMs: Math.max(gapMs, sinceWrite()), changedAtMs };
    holders = holder === "" ? [] : [holder];
    gapMs = 0;
    return seen;
  };
}
