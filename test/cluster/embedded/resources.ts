import * as kinds from "./kinds.ts";
import type { KubeObject } from "./objects.ts";

/** What the generic handler needs to know of one resource; the handler itself knows none by name, except where a verb exists for Pods only. */
export type Resource = kinds.Rules & {
  readonly group: string; // "" is core
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly shortName: string;
  readonly verbs: readonly string[];
  readonly subresources: readonly (keyof typeof SUBRESOURCES)[];
  /** Counts `metadata.generation` whenever anything but metadata and status changes. */
  readonly counted?: boolean;
  /** Custom resources keep what they are sent, refuse strategic merge and name their kind in list items. */
  readonly custom?: boolean;
  readonly putCreates?: boolean;
  /** A PUT must carry the resourceVersion. */
  readonly needsVersion?: boolean;
  /** DELETE answers with the object instead of a Status. */
  readonly returnsDeleted?: boolean;
  /** What field selectors may name besides name and namespace. */
  readonly fields: readonly string[];
};

const VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"];
/** As discovery shows them. */
export const SUBRESOURCES = {
  status: { verbs: ["get", "patch", "update"] },
  scale: { group: "autoscaling", version: "v1", kind: "Scale", verbs: ["get", "patch", "update"] },
  eviction: { group: "policy", version: "v1", kind: "Eviction", verbs: ["create"] },
  binding: { kind: "Binding", verbs: ["create"] },
  token: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest", verbs: ["create"] },
};

const PLAIN = {
  version: "v1",
  namespaced: true,
  verbs: VERBS,
  subresources: [],
  fields: [],
  defaults: {},
  fit: () => undefined,
  causes: () => [],
};
const row = (group: string, plural: string, shortName: string, kind: string, more: Partial<Resource>): Resource => {
  return { ...PLAIN, group, plural, shortName, kind, ...more };
};

const status = ["status"] as const;
const ofPods = ["status", "eviction", "binding"] as const;
const podFields = ["spec.nodeName", "spec.serviceAccountName", "status.podIP", "status.phase"];
const about = ["kind", "namespace", "name", "uid"].map((field) => `involvedObject.${field}`);
const custom = { version: "v1alpha1", counted: true, custom: true, needsVersion: true };
const global = { namespaced: false, subresources: status };

/** Everything that is served, in the order of discovery. */
export const RESOURCES: readonly Resource[] = [
  row("", "namespaces", "ns", "Namespace", { ...kinds.namespace, ...global, returnsDeleted: true, fields: ["status.phase"] }),
  row("", "nodes", "no", "Node", global),
  row("", "pods", "po", "Pod", { ...kinds.pod, counted: true, returnsDeleted: true, subresources: ofPods, fields: podFields }),
  row("", "services", "svc", "Service", { ...kinds.service, returnsDeleted: true, subresources: status, fields: ["spec.type"] }),
  row("", "configmaps", "cm", "ConfigMap", {}),
  row("", "secrets", "", "Secret", { ...kinds.secret, fields: ["type"] }),
  row("", "serviceaccounts", "sa", "ServiceAccount", { returnsDeleted: true, subresources: ["token"] }),
  row("", "events", "ev", "Event", { ...kinds.event, putCreates: true, fields: [...about, "reason", "type"] }),
  row("apps", "deployments", "deploy", "Deployment", { ...kinds.deployment, counted: true, subresources: ["status", "scale"] }),
  row("apps", "replicasets", "rs", "ReplicaSet", { ...kinds.replicaSet, counted: true, subresources: status }),
  row("coordination.k8s.io", "leases", "", "Lease", { ...kinds.lease, putCreates: true, needsVersion: true }),
  row("discovery.k8s.io", "endpointslices", "", "EndpointSlice", { ...kinds.endpointSlice, counted: true }),
  row("networking.k8s.io", "ingresses", "ing", "Ingress", { ...kinds.ingress, counted: true, subresources: status }),
  row("networking.k8s.io", "ingressclasses", "", "IngressClass", { namespaced: false, counted: true }),
  row("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", "MutatingWebhookConfiguration", { namespaced: false }),
  row("cloud.tencent.com", "tkeserviceconfigs", "tsc", "TkeServiceConfig", custom),
  row("authorization.k8s.io", "subjectaccessreviews", "", "SubjectAccessReview", { namespaced: false, verbs: ["create"] }),
  row("authentication.k8s.io", "tokenreviews", "", "TokenReview", { namespaced: false, verbs: ["create"] }),
];

export const apiVersionOf = ({ group, version }: Pick<Resource, "group" | "version">): string => (group ? `${group}/${version}` : version);

/** The served resource of that name; throws on names that are not in the table, which is a mistake of ours. */
export function resourceNamed(plural: string): Resource {
  const found = RESOURCES.find((known) => known.plural === plural);
  if (found === undefined) throw new Error(`no resource ${plural} is served; known: ${RESOURCES.map((known) => known.plural).join(", ")}`);
  return found;
}

const bodies = new WeakMap<KubeObject, string>();
/** JSON of a stored object without kind and apiVersion; computed once per version. */
export function itemJson(object: KubeObject): string {
  let body = bodies.get(object);
  if (body === undefined) bodies.set(object, (body = JSON.stringify(object)));
  return body;
}
export const objectJson = (resource: Resource, object: KubeObject): string =>
  `{"kind":"${resource.kind}","apiVersion":"${apiVersionOf(resource)}",${itemJson(object).slice(1)}`;

function entries({ plural, kind, namespaced, shortName, verbs, subresources }: Resource): object[] {
  const names = { name: plural, singularName: kind.toLowerCase(), ...(shortName && { shortNames: [shortName] }) };
  const parts = subresources.map((name) => ({ name: `${plural}/${name}`, singularName: "", namespaced, kind, ...SUBRESOURCES[name] }));
  return [{ ...names, namespaced, kind, verbs }, ...parts];
}

/** Resources by "v1", "apps/v1" …; every group has one version. */
const SERVED = Map.groupBy(RESOURCES, apiVersionOf);
const GROUPS = [...SERVED.keys()].filter((groupVersion) => groupVersion.includes("/")).map(groupOf);

function groupOf(groupVersion: string) {
  const [name = "", version] = groupVersion.split("/");
  const preferredVersion = { groupVersion, version };
  return { kind: "APIGroup", apiVersion: "v1", name, versions: [preferredVersion], preferredVersion };
}

/** The discovery document at a path, e.g. "/apis/apps/v1"; undefined where there is none. */
export function discovery(path: string): object | undefined {
  if (path === "/version") return { major: "1", minor: "36", gitVersion: "v1.36.3+embedded", platform: "linux/amd64" };
  if (path === "/api") return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
  if (path === "/apis") return { kind: "APIGroupList", apiVersion: "v1", groups: GROUPS };
  const [, root, place = ""] = /^\/(apis?)\/(.+)$/.exec(path) ?? [];
  const resources = (root === "api") === (place === "v1") ? SERVED.get(place)?.flatMap(entries) : undefined;
  if (resources) return { kind: "APIResourceList", apiVersion: "v1", groupVersion: place, resources };
  return root === "apis" ? GROUPS.find(({ name }) => name === place) : undefined;
}
