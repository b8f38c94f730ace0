/** `name` is the name of the owner, `uid` decides: an owner recreated under the same name is another one. */
export type OwnerReference = { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean };

export type Metadata = {
  name: string;
  namespace?: string;
  generateName?: string;
  uid: string;
  resourceVersion: string;
  generation?: number;
  creationTimestamp: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
};

export type Condition = {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  lastProbeTime?: string | null;
};
export type Port = { name?: string; port?: number; containerPort?: number; targetPort?: number | string; protocol?: string };
export type Probe = {
  httpGet?: { scheme?: string };
  timeoutSeconds?: number;
  periodSeconds?: number;
  successThreshold?: number;
  failureThreshold?: number;
};
export type Container = {
  name?: string;
  image?: string;
  imagePullPolicy?: string;
  resources?: object;
  ports?: Port[];
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  startupProbe?: Probe;
};

/** The union of the spec fields that this server reads or fills, over all kinds. */
export type Spec = {
  nodeName?: string;
  serviceAccountName?: string;
  restartPolicy?: string;
  dnsPolicy?: string;
  schedulerName?: string;
  securityContext?: object;
  terminationGracePeriodSeconds?: number;
  activeDeadlineSeconds?: number;
  tolerations?: unknown[];
  hostNetwork?: boolean;
  containers?: Container[];
  initContainers?: Container[];
  unschedulable?: boolean;
  type?: string;
  clusterIP?: string;
  sessionAffinity?: string;
  internalTrafficPolicy?: string;
  externalTrafficPolicy?: string;
  allocateLoadBalancerNodePorts?: boolean;
  loadBalancerClass?: string;
  ports?: Port[];
  replicas?: number;
  minReadySeconds?: number;
  progressDeadlineSeconds?: number;
  revisionHistoryLimit?: number;
  strategy?: { type?: string; rollingUpdate?: { maxSurge?: number | string; maxUnavailable?: number | string } };
  selector?: { matchLabels?: Record<string, string> };
  template?: { metadata?: { labels?: Record<string, string> }; spec?: Spec };
  leaseDurationSeconds?: number;
  acquireTime?: string;
  renewTime?: string;
  finalizers?: string[];
};

export type Ingress = { ip?: string; hostname?: string; ipMode?: string };
export type Status = {
  phase?: string;
  qosClass?: string;
  podIP?: string;
  replicas?: number;
  conditions?: Condition[];
  loadBalancer?: { ingress?: Ingress[] };
};

/** An object as it is stored: parsed JSON without `kind` and `apiVersion`. Only fields that this server looks at are named. */
export type KubeObject = {
  metadata: Metadata;
  spec?: Spec;
  status?: Status;
  involvedObject?: Record<string, string>;
  reason?: string;
  type?: string;
  eventTime?: string;
  addressType?: string;
  endpoints?: { addresses?: string[]; conditions?: { ready?: boolean } }[];
  ports?: Port[];
  data?: Record<string, string>;
  stringData?: Record<string, string>;
};

/** A JSON object as it comes from the wire, not looked at yet. */
export type Raw = Record<string, unknown>;
export const isRaw = (value: unknown): value is Raw => typeof value === "object" && value !== null && !Array.isArray(value);

const SECONDS = new Set(
  "lastTransitionTime lastProbeTime lastUpdateTime lastHeartbeatTime startTime startedAt finishedAt firstTimestamp lastTimestamp creationTimestamp deletionTimestamp timeAdded".split(
    " ",
  ),
);

/** "2026-01-02T03:04:05Z", as every metav1.Time is written. */
export const secondsOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** A deep copy as a typed server keeps it: no nulls, metav1.Time in whole seconds. */
export function cleaned(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => cleaned(item));
  if (!isRaw(value))
    return typeof value === "string" && SECONDS.has(key) && !Number.isNaN(Date.parse(value)) ? secondsOf(Date.parse(value)) : value;
  const copy: Raw = {};
  for (const [name, field] of Object.entries(value)) if (field !== null && field !== undefined) copy[name] = cleaned(field, name);
  return copy;
}
