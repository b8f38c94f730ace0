/** `uid` decides who the owner is: one recreated under the same name is another. */
export type OwnerReference = { apiVersion: string; kind: string; name: string; uid: string };
type Strings<Name extends string> = { [name in Name]?: string };
type Numbers<Name extends string> = { [name in Name]?: number };

export type Metadata = {
  name: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
} & Strings<"namespace" | "generateName" | "deletionTimestamp"> &
  Numbers<"generation" | "deletionGracePeriodSeconds">;

type Condition = { type: string; lastProbeTime?: string | null };
type Port = Strings<"name" | "protocol"> & { port?: number; targetPort?: number | string };
type Probe = Numbers<"timeoutSeconds" | "periodSeconds" | "successThreshold" | "failureThreshold"> & { httpGet?: Strings<"scheme"> };
export type Container = Strings<"name" | "image" | "imagePullPolicy"> & { resources?: object; ports?: Port[] } & {
  [probe in "readinessProbe" | "livenessProbe" | "startupProbe"]?: Probe;
};

/** The union of the spec fields that this server reads or fills, over all kinds. */
export type Spec = Strings<"nodeName" | "serviceAccountName" | "restartPolicy" | "dnsPolicy" | "schedulerName" | "type" | "clusterIP"> &
  Strings<"sessionAffinity" | "internalTrafficPolicy" | "externalTrafficPolicy" | "loadBalancerClass"> &
  Numbers<"terminationGracePeriodSeconds" | "activeDeadlineSeconds" | "replicas" | "progressDeadlineSeconds" | "revisionHistoryLimit"> &
  Numbers<"leaseDurationSeconds"> & {
    securityContext?: object;
    tolerations?: unknown[];
    containers?: Container[];
    initContainers?: Container[];
    allocateLoadBalancerNodePorts?: boolean;
    ports?: Port[];
    strategy?: { type?: string; rollingUpdate?: { maxSurge?: number | string; maxUnavailable?: number | string } };
    selector?: { matchLabels?: Record<string, string> };
    template?: { spec?: Spec };
    finalizers?: string[];
  };

export type Status = Strings<"phase" | "qosClass" | "podIP"> & {
  replicas?: number;
  conditions?: Condition[];
  loadBalancer?: { ingress?: Strings<"ip" | "ipMode">[] };
};

/** An object as it is stored: parsed JSON without `kind` and `apiVersion`. Only fields that this server looks at are named. */
export type KubeObject = Strings<"reason" | "type" | "addressType"> & {
  metadata: Metadata;
  spec?: Spec;
  status?: Status;
  involvedObject?: Record<string, string>;
  endpoints?: { addresses?: string[] }[];
  data?: Record<string, string>;
  stringData?: Record<string, string>;
};

/** A JSON object as it comes from the wire, not looked at yet. */
export type Raw = Record<string, unknown>;
export const isRaw = (value: unknown): value is Raw => typeof value === "object" && value !== null && !Array.isArray(value);
/** The object in a field, or an empty one. */
export const rawIn = (value: Raw, field: string): Raw => (isRaw(value[field]) ? value[field] : {});

const SECONDS =
  /^(last(Transition|Probe|Update|Heartbeat)Time|startTime|startedAt|finishedAt|(first|last|creation|deletion)Timestamp|timeAdded)$/;
/** "2026-01-02T03:04:05Z", as every metav1.Time is written. */
export const secondsOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** A deep copy as a typed server keeps it: no nulls, metav1.Time in whole seconds. */
export function cleaned(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map((item) => cleaned(item));
  if (typeof value === "string" && SECONDS.test(key) && !Number.isNaN(Date.parse(value))) return secondsOf(Date.parse(value));
  if (!isRaw(value)) return value;
  const copy: Raw = {};
  for (const [name, field] of Object.entries(value)) if (field !== null && field !== undefined) copy[name] = cleaned(field, name);
  return copy;
}
