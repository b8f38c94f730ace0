/** What an API server keeps, in memory and in virtual time: Services, Pods, Events and the ConfigMaps of the records. */
import type { Clock } from "../../../common/clock.ts";
import { errorFromAnswer, KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { Change, WatchedSet } from "../../../common/kubernetes/list-watch.ts";
import type { KubeClient, Query, WatchEnd, WatchEventType } from "../../../common/kubernetes/requests.ts";
import { EXISTING_LOAD_BALANCER, FINALIZER, SERVICE_CONFIG } from "../../../common/names.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { ServiceRecord } from "../../../coordinator/domain/intent/service.ts";
import { wishKey } from "../../../coordinator/domain/intent/service-config.ts";
import type { HealthCheck } from "../../../coordinator/domain/load-balancer.ts";
import { OPEN_ACCESS } from "../../../coordinator/state/access.ts";
import type { ConfigRecord } from "../../../coordinator/state/config-objects.ts";
import { NO_MISFITS } from "../../../coordinator/state/misfit-namespaces.ts";
import { decodeNode, type WatchedObjects } from "../../../coordinator/state/watched-objects.ts";
import { aPod, aService, rawPod } from "../../builders.ts";
import { NO_CERTIFICATES, NO_ENDPOINT_SLICES, NO_SWITCHES } from "../stage.ts";
import { backupOf, type Life, type PodListener } from "./backups.ts";
import { configMaps } from "./config-maps.ts";

type Told = { readonly object: string; readonly reason: string; readonly message: string };

/** A write of ours is answered after so long. Milliseconds. */
const ANSWER_MS = 5;
/** From the deletion of a Pod to the end of its containers, and from its start to their readiness. Milliseconds. */
const STOP_MS = 8_000;
/** A kubelet renews its Lease so often. Milliseconds. */
const LEASE_MS = 10_000;
const START_MS = { first: 700, next: 90 } as const;

export type ClusterOptions = {
  readonly check?: Partial<HealthCheck> | undefined;
  readonly ours?: boolean | undefined;
  /** How long the containers of the next Pod take to become ready, milliseconds; default: a little longer for each of a group. */
  readonly startMs?: (() => number) | undefined;
  /** Every other Pod has the hook of the webhook. */
  readonly hooks?: boolean | undefined;
};
export type Cluster = ReturnType<typeof aCluster>;

/** One Service per load balancer: Service "one" of "lb-one" selects the Pods with the label app "one". */
export function aCluster(
  clock: Clock,
  apps: readonly string[],
  nodes: readonly string[],
  { check, ours = false, startMs, hooks = false }: ClusterOptions = {},
) {
  const pods = new Map<string, PodFact>();
  const named = check && { [SERVICE_CONFIG]: CHECKED.name };
  const services = new Map<string, ServiceRecord>(
    apps.map((app, at) => {
      const service = serviceOf(app, at);
      const { [EXISTING_LOAD_BALANCER]: existing, ...own } = service.annotations;
      const source = ours || existing === undefined ? {} : { [EXISTING_LOAD_BALANCER]: existing };
      return [uidOf(at), { ...service, annotations: { ...own, ...source, ...named } }];
    }),
  );
  const nodeRecords = new Map(nodes.map((name) => [name, aNode(name, 1)]));
  const records = configMaps(() => String(++version));
  const told: Told[] = [];
  const kubelets = { areAlive: true, leasesDeniedUntilMs: 0 };
  const lives: Life[] = [];
  const readyMs = new Map<string, number>();
  const podListeners = new Set<PodListener>();
  const gateListeners: ((pod: PodFact) => void)[] = [];
  const serviceListeners = new Set<(change: Change<ServiceRecord>) => void>();
  let version = 0;
  let born = 0;
  let recreated = 0;
  let namespaceLists = 0;
  let podGets = 0;

  const put = (pod: PodFact): void => {
    const stored = { ...pod, resourceVersion: String(++version) };
    pods.set(pod.uid, stored);
    for (const listener of podListeners) listener(pod.uid, stored);
  };
  const change = (uid: string, what: Partial<PodFact>): void => {
    const pod = pods.get(uid);
    if (pod !== undefined) put({ ...pod, ...what });
  };

  /** Starts Pods of an app; gives their UIDs at once, their containers become ready one after the other. `former`: the address of a single one. */
  const start = (app: string, count: number, former?: string): string[] =>
    Array.from({ length: count }, (_, at) => {
      const n = born++;
      const ip = former ?? `10.244.${Math.floor(n / 200)}.${(n % 200) + 1}`;
      const uid = `${app}-${n}`;
      const nodeName = nodes[n % nodes.length] ?? "";
      lives.push({ uid, app, ip, bornMs: clock.now(), endingMs: Number.POSITIVE_INFINITY });
      const hook = hooks && n % 2 === 1 && ({ drain: "hold" } as const);
      put(aPod({ uid, name: uid, nodeName, ips: [ip], labels: { app }, containersReady: false, startedAtMs: clock.now(), ...hook }));
      const ready = (): void => {
        readyMs.set(uid, clock.now());
        change(uid, { containersReady: true, containersReadyAtMs: clock.now() });
      };
      void clock.sleep(startMs?.() ?? START_MS.first + START_MS.next * (at % 10)).then(ready);
      return uid;
    });
  /** Asks for the deletion of Pods; they are gone when their containers have stopped. */
  const end = (uids: readonly string[], stopMs = STOP_MS): void => {
    for (const uid of uids) {
      for (const life of lives) if (life.uid === uid) life.endingMs = clock.now();
      change(uid, { deletionAtMs: clock.now() + 30_000 });
      const gone = (): void => {
        if (pods.get(uid)?.deletionAtMs === undefined) return; // gone, or the API server knows nothing of it any more
        if (pods.delete(uid)) for (const listener of podListeners) listener(uid, undefined);
      };
      void clock.sleep(stopMs).then(gone);
    }
  };
  const serviceNamed = (app: string): ServiceRecord | undefined => [...services.values()].find(({ name }) => name === app);
  /** A person changes the Service of an app. */
  const edit = (app: string, what: Partial<ServiceRecord>): void => {
    const known = serviceNamed(app);
    if (known !== undefined) putService({ ...known, ...what });
  };
  /** A Service is new, or is another one now. */
  const putService = (service: ServiceRecord): void => {
    const record = { ...service, resourceVersion: String(++version) };
    const kind = services.has(record.uid) ? "changed" : "added";
    const isGone = record.deleting && record.finalizers.length === 0;
    if (isGone) services.delete(record.uid);
    else services.set(record.uid, record);
    for (const listener of serviceListeners) listener(isGone ? { kind: "removed", record, evidence: "deleted" } : { kind, record });
  };
  const patch = (path: string, body: unknown): object => {
    if (path.includes("/configmaps/")) return records.patch(path, body);
    const [, kind, name] = /\/(pods|services)\/([^/]+)\/status$/.exec(path) ?? [];
    if (kind === "pods") {
      const pod = pods.get(name ?? "");
      if (pod === undefined || member(member(body, "metadata"), "uid") !== pod.uid) throw notFound(path);
      const [condition] = listOf(member(member(body, "status"), "conditions"));
      const gate = member(condition, "status") === "True" ? "True" : "False";
      if (gate === "True") for (const listener of gateListeners) listener(pod);
      change(pod.uid, { gate });
      return {};
    }
    const service = [...services.values()].find((one) => one.name === name);
    if (kind !== "services" || service === undefined) throw notFound(path);
    const given = listOf(member(member(member(body, "status"), "loadBalancer"), "ingress"));
    const ingress = given.map((entry) => textOf(member(entry, "ip")));
    const metadata = member(body, "metadata");
    if (member(metadata, "uid") !== service.uid) throw notFound(path);
    const merged = { ...service.annotations, ...Object(member(metadata, "annotations")) };
    const annotations = Object.fromEntries(
      Object.entries(merged).flatMap(([key, value]) => (typeof value === "string" ? [[key, value]] : [])),
    );
    const gone = listOf(member(metadata, "$deleteFromPrimitiveList/finalizers"));
    const finalizers = [...new Set([...service.finalizers, ...listOf(member(metadata, "finalizers")).map(textOf)])].filter(
      (one) => !gone.includes(one),
    );
    const [condition] = listOf(member(member(body, "status"), "conditions"));
    const ready = condition === undefined ? service.ready : readyOf(condition);
    putService({ ...service, annotations, finalizers, ready, ...(given.length > 0 && { ingress }) });
    return {};
  };
  const create = (path: string, body: unknown): object => {
    if (path.endsWith("/configmaps")) return records.create(path, body);
    told.push({ object: textOf(member(member(body, "involvedObject"), "name")), ...reasonOf(body) });
    return {};
  };
  const get = (path: string): object => {
    const [, podName] = /\/pods\/([^/]+)$/.exec(path) ?? [];
    const pod = podName === undefined ? undefined : pods.get(podName);
    podGets += Number(podName !== undefined);
    if (pod !== undefined) return rawPod(pod);
    throw notFound(path);
  };

  /** Of Pods by their app. */
  const list = (path: string, { labelSelector }: Query): object => {
    if (path.endsWith("/kube-node-lease/leases")) {
      if (clock.now() < kubelets.leasesDeniedUntilMs) throw errorFromAnswer(`GET ${path}`, 403, "cannot list resource");
      const renewTime = new Date(kubelets.areAlive ? Math.floor(clock.now() / LEASE_MS) * LEASE_MS : 0).toISOString();
      return { items: nodes.map((name) => ({ metadata: { name }, spec: { renewTime } })), resourceVersion: String(version) };
    }
    const [, , app = ""] = /^app(=| in \()([^)]*)\)?$/.exec(String(labelSelector)) ?? [];
    if (path.endsWith("/namespaces/demo/pods") && labelSelector === undefined) {
      namespaceLists += 1;
      return { items: [...pods.values()].map(rawPod), resourceVersion: String(version) };
    }
    if (!path.endsWith("/pods") || app === "") throw new Error(`the coordinator's heart needs no such list: ${path} ${labelSelector}`);
    const items = [...pods.values()].filter(({ labels }) => app.split(",").includes(labels["app"] ?? "")).map(rawPod);
    return { items, resourceVersion: String(version) };
  };

  /** Pods of an app, from now on; each event comes a moment later. */
  const watch: Verbs["watch"] = ({ labelSelector }, onEvent, signal) => {
    const [, app] = /^app=(.+)$/.exec(String(labelSelector)) ?? [];
    const tell: PodListener = (_uid, pod) => {
      if (pod === undefined || pod.labels["app"] !== app) return;
      const object = rawPod(pod);
      void clock.sleep(ANSWER_MS, signal).then(
        () => onEvent("MODIFIED", object),
        () => undefined,
      );
    };
    podListeners.add(tell);
    return new Promise((resolve) => {
      const over = (): void => {
        podListeners.delete(tell);
        resolve({ kind: "aborted" });
      };
      if (signal.aborted) over();
      else signal.addEventListener("abort", over, { once: true });
    });
  };

  return {
    pods,
    services,
    /** Whether they renew their Leases, and until when nobody may read them; milliseconds since the epoch. */
    kubelets,
    lives,
    /** Some Pod has the address, and its containers have not stopped. */
    isServing: (ip: string): boolean => [...pods.values()].some(({ ips }) => ips.includes(ip)),
    /** When the containers of a Pod became ready, by UID; milliseconds since the epoch. */
    readyMs,
    told,
    start,
    end,
    /** Has the hook of the webhook from now on. */
    hook: (uid: string): void => change(uid, { drain: "hold" }),
    /** Somebody else says that the Pod's gate is closed. */
    turnBack: (uid: string): void => change(uid, { gate: "False" }),
    /** A Pod's own labels are changed: those of its app, or none at all. */
    relabel: (uid: string, labels: PodFact["labels"]): void => change(uid, { labels }),
    edit,
    putService,
    /** How often all Pods of the Namespace were listed. */
    namespaceLists: (): number => namespaceLists,
    /** How often a single Pod was read. */
    podGets: (): number => podGets,
    service: (app: string): ServiceRecord | undefined => serviceNamed(app),
    /** A Service vanishes: nobody sees a deletion. */
    vanish: (app: string): void => {
      const record = serviceNamed(app);
      if (record === undefined) return;
      services.delete(record.uid);
      for (const listener of serviceListeners) listener({ kind: "removed", record, evidence: "absent" });
    },
    /** A person creates a Service of that name once more. */
    recreate: (app: string, what: Partial<ServiceRecord> = {}): void => {
      const at = apps.indexOf(app);
      const uid = `${uidOf(at).slice(0, 9)}ee2${++recreated}${uidOf(at).slice(13)}`;
      putService({
        ...serviceOf(app, at),
        uid,
        finalizers: [],
        createdAt: "2027-01-01T00:00:00Z",
        ...what,
      });
    },
    /** A person deletes it; it goes when its finalizer has gone. */
    remove: (app: string): void => edit(app, { deleting: true }),
    /** What a person writes on the Service of an app, in place of what was written there before. */
    annotate: (app: string, annotations: Readonly<Record<string, string>>): void =>
      edit(app, { annotations: { ...serviceOf(app, apps.indexOf(app)).annotations, ...annotations } }),
    /** Nothing of these Pods runs any more, and nobody has deleted them: a Job that is done, a node that has shut down. */
    finish: (uids: readonly string[], phase: "Succeeded" | "Failed"): void => {
      for (const uid of uids) change(uid, { phase, containersReady: false, containersReadyAtMs: clock.now() });
    },
    /** As the garbage collector deletes Pods of a Node that is gone: at once. */
    collect: (uids: readonly string[]): void => {
      for (const uid of uids) if (pods.delete(uid)) for (const listener of podListeners) listener(uid, undefined);
    },
    /** The containers of these Pods are ready now, or are not. */
    setReady: (uids: readonly string[], containersReady: boolean): void => {
      for (const uid of uids) change(uid, { containersReady, containersReadyAtMs: clock.now() });
    },
    /** The containers of these Pods have been started anew and are ready. */
    restart: (uids: readonly string[]): void => {
      for (const uid of uids)
        change(uid, { containersReady: true, containersReadyAtMs: clock.now(), restarts: (pods.get(uid)?.restarts ?? 0) + 1 });
    },
    /** The containers of all Pods are ready now. */
    readyTogether: (): void => {
      for (const uid of pods.keys()) change(uid, { containersReady: true, containersReadyAtMs: clock.now() });
    },
    objects: someObjects(services, nodeRecords, check && { ...CHECKED, wishes: new Map([[wishKey("TCP", 80), check]]) }),
    records,
    /** The Node as it is from now on. */
    editNode: (name: string, spec: object): NodeRecord => {
      const record = aNode(name, ++version, spec);
      nodeRecords.set(name, record);
      return record;
    },
    client: aClient(clock, { get, list, watch, create, patch, remove: (path) => records.remove(path) }, records.reads(clock, ANSWER_MS)),
    alive: (app: string): PodFact[] =>
      [...pods.values()].filter(({ labels, deletionAtMs }) => labels["app"] === app && deletionAtMs === undefined),
    /** The stored claims of a load balancer: address -> UID. */
    addressClaims: (loadBalancerId: string): ReadonlyMap<string, string> =>
      new Map(
        records
          .entries(loadBalancerId)
          .flatMap(([key, value]) => (key.startsWith("ip.") ? [[key.slice(3), value.split(" ")[0] ?? ""]] : [])),
      ),
    /** Saves what is stored now; calling the result restores it. */
    backup: (): (() => void) => {
      const savedVersion = version;
      const podChanged: PodListener = (...how) => podListeners.forEach((listener) => listener(...how));
      const serviceChanged = (how: Change<ServiceRecord>): void => serviceListeners.forEach((listener) => listener(how));
      const restore = backupOf({ pods, services, lives, records, podChanged, serviceChanged, nowMs: () => clock.now() });
      return () => {
        version = savedVersion;
        restore();
      };
    },
    onPod: (listener: PodListener): (() => void) => {
      podListeners.add(listener);
      return () => void podListeners.delete(listener);
    },
    /** Told when a gate is opened. */
    onGate: (listener: (pod: PodFact) => void): void => void gateListeners.push(listener),
    onService: (listener: (change: Change<ServiceRecord>) => void): (() => void) => {
      serviceListeners.add(listener);
      return () => void serviceListeners.delete(listener);
    },
  };
}

