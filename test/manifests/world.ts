/** The coordinator's controllers between the embedded API server and the emulated cloud, in one process and in virtual time. */
import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { makeControllers } from "../../coordinator/controllers.ts";
import { EventRecorder } from "../../coordinator/events/event-recorder.ts";
import { makeNodeRegistry } from "../../coordinator/nodes/node-registry.ts";
import { makeWatchNode } from "../../coordinator/nodes/pod-watch.ts";
import { makeWatchedObjects } from "../../coordinator/state/watched-objects.ts";
import { CLUSTER } from "../builders.ts";
import { aCertificate, aClientAuthority, anRsaCertificate } from "../certificates.ts";
import { makeCloud } from "../cloud/cloud.ts";
import { alwaysHealthy, inProcessTransport } from "../cloud/in-process.ts";
import type { CloudOptions } from "../cloud/runtime/options.ts";
import { inProcessCluster } from "../cluster/embedded/in-process.ts";
import { targetOf } from "../cluster/embedded/rest.ts";
import { believing, silentLog } from "../coordinator/pods.ts";
import { CONTROLLERS_SETTINGS, METRICS } from "../coordinator/stage.ts";
import { makeVirtualClock } from "../virtual-clock.ts";
import type { Case, PodOfCase } from "./case.ts";

const NODE = "node-a";
/** Nobody writes anything for so long: then all has come about. More than a check window and a retry of 30 s take. Milliseconds. */
const QUIET_MS = 32_000;
const LIMIT_MS = 1_200_000;

export type ManifestWorld = Awaited<ReturnType<typeof manifestWorld>>;
type Raw = Readonly<Record<string, unknown>>;

const GROUPS: Readonly<Record<string, string>> = {
  TkeServiceConfig: "/apis/cloud.tencent.com/v1alpha1",
  EndpointSlice: "/apis/discovery.k8s.io/v1",
  Ingress: "/apis/networking.k8s.io/v1",
  IngressClass: "/apis/networking.k8s.io/v1",
};
const PLURALS: Readonly<Record<string, string>> = {
  Service: "services",
  Secret: "secrets",
  ConfigMap: "configmaps",
  Pod: "pods",
  TkeServiceConfig: "tkeserviceconfigs",
  EndpointSlice: "endpointslices",
  Ingress: "ingresses",
  IngressClass: "ingressclasses",
};

type Given = Pick<Case, "given" | "settings" | "certificates"> & {
  /** Default: as fast as the cloud's quick profile is. */
  readonly cloud?: CloudOptions;
};

/** `real`: time that passes by itself, and a cloud whose ports are open; default: virtual time, and no ports. */
export async function manifestWorld(
  { given, settings, certificates, cloud: options }: Given,
  real?: { readonly clock: Clock; readonly vipCidr: string },
) {
  const virtual = makeVirtualClock();
  const clock: Clock = real?.clock ?? virtual;
  const run = <T>(work: Promise<T>): Promise<T> => (real === undefined ? virtual.run(work, LIMIT_MS) : work);
  const cloud = makeCloud({
    clock,
    profile: "fast",
    probe: alwaysHealthy,
    ...options,
    dataPlane: real !== undefined,
    ...(real && { vipCidr: real.vipCidr }),
    certificates: await Promise.all(certificates.map(certificateOf)),
  });
  for (const { id, ...wanted } of given) cloud.addLoadBalancer({ id, ...wanted });
  const cluster = inProcessCluster(clock);
  const { store } = cluster;
  const forbidden = new Set<string>();
  const client = withRights(withLeases(cluster.client, clock), forbidden);
  await run(namespaces(client.create.bind(client)));
  let stop: (() => Promise<void>) | undefined;
  let generation = 0;

  /** A process that knows nothing but what is stored. */
  const start = (): void => {
    const ended = new AbortController();
    const shared = { client, clock, log: silentLog };
    const watchNode = makeWatchNode(shared, DEFAULT_GATE_TYPE);
    const registry = makeNodeRegistry({ ...shared, ...believing, observer: METRICS.observer, agentGraceMs: 100, watchNode }, ended.signal);
    registry.setNodes([{ name: NODE, uid: NODE }]);
    const events = new EventRecorder({ ...shared, component: "clb-direct" });
    const objects = makeWatchedObjects({
      ...shared,
      onService: (change) => controllers.serviceChanged(change),
      onConfig: (change) => controllers.configChanged(change),
      onSecret: (secret) => controllers.secretChanged(secret),
      onAccess: () => controllers.accessRulesChanged(),
      namespace: "clb-direct",
      onIngress: (change) => controllers.ingressChanged(change),
      onIngressClass: () => controllers.ingressClassChanged(),
      onNode: () => undefined,
      onNodesListed: () => undefined,
    });
    const transport = inProcessTransport(cloud, { name: `coordinator-${++generation}` });
    const all = { ...CONTROLLERS_SETTINGS, clusterId: CLUSTER, vpcId: "vpc-default", policy: "enforce", ...settings } as const;
    const tell = events.tell.bind(events);
    const controllers = makeControllers({ ...shared, transport, facts: registry, objects, tell, metrics: METRICS, settings: all });
    const { signal } = ended;
    const over = Promise.all([objects.run(signal), controllers.run(signal, signal), events.run(signal)]);
    stop = async () => {
      ended.abort(new DOMException("killed", "AbortError"));
      await over;
    };
  };
  const changed: string[] = [];
  store.subscribe(({ type, plural, object }) => changed.push(`${type} ${plural}/${object.metadata.name}`));
  const writes = (): string[] => [
    ...changed,
    ...cloud.journal.of("call").flatMap(({ action }) => (action.startsWith("Describe") ? [] : action)),
  ];
  const activity = (): number => writes().length;
  const settle = async (): Promise<void> => {
    for (let seen = -1; seen !== activity(); await clock.sleep(QUIET_MS)) seen = activity();
  };
  return {
    clock,
    cloud,
    store,
    run,
    start,
    kill: async (): Promise<void> => await stop?.(),
    /** Resources that may not be listed or watched, e.g. "endpointslices". */
    forbidden,
    /** Until nobody writes any more. */
    settle,
    /** Every write to the cluster and to the cloud so far; a patch that changes nothing is none. */
    writes,
    apply: (object: Raw) => apply(client, store, object),
    applyPod: (pod: PodOfCase, at: number, namespace = "demo") => applyPod(client, store, pod, { at, namespace }),
    remove: async (name: string, namespace = "demo"): Promise<void> => {
      const [kind = "", object = ""] = name.split("/");
      await client.delete(pathOf(kind, object, namespace));
    },
    end: async (): Promise<void> => await cloud.stop(),
  };
}

