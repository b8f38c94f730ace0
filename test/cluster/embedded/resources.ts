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
  readonly shortNames: readonly string[];
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
  readonly fields: Readonly<Record<string, (object: KubeObject) => string>>;
  readonly fill: (object: KubeObject, old: KubeObject | undefined) => void;
  readonly causes: (object: KubeObject, old: KubeObject | undefined) => Cause[];
};

const nothing = (): void => undefined;
const involved = (name: string) => ({ [`involvedObject.${name}`]: (event: KubeObject) => event.involvedObject?.[name] ?? "" });

function resource(group: string, version: string, plural: string, kind: string, more: Partial<Resource> = {}): Resource {
  return {
    ...{
      group,
      version,
      plural,
      kind,
      namespaced: true,
      shortNames: [],
      subresources: [],
      counted: false,
      custom: false,
      putCreates: false,
    },
    ...{ needsVersion: false, returnsDeleted: false, statusKeeps: [], fill: nothing, causes: () => [] },
    ...more,
    fields: {
      "metadata.name": ({ metadata }) => metadata.name,
      "metadata.namespace": ({ metadata }) => metadata.namespace ?? "",
      ...more.fields,
    },
  };
}

/** Everything that is served, in the order of discovery. */
export const RESOURCES: readonly Resource[] = [
  resource("", "v1", "namespaces", "Namespace", {
    namespaced: false,
    shortNames: ["ns"],
    subresources: ["status"],
    returnsDeleted: true,
    fields: { "status.phase": ({ status }) => status?.phase ?? "" },
    fill: fillNamespace,
  }),
  resource("", "v1", "nodes", "Node", {
    namespaced: false,
    shortNames: ["no"],
    subresources: ["status"],
    fields: { "spec.unschedulable": ({ spec }) => String(spec?.unschedulable ?? false) },
  }),
  resource("", "v1", "pods", "Pod", {
    shortNames: ["po"],
    subresources: ["status", "eviction", "binding"],
    counted: true,
    returnsDeleted: true,
    statusKeeps: ["ownerReferences"],
    fields: {
      "spec.nodeName": ({ spec }) => spec?.nodeName ?? "",
      "spec.restartPolicy": ({ spec }) => spec?.restartPolicy ?? "",
      "spec.serviceAccountName": ({ spec }) => spec?.serviceAccountName ?? "",
      "spec.hostNetwork": ({ spec }) => String(spec?.hostNetwork ?? false),
      "status.phase": ({ status }) => status?.phase ?? "",
      "status.podIP": ({ status }) => status?.podIP ?? "",
    },
    fill: fillPod,
    causes: podCauses,
  }),
  resource("", "v1", "services", "Service", {
    shortNames: ["svc"],
    subresources: ["status"],
    returnsDeleted: true,
    fields: { "spec.type": ({ spec }) => spec?.type ?? "", "spec.clusterIP": ({ spec }) => spec?.clusterIP ?? "" },
    fill: fillService,
    causes: serviceCauses,
  }),
  resource("", "v1", "configmaps", "ConfigMap", { shortNames: ["cm"] }),
  resource("", "v1", "secrets", "Secret", { fields: { type: ({ type }) => type ?? "" }, fill: fillSecret }),
  resource("", "v1", "serviceaccounts", "ServiceAccount", { shortNames: ["sa"], subresources: ["token"], returnsDeleted: true }),
  resource("", "v1", "events", "Event", {
    shortNames: ["ev"],
    putCreates: true,
    fields: {
      ...Object.assign({}, ...["kind", "namespace", "name", "uid", "apiVersion"].map(involved)),
      reason: ({ reason }) => reason ?? "",
      type: ({ type }) => type ?? "",
    },
    causes: eventCauses,
  }),
  resource("apps", "v1", "deployments", "Deployment", {
    shortNames: ["deploy"],
    subresources: ["status", "scale"],
    counted: true,
    statusKeeps: ["labels"],
    fill: fillDeployment,
    causes: workloadCauses,
  }),
  resource("apps", "v1", "replicasets", "ReplicaSet", {
    shortNames: ["rs"],
    subresources: ["status"],
    counted: true,
    fill: fillReplicaSet,
    causes: workloadCauses,
  }),
  resource("coordination.k8s.io", "v1", "leases", "Lease", { putCreates: true, needsVersion: true, causes: leaseCauses }),
  resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", { counted: true, causes: sliceCauses }),
  resource("cloud.tencent.com", "v1alpha1", "tkeserviceconfigs", "TkeServiceConfig", {
    shortNames: ["tsc"],
    counted: true,
    custom: true,
    needsVersion: true,
  }),
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
