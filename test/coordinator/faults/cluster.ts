/** What an API server keeps, in memory and in virtual time: Services, Pods, Events and the address claims. */
import type { Clock } from "../../../common/clock.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import type { WatchedSet } from "../../../common/kubernetes/list-watch.ts";
import type { KubeClient, Query } from "../../../common/kubernetes/requests.ts";
import { ADDRESS_CLAIMS_PREFIX, EXISTING_LOAD_BALANCER, FINALIZER, SERVICE_CONFIG } from "../../../common/names.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { ServiceRecord } from "../../../coordinator/domain/intent/service.ts";
import { wishKey } from "../../../coordinator/domain/intent/service-config.ts";
import type { HealthCheck } from "../../../coordinator/domain/load-balancer.ts";
import type { ConfigRecord, WatchedObjects } from "../../../coordinator/state/watched-objects.ts";
import { aPod, aService, rawPod } from "../../builders.ts";

/** A Pod's life on the clock; `endingMs`: its deletion was asked for. */
export type Life = { readonly uid: string; readonly app: string; readonly ip: string; readonly bornMs: number; endingMs: number };
type Told = { readonly object: string; readonly reason: string; readonly message: string };

/** A write of ours is answered after so long. Milliseconds. */
const ANSWER_MS = 5;
/** From the deletion of a Pod to the end of its containers, and from its start to their readiness. Milliseconds. */
const STOP_MS = 8_000;
const START_MS = { first: 700, next: 90 } as const;

export type Cluster = ReturnType<typeof aCluster>;

/** One Service per load balancer: Service "one" of "lb-one" selects the Pods with the label app "one". */
export function aCluster(clock: Clock, apps: readonly string[], nodes: readonly string[], check?: Partial<HealthCheck>) {
  const pods = new Map<string, PodFact>();
  const named = check && { [SERVICE_CONFIG]: CHECKED.name };
  const services = new Map<string, ServiceRecord>(
    apps.map((app, at) => {
      const service = serviceOf(app, at);
      return [uidOf(at), { ...service, annotations: { ...service.annotations, ...named } }];
    }),
  );
  const claims = new Map<string, Map<string, string>>();
  const told: Told[] = [];
  const lives: Life[] = [];
  const podListeners = new Set<(uid: string, pod: PodFact | undefined) => void>();
  const gateListeners: ((pod: PodFact) => void)[] = [];
  const serviceListeners = new Set<(record: ServiceRecord) => void>();
  let version = 0;
  let born = 0;

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
      put(aPod({ uid, name: uid, nodeName, ips: [ip], labels: { app }, containersReady: false, startedAtMs: clock.now() }));
      const ready = (): void => change(uid, { containersReady: true, containersReadyAtMs: clock.now() });
      void clock.sleep(START_MS.first + START_MS.next * (at % 10)).then(ready);
      return uid;
    });
  /** Asks for the deletion of Pods; they are gone when their containers have stopped. */
  const end = (uids: readonly string[]): void => {
    for (const uid of uids) {
      for (const life of lives) if (life.uid === uid) life.endingMs = clock.now();
      change(uid, { deletionAtMs: clock.now() + 30_000 });
      const gone = (): void => {
        if (pods.delete(uid)) for (const listener of podListeners) listener(uid, undefined);
      };
      void clock.sleep(STOP_MS).then(gone);
    }
  };
  /** A Service is new, or is another one now. */
  const putService = (service: ServiceRecord): void => {
    const record = { ...service, resourceVersion: String(++version) };
    services.set(record.uid, record);
    for (const listener of serviceListeners) listener(record);
  };
  /** A person changes the Service of an app. */
  const edit = (app: string, what: Partial<ServiceRecord>): void => {
    const known = services.get(uidOf(apps.indexOf(app)));
    if (known !== undefined) putService({ ...known, ...what });
  };
  const patch = (path: string, body: unknown): object => {
    const [, configMap] = /\/configmaps\/(.+)$/.exec(path) ?? [];
    if (configMap !== undefined) return patchClaims(claims, path, configMap, body);
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
    const annotations = { ...service.annotations, ...Object(member(member(body, "metadata"), "annotations")) };
    const record = { ...service, annotations, ...(given.length > 0 && { ingress }), resourceVersion: String(++version) };
    services.set(service.uid, record);
    for (const listener of serviceListeners) listener(record);
    return {};
  };
  const create = (path: string, body: unknown): object => {
    if (path.endsWith("/configmaps")) {
      const name = textOf(member(member(body, "metadata"), "name"));
      claims.set(name, new Map(Object.entries(Object(member(body, "data")))));
    } else told.push({ object: textOf(member(member(body, "involvedObject"), "name")), ...reasonOf(body) });
    return {};
  };
  const remove = (path: string): object => {
    if (!claims.delete(path.split("/").at(-1) ?? "")) throw notFound(path);
    return {};
  };
  const get = (path: string): object => {
    const [, podName] = /\/pods\/([^/]+)$/.exec(path) ?? [];
    if (podName !== undefined) {
      const pod = pods.get(podName);
      if (pod === undefined) throw notFound(path);
      return rawPod(pod);
    }
    const data = claims.get(path.split("/").at(-1) ?? "");
    if (data === undefined) throw notFound(path);
    return { data: Object.fromEntries(data) };
  };

  /** Of Pods by their app. */
  const list = (path: string, { labelSelector }: Query): object => {
    const [, , app = ""] = /^app(=| in \()([^)]*)\)?$/.exec(String(labelSelector)) ?? [];
    if (!path.endsWith("/pods") || app === "") throw new Error(`the coordinator's heart needs no such list: ${path} ${labelSelector}`);
    const items = [...pods.values()].filter(({ labels }) => app.split(",").includes(labels["app"] ?? "")).map(rawPod);
    return { items, resourceVersion: String(version) };
  };

  return {
    pods,
    services,
    lives,
    told,
    start,
    end,
    /** A Pod's own labels are changed: those of its app, or none at all. */
    relabel: (uid: string, labels: PodFact["labels"]): void => change(uid, { labels }),
    edit,
    putService,
    /** What a person writes on the Service of an app, in place of what was written there before. */
    annotate: (app: string, annotations: Readonly<Record<string, string>>): void =>
      edit(app, { annotations: { ...serviceOf(app, apps.indexOf(app)).annotations, ...annotations } }),
    /** The containers of all Pods are ready now. */
    readyTogether: (): void => {
      for (const uid of pods.keys()) change(uid, { containersReady: true, containersReadyAtMs: clock.now() });
    },
    client: aClient(clock, { get, list, create, patch, remove }),
    objects: someObjects(services, nodes, check && { ...CHECKED, wishes: new Map([[wishKey("TCP", 80), check]]) }),
    alive: (app: string): PodFact[] =>
      [...pods.values()].filter(({ labels, deletionAtMs }) => labels["app"] === app && deletionAtMs === undefined),
    /** The stored claims of a load balancer: address -> UID. */
    addressClaims: (loadBalancerId: string): ReadonlyMap<string, string> =>
      claims.get(`${ADDRESS_CLAIMS_PREFIX}${loadBalancerId}`) ?? new Map<string, string>(),
    onPod: (listener: (uid: string, pod: PodFact | undefined) => void): (() => void) => {
      podListeners.add(listener);
      return () => void podListeners.delete(listener);
    },
    /** Told when a gate is opened. */
    onGate: (listener: (pod: PodFact) => void): void => void gateListeners.push(listener),
    onService: (listener: (record: ServiceRecord) => void): (() => void) => {
      serviceListeners.add(listener);
      return () => void serviceListeners.delete(listener);
    },
  };
}