/** The condition as it is patched; undefined: it is deleted. */
function readyOf(condition: unknown): ServiceRecord["ready"] {
  if (member(condition, "$patch") === "delete") return undefined;
  const [reason, message, since] = ["reason", "message", "lastTransitionTime"].map((name) => textOf(member(condition, name)));
  const observedGeneration = member(condition, "observedGeneration");
  return {
    status: textOf(member(condition, "status")),
    reason: reason ?? "",
    message: message ?? "",
    since: since ?? "",
    observedGeneration: typeof observedGeneration === "number" ? observedGeneration : undefined,
  };
}

/** UID of the Service of the app at this place. */
export const uidOf = (at: number): string => `5e21c0ff-ee1${at}-0000-0000-000000000000`;

const serviceOf = (app: string, at: number): ServiceRecord =>
  aService({
    uid: uidOf(at),
    name: app,
    selector: { app },
    finalizers: [FINALIZER],
    annotations: { ...aService().annotations, [EXISTING_LOAD_BALANCER]: `lb-${app}` },
  });

const notFound = (path: string): KubeApiError => new KubeApiError(path, "notFound", "there is no such object", { code: 404 });
const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const reasonOf = (event: unknown) => ({ reason: textOf(member(event, "reason")), message: textOf(member(event, "message")) });

