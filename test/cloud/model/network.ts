import { isIPv4 } from "node:net";
import { isWithin } from "./ranges.ts";

/**
 * What an account has beside load balancers: its VPCs, nodes, ENIs, security groups and templates. A scenario fills it; a test may
 * change it while the cloud runs. Empty maps mean that nobody described the network.
 */
export type Network = {
  readonly vpcs: Map<string, VpcRecord>;
  readonly subnets: Map<string, SubnetRecord>;
  readonly instances: Map<string, InstanceRecord>;
  readonly enis: Map<string, EniRecord>;
  readonly securityGroups: Map<string, SecurityGroupRecord>;
  readonly addressTemplates: Map<string, TemplateRecord>;
  /** Members are ids of address templates. */
  readonly addressTemplateGroups: Map<string, TemplateRecord>;
  readonly serviceTemplates: Map<string, TemplateRecord>;
  /** Members are ids of service templates. */
  readonly serviceTemplateGroups: Map<string, TemplateRecord>;
  /** Ranges of Pods in GlobalRouter mode, e.g. "172.16.0.0/16": they may be bound without an ENI. */
  readonly globalRouterCidrs: string[];
};

export type VpcRecord = { readonly id: string; readonly name: string; readonly cidr: string };
export type SubnetRecord = {
  readonly id: string;
  readonly name: string;
  readonly vpcId: string;
  readonly zone: string;
  readonly cidr: string;
};

/** A node. Its addresses are those of its ENIs. */
export type InstanceRecord = {
  readonly id: string;
  readonly name: string;
  readonly uuid: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly zone: string;
  /** CAM role that the metadata service gives keys for; undefined: none is bound. */
  readonly role: string | undefined;
  readonly tags: ReadonlyMap<string, string>;
  readonly createdMs: number;
  state: "RUNNING" | "STOPPED";
};

export type EniRecord = {
  readonly id: string;
  readonly name: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly zone: string;
  /** Lower case, e.g. "20:90:6f:00:00:01". */
  readonly mac: string;
  /** The ENI that an instance is made with. */
  readonly primary: boolean;
  /** As `EniType`: 2 is a trunk, whose sub-ENIs are Pods. */
  readonly type: 0 | 1 | 2;
  readonly primaryIp: string;
  readonly secondaryIps: Set<string>;
  /** E.g. ["fd00::a"]; default: none. */
  readonly ipv6?: readonly string[];
  readonly tags: ReadonlyMap<string, string>;
  readonly createdMs: number;
  /** In the order in which they are asked. */
  securityGroupIds: readonly string[];
  attachment: { readonly instanceId: string; readonly deviceIndex: number } | undefined;
};

export type SecurityGroupRecord = {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly projectId: number;
  readonly tags: ReadonlyMap<string, string>;
  readonly createdMs: number;
  updatedMs: number;
  /** Grows by one with every edit of the policies. */
  version: number;
  /** First match decides. */
  ingress: readonly PolicyRecord[];
  egress: readonly PolicyRecord[];
};

/** One rule; at most one source is set. Without `serviceTemplate`, `protocol` and `port` count, e.g. "TCP" and "8000-9000". */
export type PolicyRecord = {
  readonly action: "ACCEPT" | "DROP";
  readonly protocol: string;
  readonly port: string;
  /** "ppm-…" or "ppmg-…". */
  readonly serviceTemplate?: string | undefined;
  readonly cidr?: string | undefined;
  readonly ipv6Cidr?: string | undefined;
  readonly securityGroup?: string | undefined;
  /** "ipm-…" or "ipmg-…". */
  readonly addressTemplate?: string | undefined;
  readonly description?: string | undefined;
};

/** A template or a group of templates: addresses ("10.0.1.0/24"), services ("tcp:80,443") or ids. */
export type TemplateRecord = {
  readonly id: string;
  readonly name: string;
  readonly members: readonly string[];
  readonly createdMs: number;
};

export const emptyNetwork = (): Network => ({
  vpcs: new Map(),
  subnets: new Map(),
  instances: new Map(),
  enis: new Map(),
  securityGroups: new Map(),
  addressTemplates: new Map(),
  addressTemplateGroups: new Map(),
  serviceTemplates: new Map(),
  serviceTemplateGroups: new Map(),
  globalRouterCidrs: [],
});

