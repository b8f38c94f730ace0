import type { PodFact } from "../../common/vocabulary.ts";

/** TKE's network modes. "unresolved": nobody says; such a Pod is bound like any other. */
export type NetworkMode =
  | "hostNetwork"
  | "tke-route-eni"
  | "tke-direct-eni"
  | "tke-sub-eni"
  | "tke-bridge"
  | "cilium-overlay"
  | "unresolved";

/** `because` says who decided, for people. */
export type ResolvedMode = { readonly mode: NetworkMode; readonly because: string };

/** What `kube-system/tke-cni-agent-conf` says: its default network, that there is no such ConfigMap, or why it could not be read. */
export type ClusterDefault =
  | { readonly kind: "named"; readonly name: string }
  | { readonly kind: "absent" }
  | { readonly kind: "unreadable"; readonly because: string };

const MODES: readonly NetworkMode[] = ["tke-route-eni", "tke-direct-eni", "tke-sub-eni", "tke-bridge"];

const modeOf = (name: string): NetworkMode | undefined =>
  MODES.find((mode) => mode === name) ?? (/cilium/i.test(name) ? "cilium-overlay" : undefined);

/**
 * Pure: the mode of a Pod in the documented order (tke-contract.md R8): hostNetwork, its annotation, the cluster's default, and what its
 * node's kernel shows. A default that the kernel contradicts, and a name that nobody knows, leave it unresolved.
 */
export function networkModeOf(pod: PodFact, clusterDefault: ClusterDefault): ResolvedMode {
  if (pod.hostNetwork) return { mode: "hostNetwork", because: "spec.hostNetwork is true" };
  const [asked] = pod.networks.asked;
  if (asked !== undefined) {
    const mode = modeOf(asked);
    const because = `annotation tke.cloud.tencent.com/networks is "${pod.networks.asked.join(",")}"`;
    return mode === undefined ? { mode: "unresolved", because: `${because}, which is no network that is known here` } : { mode, because };
  }
  const given = modeOf(pod.networks.statusName);
  if (given !== undefined) return { mode: given, because: `networks-status says ${pod.networks.statusName}` };
  const seen = modeOfKernel(pod);
  if (clusterDefault.kind === "named") {
    const mode = modeOf(clusterDefault.name);
    const because = `the cluster's default network is ${clusterDefault.name}`;
    return mode === undefined ? { mode: "unresolved", because: `${because}, which is not known here` } : { mode, because };
  }
  if (seen !== undefined) return { mode: seen.mode, because: `its node's kernel reaches it ${seen.how}` };
  if (clusterDefault.kind === "unreadable") return { mode: "unresolved", because: clusterDefault.because };
  if (pod.hostInterface === undefined) return { mode: "tke-route-eni", because: "there is no ConfigMap kube-system/tke-cni-agent-conf" };
  return { mode: "unresolved", because: "no ConfigMap kube-system/tke-cni-agent-conf, and the kernel shows no ENI" };
}

function modeOfKernel({ hostInterface }: PodFact): { readonly mode: NetworkMode; readonly how: string } | undefined {
  if (hostInterface === undefined) return undefined;
  switch (hostInterface.kind) {
    case "eni":
      return { mode: "tke-route-eni", how: `over ${hostInterface.name} (table ${hostInterface.table})` };
    case "sub-eni":
      return { mode: "tke-sub-eni", how: `over the VLAN ${hostInterface.name}` };
    case "pod":
      return { mode: "tke-direct-eni", how: "by an ENI of its own" };
    case "bridge":
      return { mode: "tke-bridge", how: `over the bridge ${hostInterface.name}` };
    case "overlay":
      return { mode: "cilium-overlay", how: `over ${hostInterface.name}` };
    case "node":
    case "route":
    case "unknown":
      return undefined;
    default:
      return hostInterface.kind satisfies never;
  }
}

/** TKE's word on GlobalRouter Pods: `GlobalRouteDirectAccess` of its ConfigMap, or ours where that cannot be read. */
export type GlobalRouterPermit = { readonly allowed: boolean; readonly because: string };

/**
 * Pure: why a load balancer cannot reach a Pod in this mode; undefined: it can, or nobody knows. Only what somebody wrote down refuses a
 * Pod; what a kernel shows is evidence, except for an overlay's own tunnel.
 */
export function refusalOf(pod: PodFact, { mode, because }: ResolvedMode, permit: GlobalRouterPermit): string | undefined {
  if (mode === "cilium-overlay")
    return `its network is a Cilium overlay (${because}), whose addresses no load balancer reaches: use VPC-CNI or GlobalRouter for it`;
  if (mode === "tke-bridge" && !permit.allowed && (pod.networks.asked.length > 0 || !because.startsWith("its node's kernel")))
    return `its network is GlobalRouter (${because}), and direct access is off for that: ${permit.because}`;
  return undefined;
}