type Verbs = { readonly [verb in "get" | "create" | "patch" | "remove"]: (path: string, body: unknown) => object } & {
  readonly list: (path: string, query: Query) => object;
  /** Of Pods. */
  readonly watch: (query: Query, onEvent: (type: WatchEventType, object: unknown) => void, signal: AbortSignal) => Promise<WatchEnd>;
};

/** Answers after a moment; a caller that has given up by then has changed nothing. */
function aClient(clock: Clock, verbs: Verbs, records: Pick<KubeClient, "list" | "watch">): KubeClient {
  const after = async <T>(signal: AbortSignal | undefined, answer: () => object): Promise<T> => {
    await clock.sleep(ANSWER_MS, signal);
    return answer() as T; // as with a real client, the caller knows what it asked for
  };
  const unexpected = (): never => {
    throw new Error("the coordinator's heart needs no such request");
  };
  return {
    server: "https://cluster.test",
    get: (path, { signal } = {}) => after(signal, () => verbs.get(path, undefined)),
    create: (path, body, { signal } = {}) => after(signal, () => verbs.create(path, body)),
    patch: (path, body, _type, { signal } = {}) => after(signal, () => verbs.patch(path, body)),
    list: (path, query = {}, options = {}) =>
      path.endsWith("/configmaps") ? records.list(path, query, options) : after(options.signal, () => verbs.list(path, query)),
    replace: unexpected,
    delete: (path, _body, { signal } = {}) => after(signal, () => verbs.remove(path, undefined)),
    watch: (path, query, onEvent, signal) =>
      path.endsWith("/pods") ? verbs.watch(query, onEvent, signal) : records.watch(path, query, onEvent, signal),
    close: () => Promise.resolve(),
  };
}

