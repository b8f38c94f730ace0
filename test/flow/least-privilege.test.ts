import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeClock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { makeKubeClient } from "../../common/kubernetes/client.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { AGENT_SERVICE_ACCOUNT, COORDINATOR_SERVICE_ACCOUNT, DEFAULT_NAMESPACE } from "../../common/names.ts";
import { loadInstallation } from "../cluster/manifests.ts";
import { onlyOn, type SeenRequest } from "./cluster.ts";
import { checkConfigFence, checkIngressFence, checkOwnObjects, checkPodFence, checkServiceFence } from "./fences.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

type Rule = { readonly resources: readonly string[]; readonly verbs: readonly string[] };

const account = (name: string): string => `system:serviceaccount:${DEFAULT_NAMESPACE}:${name}`;

/** What RBAC grants and this flow does not use, each with its reason. */
const NOT_USED_HERE = new Map([
  ["coordinator delete configmaps", "address claims go with the last Service of a load balancer, which this flow keeps"],
  ["coordinator patch configmaps", "a second bind at the same load balancer, or a rotated authority"],
  ["coordinator patch secrets", "rotation, repair"],
  ["coordinator list pods", "nodes without an agent"],
  ["coordinator watch pods", "nodes without an agent"],
  ["coordinator list leases", "nodes without an agent, after a change of the leader"],
  ["coordinator create leases", "made by PUT, which the API server authorizes as update or create"],
  ["coordinator patch services", "its webhook's Service, when somebody has changed it"],
  ["coordinator patch mutatingwebhookconfigurations", "rotation, repair"],
  ["coordinator patch events", "an Event that still holds after an hour"],
]);

/** The same Pods behind a rule of layer 7. */
const INGRESS = {
  metadata: {
    name: "shop",
    namespace: "demo",
    annotations: { "kubernetes.io/ingress.class": "qcloud", "ingress.cloud.tencent.com/direct-access": "true" },
  },
  spec: {
    rules: [
      {
        host: "shop.example.com",
        http: { paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "web", port: { number: 80 } } } }] },
      },
    ],
  },
};

/** One of the Pods again, by an EndpointSlice: these are read only where a Service has no selector. */
const BARE = {
  metadata: {
    name: "bare",
    namespace: "demo",
    annotations: { "service.cloud.tencent.com/direct-access": "true", "service.cloud.tencent.com/tke-service-config-auto": "true" },
  },
  spec: { type: "LoadBalancer", ports: [{ port: 81 }] },
};
const sliceOf = (address: string) => ({
  metadata: { name: "bare-1", namespace: "demo", labels: { "kubernetes.io/service-name": "bare" } },
  addressType: "IPv4",
  endpoints: [{ addresses: [address] }],
  ports: [{ port: 8080 }],
});

const requestsOf = (world: World, user: string): readonly SeenRequest[] => world.requests().filter(({ username }) => username === user);

const uses = ({ verb, resource }: SeenRequest): string => `${verb} ${resource}`;

