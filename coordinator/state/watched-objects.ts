import * as z from "zod";
import type { Clock } from "../../common/clock.ts";
import { type Change, type ListWatchDeps, makeListWatch, type WatchedSet } from "../../common/kubernetes/list-watch.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { LOAD_BALANCE_TYPE, VIRTUAL_NODE_LABELS } from "../../common/names.ts";
import type { LandingNode } from "../domain/admission/drain-mode.ts";
import type { IngressRecord } from "../domain/intent/ingress-record.ts";
import { READY_CONDITION } from "../domain/intent/ready-condition.ts";
import type { ServiceRecord } from "../domain/intent/service.ts";
import { isOfInterest } from "../domain/intent/service-annotations.ts";
import { type Access, makeAccess } from "./access.ts";
import { ByName } from "./by-name.ts";
import { type CertificateSecrets, makeCertificateSecrets, type SecretName } from "./certificate-secrets.ts";
import { type ConfigRecord, decodeConfig } from "./config-objects.ts";
import { type EndpointSlices, makeEndpointSlices } from "./endpoint-slices.ts";
import { decodeIngress, decodeIngressClass, type IngressClassRecord } from "./ingress-objects.ts";
import { type MisfitNamespaces, makeMisfitNamespaces, NO_MISFITS } from "./misfit-namespaces.ts";
import { Condition, Metadata } from "./object-schemas.ts";
import { makeTkeSwitches, type TkeSwitches } from "./tke-switches.ts";

const Labelled = Metadata.extend({ labels: z.record(z.string(), z.string()).default({}) });
const Service = z.object({
  metadata: Labelled,
  spec: z.object({
    type: z.string().default("ClusterIP"),
    clusterIP: z.string().nullish(),
    loadBalancerSourceRanges: z.array(z.string()).nullish(),
    loadBalancerIP: z.string().nullish(),
    sessionAffinity: z.string().nullish(),
    ipFamilies: z.array(z.string()).nullish(),
    ipFamilyPolicy: z.string().nullish(),
    loadBalancerClass: z.string().optional(),
    selector: z.record(z.string(), z.string()).nullish(),
    ports: z
      .array(
        z.object({
          name: z.string().default(""),
          protocol: z.string().default("TCP"),
          port: z.number(),
          targetPort: z.union([z.number(), z.string()]).optional(),
        }),
      )
      .nullish(),
    publishNotReadyAddresses: z.boolean().nullish(),
  }),
  status: z
    .object({
      conditions: z.array(Condition).nullish(),
      loadBalancer: z
        .object({
          ingress: z
            .array(z.object({ ip: z.string().optional(), hostname: z.string().optional(), ipMode: z.string().optional() }))
            .nullish(),
        })
        .nullish(),
    })
    .nullish(),
});
const Node = z.object({
  metadata: Labelled,
  spec: z.object({ taints: z.array(z.object({ key: z.string(), value: z.string().default(""), effect: z.string() })).nullish() }).nullish(),
  status: z
    .object({
      allocatable: z.object({ pods: z.coerce.number().int().positive().optional().catch(undefined) }).nullish(),
      addresses: z.array(z.object({ type: z.string(), address: z.string() })).nullish(),
    })
    .nullish(),
});

export function decodeService(raw: unknown): ServiceRecord {
  const { metadata, spec, status } = Service.parse(raw);
  return {
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    namespace: metadata.namespace,
    name: metadata.name,
    createdAt: metadata.creationTimestamp,
    type: spec.type,
    loadBalancerClass: spec.loadBalancerClass,
    annotations: Object.fromEntries(Object.entries(metadata.annotations).filter(([key]) => isOfInterest(key))),
    typeLabel: metadata.labels[LOAD_BALANCE_TYPE],
    finalizers: metadata.finalizers,
    selector: spec.selector ?? {},
    // As the API server fills it in: 0 and "" are none.
    ports: (spec.ports ?? []).map(({ name, protocol, port, targetPort }) => ({ name, protocol, port, targetPort: targetPort || port })),
    deleting: metadata.deletionTimestamp !== undefined,
    ingress: (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) => ip ?? hostname ?? []),
    ipModes: (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, ipMode }) => (ip === undefined ? [] : (ipMode ?? "VIP"))),
    generation: metadata.generation,
    ready: readyOf(status?.conditions ?? []),
    publishNotReady: spec.publishNotReadyAddresses ?? false,
    isHeadless: spec.clusterIP === "None",
    sourceRanges: spec.loadBalancerSourceRanges ?? [],
    loadBalancerIp: spec.loadBalancerIP ?? "",
    sessionAffinity: spec.sessionAffinity ?? "None",
    ...(spec.ipFamilies && { ipFamilies: spec.ipFamilies }),
    ...(spec.ipFamilyPolicy && { ipFamilyPolicy: spec.ipFamilyPolicy }),
  };
}

