/** What the coordinator's rights would allow and the policies do not, field by field, on a real API server. */
import assert from "node:assert/strict";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import {
  DEFAULT_GATE_TYPE,
  FINALIZER,
  IN_STEP,
  INGRESS_LOAD_BALANCER_ID,
  LOAD_BALANCER_ID,
  MANAGED_ANNOTATION,
} from "../../common/names.ts";

/** `admin` may everything; `ours` has the coordinator's token. */
export type Clients = { readonly admin: KubeClient; readonly ours: KubeClient };
type Live = {
  readonly metadata: Record<string, unknown> & { readonly name: string; readonly uid: string };
  readonly status?: Record<string, unknown>;
};

const codeOf = async (request: Promise<unknown>): Promise<number | undefined> =>
  await request.then(
    () => 200,
    (error: unknown) => (error instanceof KubeApiError ? error.code : undefined),
  );
/** What nobody but the API server writes. */
const compared = ({ metadata, ...rest }: Live): object => {
  const { managedFields: _, resourceVersion: __, ...kept } = metadata;
  return { metadata: kept, ...rest };
};

/** Resolves when nobody has written the object for a second. */
async function settled(admin: KubeClient, path: string): Promise<void> {
  for (let seen = "", now = "?"; seen !== now; ) {
    seen = now;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    now = String((await admin.get<Live>(path)).metadata["resourceVersion"]);
  }
}

/** Each patch is refused (403), or changes nothing because the API server itself refuses or ignores it. */
async function changeNothing({ admin, ours }: Clients, path: string, bodies: Readonly<Record<string, object>>): Promise<void> {
  for (const [what, body] of Object.entries(bodies)) {
    const before = await admin.get<Live>(path);
    const code = await codeOf(ours.patch(`${path}/status`, body, "merge"));
    const after = await admin.get<Live>(path);
    assert.deepEqual(compared(after), compared(before), `${what} of ${path} was changed (${code})`);
    assert.ok(code === 403 || code === 422 || code === 400 || code === 200, `${what}: ${code}`);
  }
}

const SOMETHING = "10.244.99.99";
const METADATA = {
  labels: { metadata: { labels: { stolen: "true" } } },
  annotations: { metadata: { annotations: { "example.com/stolen": "true" } } },
  finalizers: { metadata: { finalizers: ["example.com/stolen"] } },
  owners: { metadata: { ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "x", uid: "x" }] } },
};
/** PodStatus of Kubernetes 1.36; what a server does not know it drops. */
const POD_STATUS: Readonly<Record<string, unknown>> = {
  phase: "Failed",
  message: "stolen",
  reason: "Evicted",
  nominatedNodeName: "elsewhere",
  hostIP: SOMETHING,
  hostIPs: [{ ip: SOMETHING }],
  podIP: SOMETHING,
  podIPs: [{ ip: SOMETHING }],
  startTime: "2020-01-01T00:00:00Z",
  qosClass: "Guaranteed",
  resize: "InProgress",
  observedGeneration: 99,
  allocatedResources: { cpu: "1" },
  resources: { requests: { cpu: "1" } },
  initContainerStatuses: [],
  containerStatuses: [],
  ephemeralContainerStatuses: [{ name: "x", ready: true, restartCount: 0, image: "x", imageID: "x" }],
  resourceClaimStatuses: [{ name: "x", resourceClaimName: "x" }],
  extendedResourceClaimStatus: { resourceClaimName: "x", requestMappings: [] },
  nodeAllocatableResourceClaimStatuses: [],
};

/** Of a Pod with our gate True: our condition, kept True, and nothing else. */
export async function checkPodFence(clients: Clients, path: string): Promise<void> {
  const { admin, ours } = clients;
  const { metadata } = await admin.get<Live>(path);
  const strategic = (conditions: readonly object[]): Promise<number | undefined> =>
    codeOf(ours.patch(`${path}/status`, { metadata: { uid: metadata.uid }, status: { conditions } }, "strategic"));
  const gate = (status: string, more: object = {}): object => ({ type: DEFAULT_GATE_TYPE, status, reason: "Test", message: "", ...more });
  assert.equal(await strategic([gate("True")]), 200);
  assert.equal(await strategic([gate("False")]), 403, "a gate that was True");
  assert.equal(await strategic([gate("True", { message: "x".repeat(5_000) })]), 403, "a message without end");
  for (const type of ["Ready", "ContainersReady", "PodScheduled", "DisruptionTarget", "example.com/other"])
    assert.equal(await strategic([{ type, status: "False", reason: "Stolen" }]), 403, type);
  assert.equal(await strategic([{ $patch: "delete", type: DEFAULT_GATE_TYPE }]), 403, "our condition taken away");
  const fields = Object.entries(POD_STATUS).map(([field, value]) => [field, { status: { [field]: value } }]);
  const spec = { spec: { activeDeadlineSeconds: 1, containers: [{ name: "main", image: "stolen" }] } };
  await changeNothing(clients, path, { ...METADATA, ...Object.fromEntries(fields), conditions: { status: { conditions: [] } }, spec });
}