/** Names the health check of every Service's port 80. */
const CHECKED: ConfigRecord = { uid: "c", resourceVersion: "1", namespace: "demo", name: "checked", wishes: new Map(), faults: [] };

type NodeRecord = ReturnType<typeof decodeNode>;

/** As the API server tells of it, e.g. with a spec of { unschedulable: true }; its UID is its name. */
const aNode = (name: string, version: number, spec = {}): NodeRecord =>
  decodeNode({
    metadata: { uid: name, name, resourceVersion: String(version), labels: {}, creationTimestamp: "1970-01-01T00:00:00Z" },
    spec,
  });

function someObjects(
  services: ReadonlyMap<string, ServiceRecord>,
  nodes: ReadonlyMap<string, NodeRecord>,
  config: ConfigRecord | undefined,
): WatchedObjects {
  const listed = <R>(records: ReadonlyMap<string, R>): WatchedSet<R> => ({
    synced: true,
    records,
    lastByteAtMs: 0,
    run: () => Promise.resolve(),
  });
  return {
    services: listed(services),
    configs: listed(new Map()),
    ingresses: listed(new Map()),
    ingressClasses: listed(new Map()),
    misfitNamespaces: NO_MISFITS,
    nodes: listed(nodes),
    certificates: NO_CERTIFICATES,
    endpointSlices: NO_ENDPOINT_SLICES,
    tkeSwitches: NO_SWITCHES,
    access: OPEN_ACCESS,
    ownersListed: true,
    synced: true,
    watchAgeSeconds: {},
    configsVersion: 0,
    config: (_namespace, name) => (name === config?.name ? config : undefined),
    run: () => Promise.resolve(),
  };
}