function readyOf(conditions: readonly z.output<typeof Condition>[]): ServiceRecord["ready"] {
  const found = conditions.find(({ type }) => type === READY_CONDITION);
  if (found === undefined) return undefined;
  const { status, reason, message, observedGeneration, lastTransitionTime } = found;
  return { status, reason, message, observedGeneration, since: lastTransitionTime ?? "" };
}

/** `virtual`: no machine, no DaemonSet, hence no agent ever. `maxPods`: what its kubelet admits; `address`: its InternalIP of IPv4; both undefined where it does not say. */
type NodeRecord = LandingNode & {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly maxPods?: number | undefined;
  readonly address?: string | undefined;
};

export function decodeNode(raw: unknown): NodeRecord {
  const { metadata, spec, status } = Node.parse(raw);
  const { uid, resourceVersion, name, labels, creationTimestamp } = metadata;
  const createdAtMs = Date.parse(creationTimestamp);
  const virtual = VIRTUAL_NODE_LABELS.some(([key, value]) => labels[key] === value);
  const maxPods = status?.allocatable?.pods;
  const address = (status?.addresses ?? []).find((one) => one.type === "InternalIP" && !one.address.includes(":"))?.address;
  const landing = { labels, taints: spec?.taints ?? [], createdAtMs: Number.isNaN(createdAtMs) ? undefined : createdAtMs };
  return {
    uid,
    resourceVersion,
    name,
    virtual,
    ...landing,
    ...(maxPods !== undefined && { maxPods }),
    ...(address !== undefined && { address }),
  };
}

export type WatchedObjectsDeps = {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onService: (change: Change<ServiceRecord>) => void;
  readonly onConfig: (change: Change<ConfigRecord>) => void;
  /** Our own; default: nobody restricts who uses which load balancer. */
  readonly namespace?: string;
  /** New Pods get their gate by our webhook, where labels of Namespaces ask for that; default: no such label is read. */
  readonly injects?: boolean;
  /** Who may use which load balancer has changed. */
  readonly onAccess?: () => void;
  /** What a Secret that somebody names says may have changed. */
  readonly onSecret?: (secret: SecretName) => void;
  readonly onIngress: (change: Change<IngressRecord>) => void;
  readonly onIngressClass: () => void;
  readonly onNode: (change: Change<NodeRecord>) => void;
  readonly onNodesListed: () => void;
  /** Services and Ingresses, all of them. */
  readonly onServicesListed?: () => void;
  readonly onRestart?: NonNullable<ListWatchDeps["onRestart"]>;
};

/** The objects that declare intent, as watched sets. */
export interface WatchedObjects {
  readonly services: WatchedSet<ServiceRecord>;
  readonly configs: WatchedSet<ConfigRecord>;
  readonly ingresses: WatchedSet<IngressRecord>;
  readonly ingressClasses: WatchedSet<IngressClassRecord>;
  readonly nodes: WatchedSet<NodeRecord>;
  /** Nobody waits for these: what needs one of them waits for itself. */
  readonly certificates: CertificateSecrets;
  readonly endpointSlices: EndpointSlices;
  readonly tkeSwitches: TkeSwitches;
  readonly misfitNamespaces: MisfitNamespaces;
  readonly access: Access;
  /** Services, Ingresses and IngressClasses have been listed completely once. */
  readonly ownersListed: boolean;
  /** All but certificates, EndpointSlices, TKE's switches and Namespaces have been listed completely once. */
  readonly synced: boolean;
  /** Seconds since the last byte of each watch, by resource. */
  readonly watchAgeSeconds: Readonly<Record<string, number>>;
  config(namespace: string, name: string): ConfigRecord | undefined;
  /** Another number when any TkeServiceConfig has changed. */
  readonly configsVersion: number;
  run(signal: AbortSignal): Promise<void>;
}