/** Of a Service of ours: address, our annotations and our finalizer; of one that is not, nothing at all. */
export async function checkServiceFence(clients: Clients, own: string, foreign: string): Promise<void> {
  const { admin, ours } = clients;
  const { status, metadata } = await admin.get<Live>(own);
  const write = (path: string, body: object): Promise<number | undefined> => codeOf(ours.patch(`${path}/status`, body, "merge"));
  assert.equal(await write(own, { metadata: { annotations: { [LOAD_BALANCER_ID]: "lb-test" } } }), 200);
  assert.equal(await write(own, { status: { loadBalancer: { ingress: [{ ip: "198.18.0.1" }] } } }), 200);
  await admin.patch(`${own}/status`, { metadata: { annotations: metadata["annotations"] }, status }, "merge");
  await settled(admin, own); // the coordinator has put its own words back meanwhile
  const other = [{ type: "Other", status: "True", reason: "X", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" }];
  await changeNothing(clients, own, {
    ...METADATA,
    conditions: { status: { conditions: other } },
    spec: { spec: { externalIPs: [SOMETHING] } },
  });
  await changeNothing(clients, foreign, {
    ...METADATA,
    address: { status: { loadBalancer: { ingress: [{ ip: SOMETHING }] } } },
    mark: { metadata: { finalizers: [FINALIZER] } },
    annotation: { metadata: { annotations: { [LOAD_BALANCER_ID]: "lb-test" } } },
    conditions: { status: { conditions: other } },
  });
}

const INGRESSES = "/apis/networking.k8s.io/v1/namespaces/demo/ingresses";
const ANNOTATION_OF_CONDITIONS = "ingress.cloud.tencent.com/status.conditions";
const direct = { "ingress.cloud.tencent.com/direct-access": "true" };
/** What is nobody's of ours under `OWNERSHIP=annotation` with the class qcloud; by name. */
const FOREIGN_INGRESSES: Readonly<Record<string, { readonly annotations: Record<string, string>; readonly className?: string }>> = {
  "another-class": { annotations: direct, className: "nginx" },
  "another-class-by-annotation": { annotations: { ...direct, "kubernetes.io/ingress.class": "nginx" } },
  "class-beats-annotation": { annotations: { ...direct, "kubernetes.io/ingress.class": "qcloud" }, className: "nginx" },
  "without-direct-access": { annotations: {}, className: "qcloud" },
  "direct-access-off": { annotations: { "ingress.cloud.tencent.com/direct-access": "false" }, className: "qcloud" },
  classless: { annotations: direct },
};

/** Of an Ingress of ours (a path) the same as of a Service; of others nothing, through `ingresses/status` or `ingresses` itself. */
export async function checkIngressFence(clients: Clients, own: string): Promise<void> {
  const { admin, ours } = clients;
  const { status, metadata } = await admin.get<Live>(own);
  const write = (path: string, body: object): Promise<number | undefined> => codeOf(ours.patch(`${path}/status`, body, "merge"));
  const address = { status: { loadBalancer: { ingress: [{ ip: SOMETHING }] } } };
  const words = {
    id: { metadata: { annotations: { [INGRESS_LOAD_BALANCER_ID]: "lb-test" } } },
    conditions: { metadata: { annotations: { [ANNOTATION_OF_CONDITIONS]: "[]" } } },
  };
  for (const [what, body] of Object.entries({ ...words, address })) assert.equal(await write(own, body), 200, `${what} of ours`);
  await admin.patch(`${own}/status`, { metadata: { annotations: metadata["annotations"] }, status }, "merge");
  await settled(admin, own);
  const spec = { spec: { ingressClassName: "nginx", defaultBackend: { service: { name: "web", port: { number: 80 } } } } };
  const access = { metadata: { annotations: { "ingress.cloud.tencent.com/direct-access": "false" } } };
  await changeNothing(clients, own, { ...METADATA, spec, access });
  assert.equal(await codeOf(ours.patch(own, words.id, "merge")), 403, "the Ingress itself");
  const mark = { metadata: { finalizers: [FINALIZER] } };
  for (const [name, { annotations, className }] of Object.entries(FOREIGN_INGRESSES)) {
    const body = {
      apiVersion: "networking.k8s.io/v1",
      kind: "Ingress",
      metadata: { name, namespace: "demo" },
      spec: { ...(className && { ingressClassName: className }), defaultBackend: { service: { name: "web", port: { number: 80 } } } },
    };
    await admin.create(INGRESSES, body);
    const path = `${INGRESSES}/${name}`;
    // Later: the API server refuses two different classes of a new object only.
    await admin.patch(path, { metadata: { annotations } }, "merge");
    await changeNothing(clients, path, { ...METADATA, ...words, address, mark, all: { ...mark, ...address } });
    assert.equal(await codeOf(ours.patch(path, mark, "merge")), 403, `${name} itself`);
  }
}

const CONFIGS = "/apis/cloud.tencent.com/v1alpha1/namespaces/demo/tkeserviceconfigs";
const IN_STEP_METADATA = { annotations: { [MANAGED_ANNOTATION]: "true", [IN_STEP]: "[]" } };
const ownedBy = (kind: string, name: string, more: object = {}): object => ({
  ...IN_STEP_METADATA,
  ownerReferences: [{ apiVersion: "v1", kind, name, uid: "5e21c0ff-ee12-0000-0000-000000000000", ...more }],
});

/** Of TkeServiceConfigs: those that are made for an owner (`own`, a path) are written, in their lists and our annotations; others, and their end, never. */
export async function checkConfigFence({ admin, ours }: Clients, own: string): Promise<void> {
  const kind = { apiVersion: "cloud.tencent.com/v1alpha1", kind: "TkeServiceConfig" };
  const spec = { loadBalancer: { l4Listeners: [{ protocol: "TCP", port: 80 }] } };
  const create = (name: string, metadata: object, more: object = { spec }): Promise<number | undefined> =>
    codeOf(ours.create(CONFIGS, { ...kind, metadata: { name, namespace: "demo", ...metadata }, ...more }));
  const refused: Readonly<Record<string, readonly [name: string, metadata: object, more?: object]>> = {
    "a name of a person": ["checks", ownedBy("Service", "checks")],
    "without our mark": ["a-auto-service-config", { ...ownedBy("Service", "a"), annotations: {} }],
    "without an owner": ["a-auto-service-config", IN_STEP_METADATA],
    "another owner": ["a-auto-service-config", ownedBy("Service", "b")],
    "an owner of another kind": ["a-auto-service-config", ownedBy("Ingress", "a")],
    "an owner that waits for it": ["a-auto-service-config", ownedBy("Service", "a", { blockOwnerDeletion: true })],
    "a finalizer": ["a-auto-service-config", { ...ownedBy("Service", "a"), finalizers: ["example.com/stolen"] }],
    "a label": ["a-auto-service-config", { ...ownedBy("Service", "a"), labels: { stolen: "true" } }],
    "an annotation": ["a-auto-service-config", { ...ownedBy("Service", "a"), annotations: { ...IN_STEP_METADATA.annotations, x: "y" } }],
    "another field": ["a-auto-service-config", ownedBy("Service", "a"), { spec: { ...spec, other: 1 } }],
    "another setting": [
      "a-auto-service-config",
      ownedBy("Service", "a"),
      { spec: { loadBalancer: { ...spec.loadBalancer, internetMaxBandwidthOut: 1 } } },
    ],
    "a status": ["a-auto-service-config", ownedBy("Service", "a"), { spec, status: {} }],
  };
  for (const [what, [name, metadata, more]] of Object.entries(refused)) assert.equal(await create(name, metadata, more), 403, what);
  const patch = (client: KubeClient, path: string, body: object): Promise<number | undefined> => codeOf(client.patch(path, body, "merge"));
  const lists = { spec: { loadBalancer: { l7Listeners: [{ protocol: "HTTP", port: 99 }] } } };
  // An edit of somebody else is not ours to undo: our token may write beside it.
  assert.equal(
    await patch(admin, own, { metadata: { labels: { team: "web" } }, spec: { loadBalancer: { internetMaxBandwidthOut: 5 } } }),
    200,
  );
  assert.equal(await patch(ours, own, lists), 200, "the lists of ours");
  assert.equal(await patch(ours, own, { metadata: { annotations: { [IN_STEP]: "[]" } } }), 200, "our annotation");
  await settled(admin, own);
  const refusedPatches = {
    ...METADATA,
    label: { metadata: { labels: { team: null } } },
    bandwidth: { spec: { loadBalancer: { internetMaxBandwidthOut: 7 } } },
    "no bandwidth": { spec: { loadBalancer: { internetMaxBandwidthOut: null } } },
    other: { spec: { other: true } },
    mark: { metadata: { annotations: { [MANAGED_ANNOTATION]: "false" } } },
    status: { status: { stolen: true } },
  };
  for (const [what, body] of Object.entries(refusedPatches)) assert.equal(await patch(ours, own, body), 403, what);
  assert.equal(await codeOf(ours.delete(own)), 403, "its end");
  await admin.create(CONFIGS, { ...kind, metadata: { name: "b-auto-service-config" }, spec });
  await admin.create(CONFIGS, { ...kind, metadata: { name: "checks", annotations: IN_STEP_METADATA.annotations }, spec });
  for (const path of [`${CONFIGS}/b-auto-service-config`, `${CONFIGS}/checks`])
    for (const body of [lists, { metadata: IN_STEP_METADATA }, { metadata: IN_STEP_METADATA, ...lists }])
      assert.equal(await patch(ours, path, body), 403, `${path} of a person`);
}

/** What somebody else put into the metadata of one of our own objects does not keep us from mending it, and we may not take it away. */
async function mendsWhatOthersHold({ admin, ours }: Clients, path: string): Promise<void> {
  const write = (client: KubeClient, metadata: object): Promise<number | undefined> => codeOf(client.patch(path, { metadata }, "merge"));
  const before = await admin.get<Live>(path);
  assert.equal(await write(admin, { finalizers: ["example.com/theirs"] }), 200);
  assert.equal(await write(ours, { labels: { mended: "again" } }), 200, `${path} with a finalizer of somebody else`);
  assert.equal(await write(ours, { finalizers: null }), 403, "a finalizer of somebody else taken away");
  assert.equal(await write(ours, { finalizers: ["example.com/theirs", "example.com/stolen"] }), 403, "one more");
  assert.equal(await write(admin, { finalizers: before.metadata["finalizers"] ?? null, labels: { mended: null } }), 200);
}

/** Of our own Namespace: names and types. */
export async function checkOwnObjects({ admin, ours }: Clients, namespace: string): Promise<void> {
  const path = (resource: string): string => `/api/v1/namespaces/${namespace}/${resource}`;
  const create = (kind: "Secret" | "ConfigMap", name: string, more: object = {}): Promise<number | undefined> =>
    codeOf(
      ours.create(path(kind === "Secret" ? "secrets" : "configmaps"), { apiVersion: "v1", kind, metadata: { name, ...more }, ...more }),
    );
  const token = { type: "kubernetes.io/service-account-token", annotations: { "kubernetes.io/service-account.name": "default" } };
  assert.equal(await create("Secret", "stolen-token", token), 403);
  assert.equal(await create("Secret", "clb-direct-ca", token), 403, "a token under the name of one of ours");
  assert.equal(await create("Secret", "other"), 403);
  assert.equal(await create("ConfigMap", "other"), 403);
  assert.equal(await create("ConfigMap", "clb-direct-record-lb-1-0", { finalizers: ["example.com/x"] }), 403);
  for (const name of ["clb-direct-record-lb-test-0", "clb-direct-journal-lb-test"]) {
    assert.equal(await create("ConfigMap", name), 200, name);
    assert.equal(await codeOf(ours.delete(`${path("configmaps")}/${name}`)), 200, name);
  }
  assert.equal(await codeOf(ours.delete(`${path("configmaps")}/clb-direct-ca-bundle`)), 403);
  assert.equal(await codeOf(ours.patch(`${path("configmaps")}/kube-root-ca.crt`, { data: { "ca.crt": "stolen" } }, "merge")), 403);
  assert.equal(await codeOf(ours.delete(`${path("configmaps")}/kube-root-ca.crt`)), 403);
  const labels = { metadata: { labels: { mended: "true" } } };
  const webhook = `${path("services")}/clb-direct-webhook`;
  assert.equal(await codeOf(ours.patch(webhook, labels, "merge")), 200, "its own Service is mended");
  const { finalizers, owners } = METADATA;
  const ports = (port: number, targetPort: unknown): object => ({
    spec: { ports: [{ name: "webhook", port, targetPort, protocol: "TCP" }] },
  });
  assert.equal(await codeOf(ours.patch(webhook, ports(443, 8443), "merge")), 200, "its port by number");
  for (const [what, body] of Object.entries({
    finalizers,
    owners,
    port: ports(444, 8443),
    target: ports(443, 9090),
    name: ports(443, "ops"),
  }))
    assert.equal(await codeOf(ours.patch(webhook, body, "merge")), 403, `${what} of the webhook's Service`);
  for (const own of [webhook, `${path("secrets")}/clb-direct-serving`]) await mendsWhatOthersHold({ admin, ours }, own);
  const address = { status: { loadBalancer: { ingress: [{ ip: SOMETHING }] } } };
  const annotation = { metadata: { annotations: { [LOAD_BALANCER_ID]: "lb-test" } } };
  await changeNothing({ admin, ours }, webhook, { ...METADATA, address, annotation });
  const event = { reason: "Stolen", type: "Normal", message: "x", involvedObject: { kind: "Pod", namespace, name: "x" } };
  const metadata = { name: "stolen", namespace };
  assert.equal(
    await codeOf(ours.create(path("events"), { metadata, ...event, source: { component: "kubelet" }, reportingComponent: "kubelet" })),
    403,
  );
}
