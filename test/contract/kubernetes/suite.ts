/** One behaviour of Kubernetes that we rely on is one function here, run against the embedded API server and a real one alike. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, type TestContext, test } from "node:test";
import { Agent, request } from "undici";
import { makeClock } from "../../../common/clock.ts";
import { findKubeAccess } from "../../../common/kubernetes/access.ts";
import { makeKubeClient } from "../../../common/kubernetes/client.ts";
import type { KubeClient, PatchType, Query, WatchEnd } from "../../../common/kubernetes/requests.ts";
import { type EmbeddedCluster, startApiServer } from "../../cluster/embedded/server.ts";
import { type AddressPlan, addressPlan, claimSlot } from "../../cluster/network.ts";
import { until } from "../../cluster/process.ts";
import { findControlPlane } from "../../cluster/real/binaries.ts";
import { ADMIN } from "../../cluster/real/certificates.ts";
import { networkFault, type RealCluster, startControlPlane } from "../../cluster/real/control-plane.ts";
import { DEFAULT_MINOR, kubernetesMinor } from "../../cluster/real/modules.ts";

/** An answer as it came. `body` is the parsed JSON, {} where there is none; read it with `at`. */
export type Answer = { readonly code: number; readonly text: string; readonly body: unknown; readonly retryAfter: string | undefined };
type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
/** `type` is that of a patch or a content type; with `token` the request is that token's, else the admin's. */
export type AskOptions = { readonly query?: Query; readonly type?: PatchType | `${string}/${string}`; readonly token?: string };
export type Ask = (method: Method, path: string, body?: unknown, options?: AskOptions) => Promise<Answer>;

type Shared = {
  /** As an administrator. */
  readonly client: KubeClient;
  /** A request past the client, which throws for what these tests are about. */
  readonly ask: Ask;
  readonly plan: AddressPlan;
  /** A new namespace with its ServiceAccount, e.g. "objects-3". */
  readonly namespace: () => Promise<string>;
};
export type OnReal = Shared & { readonly server: "real"; readonly cluster: RealCluster };
export type OnEmbedded = Shared & { readonly server: "embedded"; readonly cluster: EmbeddedCluster };
export type Subject = OnReal | OnEmbedded;

type Register<S> = (
  name: string,
  run: (subject: S, t: TestContext) => Promise<void>,
  options?: { readonly skip?: string | false; readonly timeout?: number },
) => void;
/** `real` and `embedded` are for what the other one cannot show. */
export type Behaviours = { readonly both: Register<Subject>; readonly real: Register<OnReal>; readonly embedded: Register<OnEmbedded> };

const minor = kubernetesMinor(process.env["KUBERNETES"] ?? DEFAULT_MINOR);
/** Behaviours wait more than they work; every one has a namespace of its own. */
const CONCURRENCY = 8;
/** For one behaviour; a rollout or the end of a namespace takes some 10 s. */
const LIMIT_MS = 45_000;

/** Registers the behaviours of one topic twice. Starts one control plane, or skips its half with the reason. */
export async function contract(topic: string, register: (behaviours: Behaviours) => void): Promise<void> {
  const found = await findControlPlane({ kubernetes: minor });
  const why = found.kind === "missing" ? found.reason : networkFault(addressPlan(1));
  half<OnEmbedded>(`${topic}: embedded`, topic, startEmbedded, (embedded) => register({ both: embedded, embedded, real: () => undefined }));
  if (found.kind === "missing" || why !== undefined) return void test(`${topic}: Kubernetes ${minor}`, { skip: why ?? false });
  half<OnReal>(
    `${topic}: Kubernetes ${minor}`,
    topic,
    (plan, steps) => startReal(plan, steps, found.binaries),
    (real) => register({ both: real, real, embedded: () => undefined }),
  );
}

type Steps = (() => Promise<unknown>)[];
type Started<S> = Omit<S, "namespace" | "plan">;

function half<S extends Subject>(
  name: string,
  topic: string,
  start: (plan: AddressPlan, steps: Steps) => Promise<Started<S>>,
  register: (add: Register<S>) => void,
): void {
  suite(name, { concurrency: CONCURRENCY }, () => {
    const steps: Steps = [];
    let subject: S;
    before(async () => {
      const { plan, release } = await claimSlot();
      steps.push(release);
      const started = await start(plan, steps);
      subject = { ...started, plan, namespace: makeNamespaces(started.client, topic) } as S;
    });
    after(async () => {
      for (const step of steps.toReversed()) await step();
    });
    register(
      (behaviour, run, { skip = false, timeout = LIMIT_MS } = {}) => void test(behaviour, { skip, timeout }, (t) => run(subject, t)),
    );
  });
}

async function startEmbedded(plan: AddressPlan, steps: Steps): Promise<Started<OnEmbedded>> {
  const cluster = await startApiServer({ host: plan.apiServer });
  steps.push(() => cluster.stop());
  const folder = await mkdtemp(join(tmpdir(), "clb-direct-contract-"));
  steps.push(() => rm(folder, { recursive: true, force: true }));
  const kubeconfig = join(folder, "kubeconfig");
  await writeFile(kubeconfig, cluster.kubeconfig(), { mode: 0o600 });
  const client = await makeKubeClient({ clock: makeClock(), env: { KUBECONFIG: kubeconfig } });
  steps.push(() => client.close());
  return { server: "embedded", cluster, client, ask: await makeAsk(kubeconfig, steps) };
}

async function startReal(
  plan: AddressPlan,
  steps: Steps,
  binaries: Parameters<typeof startControlPlane>[0]["binaries"],
): Promise<Started<OnReal>> {
  const cluster = await startControlPlane({ plan, binaries });
  steps.push(() => cluster.stop());
  return { server: "real", cluster, client: await cluster.client(ADMIN), ask: await makeAsk(await cluster.kubeconfigFile(ADMIN), steps) };
}

