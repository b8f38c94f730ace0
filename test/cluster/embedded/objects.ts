type Strings<Name extends string> = { [name in Name]?: string };

/** `uid` of an owner decides who it is: one recreated under the same name is another. */
export type Metadata = { name: string; uid: string; resourceVersion: string; creationTimestamp: string } & Strings<
  "namespace" | "generateName" | "deletionTimestamp"
> & {
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    finalizers?: string[];
    ownerReferences?: { uid: string }[];
    generation?: number;
    deletionGracePeriodSeconds?: number;
  };

/** The spec fields that this server looks at, over all kinds. */
export type Spec = Strings<"nodeName" | "serviceAccountName" | "type" | "clusterIP" | "loadBalancerClass" | "externalTrafficPolicy"> & {
  containers?: { image?: string }[];
  initContainers?: { image?: string }[];
  terminationGracePeriodSeconds?: number;
  leaseDurationSeconds?: number;
  replicas?: number;
  ports?: unknown[];
  selector?: { matchLabels?: Record<string, string> };
};

export type Status = Strings<"phase" | "podIP"> & {
  replicas?: number;
  conditions?: { type: string }[];
  loadBalancer?: { ingress?: Strings<"ip" | "ipMode">[] };
};

/** An object as it is stored: parsed JSON without `kind` and `apiVersion`. Only fields that this server looks at are named. */
export type KubeObject = Strings<"addressType"> & {
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
  const known = Object.entries(value).filter(([, field]) => field !== null && field !== undefined);
  return Object.fromEntries(known.map(([name, field]) => [name, cleaned(field, name)]));
}