const CONFIGS = "/apis/cloud.tencent.com/v1alpha1/tkeserviceconfigs";
const INGRESSES = "/apis/networking.k8s.io/v1/ingresses";
const CLASSES = "/apis/networking.k8s.io/v1/ingressclasses";

export function makeWatchedObjects(deps: WatchedObjectsDeps): WatchedObjects {
  const { client, clock, log, onRestart, onService, onConfig, onIngress, onIngressClass, onNode, onNodesListed } = deps;
  const shared: ListWatchDeps = { client, clock, log, ...(onRestart && { onRestart }) };
  const services = makeListWatch<ServiceRecord>(shared, {
    path: "/api/v1/services",
    decode: decodeService,
    onChange: onService,
    onSynced: () => listed(),
  });
  const ingresses = makeListWatch<IngressRecord>(shared, {
    path: INGRESSES,
    decode: decodeIngress,
    onChange: onIngress,
    onSynced: () => listed(),
  });
  const ingressClasses = makeListWatch<IngressClassRecord>(shared, {
    path: CLASSES,
    decode: decodeIngressClass,
    onChange: onIngressClass,
    onSynced: () => listed(),
  });
  const ownersListed = (): boolean => services.synced && ingresses.synced && ingressClasses.synced;
  const listed = (): void => {
    if (ownersListed()) deps.onServicesListed?.();
  };
  // Optional: a cluster without that resource has none of them, and it may be installed later.
  const configByName = new ByName<ConfigRecord>();
  const configs = makeListWatch<ConfigRecord>(shared, {
    path: CONFIGS,
    decode: decodeConfig,
    onChange: (change) => {
      configByName.changed(change);
      onConfig(change);
    },
    optional: true,
  });
  const access = makeAccess({ ...shared, client }, deps.namespace, () => deps.onAccess?.());
  const certificates = makeCertificateSecrets(shared, (secret) => deps.onSecret?.(secret));
  const endpointSlices = makeEndpointSlices(shared);
  const tkeSwitches = makeTkeSwitches(shared);
  const misfitNamespaces = deps.injects === true ? makeMisfitNamespaces(shared) : NO_MISFITS;
  const nodes = makeListWatch<NodeRecord>(shared, { path: "/api/v1/nodes", decode: decodeNode, onChange: onNode, onSynced: onNodesListed });
  const sets = { services, configs, ingresses, ingressClasses, nodes, certificates, endpointSlices, tkeSwitches, misfitNamespaces, access };
  return {
    ...sets,
    get ownersListed() {
      return ownersListed();
    },
    get synced() {
      return [services, nodes, configs, ingresses, ingressClasses, access].every((set) => set.synced);
    },
    get watchAgeSeconds() {
      const age = ({ lastByteAtMs }: { readonly lastByteAtMs: number }): number => (clock.now() - lastByteAtMs) / 1000;
      return {
        services: age(services),
        tkeserviceconfigs: age(configs),
        ingresses: age(ingresses),
        ingressclasses: age(ingressClasses),
        nodes: age(nodes),
      };
    },
    get configsVersion() {
      return configByName.version;
    },
    config: (namespace, name) => configByName.get(namespace, name),
    run: async (signal) => {
      await Promise.all(Object.values(sets).map((set) => set.run(signal)));
    },
  };
}

/** The same object each time: whoever asks sees that nothing has changed. */
const NO_WISHES: ConfigRecord["wishes"] = new Map();

/** What TkeServiceConfigs wish, for `Intents`. */
export const wishesIn = (objects: Pick<WatchedObjects, "config" | "configsVersion">) => ({
  wishes: (namespace: string, name: string): ConfigRecord["wishes"] => objects.config(namespace, name)?.wishes ?? NO_WISHES,
  moreWishes: (namespace: string, name: string): ConfigRecord | undefined => objects.config(namespace, name),
  configsVersion: (): number => objects.configsVersion,
});