const uidOf = (at: number): string => `5e21c0ff-ee1${at}-0000-0000-000000000000`;

const serviceOf = (app: string, at: number): ServiceRecord =>
  aService({
    uid: uidOf(at),
    name: app,
    selector: { app },
    finalizers: [FINALIZER],
    annotations: { ...aService().annotations, [EXISTING_LOAD_BALANCER]: `lb-${app}` },
  });

function patchClaims(claims: Map<string, Map<string, string>>, path: string, name: string, body: unknown): object {
  const data = claims.get(name);
  if (data === undefined) throw notFound(path);
  for (const [ip, podUid] of Object.entries(Object(member(body, "data")))) {
    if (podUid === null) data.delete(ip);
    else data.set(ip, textOf(podUid));
  }
  return {};
}

const notFound = (path: string): KubeApiError => new KubeApiError(path, "notFound", "there is no such object", { code: 404 });
const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const reasonOf = (event: unknown) => ({ reason: textOf(member(event, "reason")), message: textOf(member(event, "message")) });

type Verbs = { readonly [verb in "get" | "create" | "patch" | "remove"]: (path: string, body: unknown) => object } & {
  readonly list: (path: string, query: Query) => object;
};

/** Answers after a moment; a caller that has given up by then has changed nothing. */
function aClient(clock: Clock, verbs: Verbs): KubeClient {
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
    list: (path, query = {}, { signal } = {}) => after(signal, () => verbs.list(path, query)),
    replace: unexpected,
    delete: (path, _body, { signal } = {}) => after(signal, () => verbs.remove(path, undefined)),
    watch: unexpected,
    close: () => Promise.resolve(),
  };
}

/** Names the health check of every Service's port 80. */
const CHECKED: ConfigRecord = { uid: "c", resourceVersion: "1", namespace: "demo", name: "checked", wishes: new Map(), faults: [] };

function someObjects(
  services: ReadonlyMap<string, ServiceRecord>,
  nodes: readonly string[],
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
    nodes: listed(new Map(nodes.map((name) => [name, { uid: name, resourceVersion: "1", name, virtual: false }]))),
    synced: true,
    watchAgeSeconds: {},
    config: (_namespace, name) => (name === config?.name ? config : undefined),
    run: () => Promise.resolve(),
  };
}