/** Adds a group named after its id that lets in what `ingress` says and nothing out, e.g. addGroup(network, "sg-pods", [ACCEPT_ALL]). */
export function addGroup(network: Network, id: string, ingress: SecurityGroupRecord["ingress"]): void {
  const unedited = { createdMs: 0, updatedMs: 0, version: 1 };
  network.securityGroups.set(id, { id, name: id, description: "", projectId: 0, tags: new Map(), ...unedited, ingress, egress: [] });
}

/** Replaces the policies of a group, as an edit in the console does: the version grows. Throws a RangeError if there is no such group. */
export function editPolicies(
  network: Network,
  id: string,
  policies: Partial<Pick<SecurityGroupRecord, "ingress" | "egress">>,
  nowMs: number,
): void {
  const group = network.securityGroups.get(id);
  if (group === undefined) throw new RangeError(`security group ${id} does not exist; there are ${names(network.securityGroups)}`);
  Object.assign(group, policies, { version: group.version + 1, updatedMs: nowMs });
}

/** ENIs of an instance, the primary one first. */
export const enisOf = (network: Pick<Network, "enis">, instanceId: string): EniRecord[] =>
  [...network.enis.values()]
    .filter((eni) => eni.attachment?.instanceId === instanceId)
    .sort((a, b) => (a.attachment?.deviceIndex ?? 0) - (b.attachment?.deviceIndex ?? 0));

/** All IPv4 addresses of an ENI, the primary one first. */
export const addressesOf = (eni: EniRecord): string[] => [eni.primaryIp, ...eni.secondaryIps];

/** What the cloud knows of an address that somebody wants to bind; `type` as DescribeTargets shows it. */
export type BackendAddress = {
  readonly ip: string;
  readonly type: "CVM" | "ENI" | "GLOBALROUTE";
  readonly eniId?: string;
  readonly instanceId?: string;
  readonly instanceName?: string;
  readonly zone?: string;
};

/**
 * The backend behind an IP or an instance, or the reason why it cannot be bound: only IPs of ENIs that are attached to an instance in the
 * VPC of the load balancer can, and GlobalRouter ranges. The primary IP of the primary ENI is the instance itself (assumed: "CVM").
 */
export function backendAt(
  network: Network,
  vpcId: string,
  wanted: { readonly EniIp?: string; readonly InstanceId?: string },
): BackendAddress | string {
  if (wanted.InstanceId !== undefined) {
    const primary = enisOf(network, wanted.InstanceId).find((eni) => eni.primary);
    if (primary === undefined) return `InstanceId ${wanted.InstanceId} does not exist`;
    return backendAt(network, vpcId, { EniIp: primary.primaryIp });
  }
  const ip = wanted.EniIp ?? "";
  const eni = eniWith(network, ip);
  if (eni === undefined)
    return isIPv4(ip) && network.globalRouterCidrs.some((cidr) => isWithin(ip, cidr))
      ? { ip, type: "GLOBALROUTE" }
      : `EniIp ${ip} is no IP of an ENI of this account`;
  if (eni.attachment === undefined) return `EniIp ${ip} is on ${eni.id}, which is attached to no instance`;
  if (eni.vpcId !== vpcId) return `EniIp ${ip} is on ${eni.id} in ${eni.vpcId}, the load balancer is in ${vpcId}`;
  const instance = network.instances.get(eni.attachment.instanceId);
  return {
    ip,
    type: eni.primary && eni.primaryIp === ip ? "CVM" : "ENI",
    eniId: eni.id,
    instanceId: eni.attachment.instanceId,
    zone: eni.zone,
    ...(instance !== undefined && { instanceName: instance.name }),
  };
}

/** A plain loop: a batch asks 500 times. */
function eniWith(network: Network, ip: string): EniRecord | undefined {
  for (const eni of network.enis.values()) if (eni.primaryIp === ip || eni.secondaryIps.has(ip)) return eni;
  return undefined;
}

const names = (records: ReadonlyMap<string, unknown>): string => [...records.keys()].join(", ") || "none";
