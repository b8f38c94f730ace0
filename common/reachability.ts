/**
 * Whether a load balancer reaches a Pod's port: what the coordinator asks of a node's agent, and what the agent answers. The coordinator
 * looks everything up in the cloud and resolves references; the agent connects and evaluates.
 */

/**
 * One rule of a security group with its references resolved. `services` in the syntax of service templates, e.g. ["tcp:80,443", "udp:all",
 * "all"]; empty: not known. `sources` e.g. ["10.0.0.0/8", "10.0.0.1-10.0.0.9", "fd00::/8"].
 */
export type GroupRule = {
  /** Its place in the group, from 0 (`PolicyIndex`). */
  readonly index: number;
  readonly accept: boolean;
  readonly services: readonly string[];
  readonly sources: readonly string[];
  /** As a person reads it, e.g. "DROP TCP 8000-9000 from 0.0.0.0/0". */
  readonly text: string;
  /** Why services (if empty) or sources are not all known; "" where they are. */
  readonly unresolved: string;
};

/** `version` changes with every edit of the rules or of what they refer to. */
export type SecurityGroup = { readonly id: string; readonly version: string; readonly rules: readonly GroupRule[] };

/** Who sends to the port. "health-check": the load balancer's own checks; "clients": whom the load balancer lets in. */
export const SOURCE_KINDS = ["health-check", "clients"] as const;
export type SourceKind = (typeof SOURCE_KINDS)[number];

/**
 * A set of senders: these addresses ("0.0.0.0/0": everybody), as far as these security groups of the load balancer let them in at its own
 * port; no group: all of them.
 */
export type SourceSet = {
  readonly kind: SourceKind;
  readonly addresses: readonly string[];
  readonly admittedBy: readonly string[];
  readonly protocol: string;
  readonly port: number;
};

/** One place that is to send to the Pod, e.g. { key: "lb-1 TCP:443", protocol: "TCP", port: 8080 }. */
export type PortTask = {
  readonly key: string;
  readonly protocol: string;
  /** Of the Pod. */
  readonly port: number;
  /** Ids of the groups that judge what reaches the Pod, in their order; empty: none is asked, `unjudged` says why. */
  readonly groups: readonly string[];
  readonly unjudged: string;
  readonly sources: readonly SourceSet[];
};

/** What an agent shall find out of one of its Pods. */
export type PodTask = { readonly uid: string; readonly ip: string; readonly ports: readonly PortTask[] };

/** "not-checked": UDP, which answers nobody; "pending": not tried yet. */
export const PROBE_RESULTS = ["pending", "open", "refused", "timed-out", "unreachable", "not-checked"] as const;
export type ProbeResult = (typeof PROBE_RESULTS)[number];

/** "denied": nothing of the set gets through; "partly": some of it does not. */
export const GROUP_VERDICTS = ["unknown", "allowed", "denied", "partly"] as const;
export type GroupVerdict = (typeof GROUP_VERDICTS)[number];

/** `because` names group, index and rule, e.g. "sg-web rule 3 (DROP TCP 8000-9000 from 0.0.0.0/0)"; "" for allowed. */
export type SourceVerdict = { readonly kind: SourceKind; readonly verdict: GroupVerdict; readonly because: string };

/** The two verdicts for one PortTask: `probe` and `security-group` (one per set of sources). */
export type PortVerdict = {
  readonly key: string;
  readonly probe: ProbeResult;
  /** What the kernel said, e.g. "connect ECONNREFUSED 10.0.3.7:8080"; "" for open. */
  readonly probeText: string;
  readonly sources: readonly SourceVerdict[];
};
export type PodVerdict = { readonly uid: string; readonly ports: readonly PortVerdict[] };

/** What the metadata service tells of the machine, e.g. { instanceId: "ins-1a2b3c4d", region: "ap-guangzhou", zone: "ap-guangzhou-3", macs: ["20:90:6f:01:02:03"] }; the MAC of the primary ENI first. */
export type NodeFacts = { readonly instanceId: string; readonly region: string; readonly zone: string; readonly macs: readonly string[] };
