import { fillDeployment, fillNamespace, fillPod, fillReplicaSet, fillSecret, fillService } from "./defaults.ts";
import type { KubeObject } from "./objects.ts";
import type { Cause } from "./status.ts";
import { eventCauses, leaseCauses, podCauses, serviceCauses, sliceCauses, workloadCauses } from "./validation.ts";

/** What the generic handler needs to know of one resource; the handler itself knows none by name, except where a verb exists for Pods only. */
export type Resource = {
  readonly group: string; // "" is core
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly shortName: string;
  readonly subresources: readonly string[];
  /** Counts `metadata.generation` whenever anything but metadata and status changes. */
  readonly counted: boolean;
  /** Custom resources keep what they are sent, refuse strategic merge and name their kind in list items. */
  readonly custom: boolean;
  readonly putCreates: boolean;
  /** A PUT must carry the resourceVersion. */
  readonly needsVersion: boolean;
  /** DELETE answers with the object instead of a Status. */
  readonly returnsDeleted: boolean;
  /** What /status may not change besides spec. */
  readonly statusKeeps: readonly ("labels" | "ownerReferences")[];
  readonly fields: Readonly<Record<string, (object: KubeObject) => string | undefined>>;
  readonly fill: (object: KubeObject, old: KubeObject | undefined) => void;
  readonly causes: (object: KubeObject, old: KubeObject | undefined) => Cause[];
};

const FLAGS = { counted: false, custom: false, putCreates: false, needsVersion: false, returnsDeleted: false };
const PLAIN = { group: "", version: "v1", namespaced: true, shortName: "", subresources: [], statusKeeps: [], ...FLAGS };
const NO_RULES = { fill: () => undefined, causes: () => [] };
const COMMON: Resource["fields"] = {
  "metadata.name": ({ metadata }) => metadata.name,
  "metadata.namespace": ({ metadata }) => metadata.namespace,
};
const POD: Resource["fields"] = {
  "spec.nodeName": ({ spec }) => spec?.nodeName,
  "spec.serviceAccountName": ({ spec }) => spec?.serviceAccountName,
  "status.podIP": ({ status }) => status?.podIP,
};
const PHASE: Resource["fields"] = { "status.phase": ({ status }) => status?.phase };
const SERVICE: Resource["fields"] = { "spec.type": ({ spec }) => spec?.type };
const EVENT: Resource["fields"] = {
  ...Object.fromEntries(
    ["kind", "namespace", "name", "uid"].map((name) => [`involvedObject.${name}`, (event: KubeObject) => event.involvedObject?.[name]]),
  ),
  reason: ({ reason }) => reason,
  type: ({ type }) => type,
};
const resource = (plural: string, kind: string, { fields, ...more }: Partial<Resource> = {}): Resource =>
  Object.assign({ ...PLAIN, ...NO_RULES, plural, kind, fields: { ...COMMON, ...fields } }, more);

const status = ["status"];
const pod: Partial<Resource> = {
  subresources: ["status", "eviction", "binding"],
  counted: true,
  returnsDeleted: true,
  statusKeeps: ["ownerReferences"],
};
const service = { subresources: status, returnsDeleted: true };
const apps = { group: "apps", counted: true, causes: workloadCauses };
const tke = { group: "cloud.tencent.com", version: "v1alpha1", shortName: "tsc", counted: true, custom: true, needsVersion: true };

/** Everything that is served, in the order of discovery. */
export const RESOURCES: readonly Resource[] = [
  resource("namespaces", "Namespace", {
    namespaced: false,
    shortName: "ns",
    subresources: status,
    returnsDeleted: true,
    fields: PHASE,
    fill: fillNamespace,
  }),
  resource("nodes", "Node", { namespaced: false, shortName: "no", subresources: status }),
  resource("pods", "Pod", { ...pod, shortName: "po", fields: { ...POD, ...PHASE }, fill: fillPod, causes: podCauses }),
  resource("services", "Service", { ...service, shortName: "svc", fields: SERVICE, fill: fillService, causes: serviceCauses }),
  resource("configmaps", "ConfigMap", { shortName: "cm" }),
  resource("secrets", "Secret", { fill: fillSecret }),
  resource("serviceaccounts", "ServiceAccount", { shortName: "sa", subresources: ["token"], returnsDeleted: true }),
  resource("events", "Event", { shortName: "ev", putCreates: true, fields: EVENT, causes: eventCauses }),
  resource("deployments", "Deployment", {
    ...apps,
    shortName: "deploy",
    subresources: ["status", "scale"],
    statusKeeps: ["labels"],
    fill: fillDeployment,
  }),
  resource("replicasets", "ReplicaSet", { ...apps, shortName: "rs", subresources: status, fill: fillReplicaSet }),
  resource("leases", "Lease", { group: "coordination.k8s.io", putCreates: true, needsVersion: true, causes: leaseCauses }),
  resource("endpointslices", "EndpointSlice", { group: "discovery.k8s.io", counted: true, causes: sliceCauses }),
  resource("tkeserviceconfigs", "TkeServiceConfig", tke),
];

export const apiVersionOf = ({ group, version }: Pick<Resource, "group" | "version">): string => (group ? `${group}/${version}` : version);

/** The served resource of that name; throws on names that are not in the table, which is a mistake of ours. */
export function resourceNamed(plural: string): Resource {
  const found = RESOURCES.find((one) => one.plural === plural);
  if (found === undefined) throw new Error(`no resource ${plural} is served; known: ${RESOURCES.map((one) => one.plural).join(", ")}`);
  return found;
}

const bodies = new WeakMap<KubeObject, string>();
/** JSON of a stored object without kind and apiVersion; computed once per version. */
export function itemJson(object: KubeObject): string {
  let body = bodies.get(object);
  if (body === undefined) bodies.set(object, (body = JSON.stringify(object)));
  return body;
}
export const objectJson = (one: Resource, object: KubeObject): string =>
  `{"kind":"${one.kind}","apiVersion":"${apiVersionOf(one)}",${itemJson(object).slice(1)}`;