/** Every verb and resource that the roles of a ServiceAccount grant, e.g. "patch pods/status". */
async function granted(serviceAccount: string): Promise<Set<string>> {
  const manifests = await loadInstallation();
  const bound = manifests.flatMap(({ kind, subjects, roleRef }) =>
    kind.endsWith("RoleBinding") && (subjects as readonly { name: string }[]).some(({ name }) => name === serviceAccount)
      ? [(roleRef as { name: string }).name]
      : [],
  );
  const roles = manifests.filter(({ kind, metadata }) => kind.endsWith("Role") && bound.includes(metadata.name));
  const rules = roles.flatMap((one) => one["rules"] as readonly Rule[]);
  return new Set(rules.flatMap(({ resources, verbs }) => resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource}`))));
}

/** A client with a fresh token of a ServiceAccount, bound to one of its Pods. */
async function as(
  t: { after: (step: () => Promise<void>) => void },
  world: World,
  serviceAccount: string,
  pod: string,
  impersonateUser?: string,
): Promise<KubeClient> {
  const path = `/api/v1/namespaces/${DEFAULT_NAMESPACE}`;
  const { metadata } = await world.client.get<{ metadata: { uid: string } }>(`${path}/pods/${pod}`);
  const spec = { expirationSeconds: 600, boundObjectRef: { kind: "Pod", apiVersion: "v1", name: pod, uid: metadata.uid } };
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
  const { status } = await world.client.create<{ status: { token: string } }>(`${path}/serviceaccounts/${serviceAccount}/token`, body);
  const directory = await mkdtemp(join(tmpdir(), "least-privilege-"));
  await writeFile(join(directory, "token"), status.token);
  await writeFile(join(directory, "ca.crt"), world.apiServer.caPem);
  const { hostname, port } = new URL(world.apiServer.url);
  const env = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
  const client = await makeKubeClient({
    clock: makeClock(),
    env,
    serviceAccountDir: directory,
    ...(impersonateUser && { impersonateUser }),
  });
  t.after(async () => {
    await client.close();
    await rm(directory, { recursive: true });
  });
  return client;
}

const codeOf = async (request: Promise<unknown>): Promise<number | undefined> =>
  await request.then(
    () => 200,
    (error: unknown) => (error instanceof KubeApiError ? error.code : undefined),
  );

const before = process.env["KUBERNETES"] === "1.34" && "an agent is confined to its node by Kubernetes 1.36 and later only";
const skip = onlyOn("real", "the embedded API server has no RBAC") || before;

test("both processes can do what they need, and nothing else", { skip, timeout: 180_000 }, async (t) => {
  const world = await startWorld(t);
  await applyExample(world);
  const pods = "/api/v1/namespaces/demo/pods";
  type Pod = {
    readonly metadata: { readonly name: string; readonly uid: string };
    readonly spec: { readonly nodeName?: string };
    readonly status: { readonly podIP?: string; readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  };
  const ready = await until(
    "six ready Pods",
    async () => {
      const { items } = await world.client.list<Pod>(pods);
      return (
        items.length === 6 &&
        items.every(({ status }) => status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True")) &&
        items
      );
    },
    90_000,
  );

  const ingresses = "/apis/networking.k8s.io/v1/namespaces/demo/ingresses";
  await world.client.create(ingresses, INGRESS);
  await until("the Ingress served", async () => {
    type Served = { readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly unknown[] } } };
    const { status } = await world.client.get<Served>(`${ingresses}/${INGRESS.metadata.name}`);
    return status?.loadBalancer?.ingress !== undefined;
  });

  await world.client.create("/api/v1/namespaces/demo/services", BARE);
  await world.client.create("/apis/discovery.k8s.io/v1/namespaces/demo/endpointslices", sliceOf(ready[0]?.status.podIP ?? ""));
  await until("the Service without selector served", async () => {
    type Served = { readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] } };
    const { status } = await world.client.get<Served>("/api/v1/namespaces/demo/services/bare");
    return status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;
  });

  const made = "/apis/cloud.tencent.com/v1alpha1/namespaces/demo/tkeserviceconfigs/bare-auto-service-config";
  type Config = { readonly spec: { readonly loadBalancer: { readonly l4Listeners: readonly { readonly port: number }[] } } };
  const portsOf = async (): Promise<readonly number[]> =>
    (await world.client.get<Config>(made)).spec.loadBalancer.l4Listeners.map(({ port }) => port);
  await until("the TkeServiceConfig that is made for it", async () => (await portsOf().catch((): number[] => [])).includes(81));
  await world.client.patch(made, { spec: { loadBalancer: { l4Listeners: [] } } }, "merge");
  await until("what somebody took out of it put back", async () => (await portsOf()).includes(81));

  await t.test("the coordinator uses all of its rights, and none was missing", async () => {
    const requests = requestsOf(world, account(COORDINATOR_SERVICE_ACCOUNT));
    assert.deepEqual(requests.filter(({ code }) => code === 403).map(uses), []);
    const used = new Set(requests.map(uses).filter((use) => use !== "get (none)"));
    const rights = await granted("clb-direct-coordinator");
    assert.deepEqual(
      [...used].filter((use) => !rights.has(use)),
      [],
      "used without a right",
    );
    const unused = [...rights].filter((right) => !used.has(right) && !NOT_USED_HERE.has(`coordinator ${right}`));
    assert.deepEqual(unused, [], "granted and not used: take it out, or write down why it is needed");
  });

  await t.test("the agent reads the Pods of its node as its node, and no others", async () => {
    const requests = requestsOf(world, account(AGENT_SERVICE_ACCOUNT));
    assert.deepEqual([...new Set(requests.map(uses))].sort(), ["list pods", "watch pods"]);
    assert.ok(requests.every(({ impersonated, code }) => impersonated?.startsWith("system:node:") && code < 400));
    const agent = await as(t, world, AGENT_SERVICE_ACCOUNT, "clb-direct-agent-node-a", "system:node:node-a");
    const own = await agent.list<Pod>("/api/v1/pods", { fieldSelector: "spec.nodeName=node-a" });
    assert.ok(own.items.length > 0 && own.items.every(({ spec }) => spec.nodeName === "node-a"));
    assert.equal(await codeOf(agent.list("/api/v1/pods", { fieldSelector: "spec.nodeName=node-b" })), 403);
    assert.equal(await codeOf(agent.list("/api/v1/pods")), 403);
    const plain = await as(t, world, AGENT_SERVICE_ACCOUNT, "clb-direct-agent-node-a");
    assert.equal(await codeOf(plain.list("/api/v1/pods", { fieldSelector: "spec.nodeName=node-a" })), 403);
    assert.equal(await codeOf(plain.list("/api/v1/namespaces/clb-direct/secrets")), 403);
  });

  await t.test(
    "of Pods, Ingresses, Services and our own Namespace our token can change what is ours, and no other field",
    async (inner) => {
      const ours = await as(t, world, COORDINATOR_SERVICE_ACCOUNT, "clb-direct-coordinator-0");
      const clients = { admin: world.client, ours };
      const [pod] = ready;
      assert.ok(pod);
      const path = `${pods}/${pod.metadata.name}`;
      await inner.test("pods/status", () => checkPodFence(clients, path));
      await inner.test("ingresses/status", () => checkIngressFence(clients, `${ingresses}/${INGRESS.metadata.name}`));
      await inner.test("services/status", async () => {
        const spec = { selector: { app: "web" }, ports: [{ port: 80 }] };
        const foreign = { apiVersion: "v1", kind: "Service", metadata: { name: "foreign", namespace: "demo" }, spec };
        await world.client.create("/api/v1/namespaces/demo/services", foreign);
        await checkServiceFence(clients, "/api/v1/namespaces/demo/services/web", "/api/v1/namespaces/demo/services/foreign");
      });
      await inner.test("tkeserviceconfigs", () => checkConfigFence(clients, made));
      await inner.test("our Namespace", () => checkOwnObjects(clients, DEFAULT_NAMESPACE));
      assert.equal(await codeOf(ours.patch(path, { metadata: { labels: { stolen: "true" } } }, "merge")), 403);
      assert.equal(await codeOf(ours.delete(path)), 403);
    },
  );

  await t.test("an Ingress whose class becomes another controller's is let go", async () => {
    const className = "nginx";
    await world.client.create("/apis/networking.k8s.io/v1/ingressclasses", {
      apiVersion: "networking.k8s.io/v1",
      kind: "IngressClass",
      metadata: { name: className },
      spec: { controller: "k8s.io/ingress-nginx" },
    });
    const path = `${ingresses}/${INGRESS.metadata.name}`;
    const annotations = { "kubernetes.io/ingress.class": null };
    await world.client.patch(path, { metadata: { annotations }, spec: { ingressClassName: className } }, "merge");
    type Marked = { readonly metadata: { readonly finalizers?: readonly string[] } };
    await until("our finalizer off", async () => ((await world.client.get<Marked>(path)).metadata.finalizers ?? []).length === 0, 60_000);
    type Addressed = { readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly unknown[] } } };
    assert.equal((await world.client.get<Addressed>(path)).status?.loadBalancer?.ingress, undefined, "our address is taken back");
  });
});