/** "ca-…" signs those of clients, "rsa-…" is of RSA, others are of ECC. */
function certificateOf(id: string): ReturnType<typeof aCertificate> {
  if (id.startsWith("ca-")) return aClientAuthority(id);
  return id.startsWith("rsa-") ? anRsaCertificate(id) : aCertificate(id);
}

/** A kubelet renews its Lease so often. Milliseconds. */
const LEASE_MS = 10_000;

/** The node is alive: the next leader finds that this cluster is no copy. */
function withLeases(client: Client, clock: Clock): Client {
  const leases = () => {
    const renewTime = new Date(Math.floor(clock.now() / LEASE_MS) * LEASE_MS).toISOString();
    return { items: [{ metadata: { name: NODE }, spec: { renewTime } }], resourceVersion: "1" };
  };
  const list: Client["list"] = async <T>(...asked: Parameters<Client["list"]>) => {
    if (!asked[0].endsWith("/kube-node-lease/leases")) return await client.list<T>(...asked);
    return leases() as never; // what the coordinator reads of a Lease
  };
  return { ...client, list };
}

/** What is forbidden is refused as the API server does it. */
function withRights(client: Client, forbidden: ReadonlySet<string>): Client {
  const check = (path: string): void => {
    const resource = path.split("/").at(-1) ?? "";
    if (forbidden.has(resource)) throw new KubeApiError(`list ${path}`, "denied", `cannot list resource "${resource}"`);
  };
  const list: Client["list"] = async <T>(...asked: Parameters<Client["list"]>) => {
    check(asked[0]);
    return await client.list<T>(...asked);
  };
  const watch: Client["watch"] = async (...asked) => {
    check(asked[0]);
    return await client.watch(...asked);
  };
  return { ...client, list, watch };
}

async function namespaces(create: (path: string, body: unknown) => Promise<unknown>): Promise<void> {
  for (const name of ["demo", "press", "clb-direct"])
    await create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  await create("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: NODE } });
}

type Client = ReturnType<typeof inProcessCluster>["client"];
type Store = ReturnType<typeof inProcessCluster>["store"];

function pathOf(kind: string, name: string, namespace = "demo"): string {
  const plural = PLURALS[kind];
  if (plural === undefined) throw new TypeError(`no case may have a ${kind}`);
  const where = kind === "IngressClass" ? "" : `/namespaces/${namespace}`;
  return `${GROUPS[kind] ?? "/api/v1"}${where}/${plural}${name === "" ? "" : `/${name}`}`;
}

/** Creates the object, or merges what is given into the one that exists. */
async function apply(client: Client, store: Store, object: Raw): Promise<void> {
  const { kind, metadata } = object;
  const { name, namespace = "demo" } = Object(metadata) as { readonly name: string; readonly namespace?: string };
  const path = pathOf(String(kind), name, namespace);
  const target = targetOf(path);
  const exists = target !== undefined && store.get(target.resource.plural, kind === "IngressClass" ? "" : namespace, name) !== undefined;
  if (exists) await client.patch(path, object, "merge");
  else {
    const where = kind === "IngressClass" ? {} : { namespace };
    await client.create(pathOf(String(kind), "", namespace), { ...object, metadata: { ...Object(metadata), ...where } });
  }
}

type PodAt = { readonly at: number; readonly namespace: string };

async function applyPod(client: Client, store: Store, pod: PodOfCase, { at, namespace }: PodAt): Promise<void> {
  const { name, labels, annotations, ready, hostNetwork, ports, ipv6 } = pod;
  const ips = [pod.ip ?? (ipv6 === undefined ? `10.244.1.${at + 1}` : []), ipv6 ?? []].flat();
  if (store.get("pods", namespace, name) === undefined)
    await client.create(pathOf("Pod", "", namespace), {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels, annotations },
      spec: {
        nodeName: NODE,
        hostNetwork,
        readinessGates: [{ conditionType: DEFAULT_GATE_TYPE }],
        containers: [{ name: "web", image: "registry.example.com/web:1", ports }],
      },
    });
  else await client.patch(pathOf("Pod", name, namespace), { metadata: { labels, annotations } }, "merge");
  const conditions = [{ type: "ContainersReady", status: ready ? "True" : "False", lastTransitionTime: "2023-11-14T22:13:20Z" }];
  const status = { phase: "Running", podIP: ips[0], podIPs: ips.map((ip) => ({ ip })), startTime: "2023-11-14T22:13:20Z", conditions };
  await client.patch(`${pathOf("Pod", name, namespace)}/status`, { status }, "strategic");
}

/** A pause that a seed decides, up to so long. */
export const pause = (clock: Clock, random: () => number, mostMs: number): Promise<void> => clock.sleep(Math.floor(random() * mostMs));