/** Requests as the user of a kubeconfig file. */
export async function makeAsk(kubeconfig: string, steps: Steps): Promise<Ask> {
  const access = await findKubeAccess({ KUBECONFIG: kubeconfig });
  const { headers, tls } = await access.credentials();
  const own = new Agent({ connect: { ...tls }, connections: 8 });
  const anonymous = new Agent({ connect: tls.ca === undefined ? {} : { ca: tls.ca }, connections: 8 });
  steps.push(
    () => own.destroy(),
    () => anonymous.destroy(),
  );
  return async (method, path, body, { query = {}, type = "application/json", token } = {}) => {
    const url = new URL(access.server + path);
    for (const [key, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(key, String(value));
    const sent = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
    const answer = await request(url, {
      method,
      headers: {
        ...(token === undefined ? headers : { Authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "Content-Type": contentType(type) }),
      },
      dispatcher: token === undefined ? own : anonymous,
      ...sent,
    });
    const text = await answer.body.text();
    const retryAfter = answer.headers["retry-after"];
    const parsed: unknown = text.startsWith("{") ? JSON.parse(text) : {};
    return { code: answer.statusCode, text, body: parsed, retryAfter: typeof retryAfter === "string" ? retryAfter : undefined };
  };
}

const contentType = (type: PatchType | `${string}/${string}`): string => {
  if (type === "apply") return "application/apply-patch+yaml";
  if (type === "strategic") return "application/strategic-merge-patch+json";
  return type === "json" || type === "merge" ? `application/${type === "json" ? "json-patch" : "merge-patch"}+json` : type;
};

function makeNamespaces(client: KubeClient, topic: string): () => Promise<string> {
  let count = 0;
  return async () => {
    const name = `${topic}-${++count}`;
    await client.create("/api/v1/namespaces", { metadata: { name } });
    await until("its ServiceAccount", () => client.get(`/api/v1/namespaces/${name}/serviceaccounts/default`).catch(() => false));
    return name;
  };
}

/** The value at a path, e.g. at(answer, "body.status.conditions.0.type"); undefined where there is none. A key with dots is given as a part of its own. */
export const at = (value: unknown, path: string, ...more: readonly string[]): unknown =>
  [...path.split("."), ...more].reduce<unknown>(
    (inner, key) => (typeof inner === "object" && inner !== null ? (inner as Record<string, unknown>)[key] : undefined),
    value,
  );

/** Each item's value at a path, e.g. each(answer, "body.items", "metadata.name"). */
export const each = (value: unknown, list: string, path: string): unknown[] => {
  const items = at(value, list);
  return Array.isArray(items) ? items.map((item) => at(item, path)) : [];
};

/** What a refusal is told by: code, reason and the fields of its causes, e.g. [422, "Invalid", "metadata.uid"]. A real server names some twice. */
export const refusal = (answer: Answer): unknown[] => [
  answer.code,
  at(answer, "body.reason"),
  ...new Set(each(answer, "body.details.causes", "field")),
];

export const versionOf = (value: unknown): string => String(at(value, "metadata.resourceVersion"));

export type Seen = { readonly type: string; readonly object: unknown; readonly atMs: number };
export type WatchLog = {
  readonly events: readonly Seen[];
  readonly types: () => readonly string[];
  readonly ended: Promise<WatchEnd>;
  /** Waits until so many events (bookmarks too) have come; 10 s. */
  readonly count: (events: number) => Promise<void>;
};

/** Watches until the test is over. Give a resourceVersion: without one nobody knows when it began. */
export function watchIn({ client }: Subject, t: TestContext, path: string, query: Query): WatchLog {
  const events: Seen[] = [];
  const over = new AbortController();
  t.after(() => over.abort());
  const ended = client.watch(path, query, (type, object) => void events.push({ type, object, atMs: performance.now() }), over.signal);
  const types = (): string[] => events.map(({ type }) => type);
  const count = async (wanted: number): Promise<void> =>
    void (await until(
      () => `${wanted} events at ${path}, there are ${types().join(" ") || "none"}`,
      () => events.length >= wanted,
      10_000,
      10,
    ));
  return { events, types, ended, count };
}

export const GATE = "cloud.tencent.com/load-balancer-backendgroup-ready";

/** A Pod that is bound to a Node (which need not exist), so that neither scheduler nor kubelet touches it. */
export const aPod = (name: string, spec: object = {}, metadata: object = {}): object => ({
  metadata: { name, ...metadata },
  spec: { nodeName: "node-x", containers: [{ name: "app", image: "app:1" }], ...spec },
});
export const aService = (name: string, spec: object = {}): object => ({ metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } });
export const aConfigMap = (name: string, data: object = {}): object => ({ metadata: { name }, data });

/** E.g. within("objects-3").pods: "/api/v1/namespaces/objects-3/pods". */
export const within = (namespace: string) => {
  const core = `/api/v1/namespaces/${namespace}`;
  return {
    pods: `${core}/pods`,
    services: `${core}/services`,
    configMaps: `${core}/configmaps`,
    events: `${core}/events`,
    accounts: `${core}/serviceaccounts`,
    secrets: `${core}/secrets`,
    leases: `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
    slices: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
    deployments: `/apis/apps/v1/namespaces/${namespace}/deployments`,
    configs: `/apis/cloud.tencent.com/v1alpha1/namespaces/${namespace}/tkeserviceconfigs`,
  };
};

/** A condition as a patch of `status`, e.g. condition("Ready", "True"). */
export const condition = (type: string, status: string, more: object = {}): object => ({
  status: { conditions: [{ type, status, ...more }] },
});
