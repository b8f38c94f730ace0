/** Pure: what containerd, CNI and the kubelet of a real node read. Why each line is there: real-cluster.md. */
import type { NodeAddresses } from "./addresses.ts";

/** Inside the node, which has a /run, /var/lib and /var/log of its own (namespace.ts): the programs' default paths. */
export const CONTAINERD_SOCKET = "/run/containerd/containerd.sock";
export const CNI_PLUGINS = "/usr/lib/cni"; // of Debian's containernetworking-plugins

/** What examples and tests run. */
export const APPLICATION_IMAGES = ["registry.example.com/web:1", "registry.example.com/web:2"] as const;
/** What holds a Pod's namespaces. */
const PAUSE_IMAGE = "registry.example.com/pause:1";
/** All that only wait: the Pods of our own processes, too, which run beside the node's containers (product.ts), not in them. */
export const PAUSE_IMAGES = [PAUSE_IMAGE, "registry.example.com/clb-direct:1"] as const;

/** The chained plugin (tke-networks.ts), by the name that CNI calls it by. */
export const TKE_NETWORKS = "tke-networks";

/** `plugins`: a folder of ours with plugins of ours, beside Debian's. */
export const containerdConfig = (cniDirectory: string, plugins: readonly string[] = []): string => `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "${CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "${PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ${JSON.stringify([CNI_PLUGINS, ...plugins])}
  conf_dir = ${JSON.stringify(cniDirectory)}
`;

/** A cable per Pod to the node, which has a route to the Pod's address over it. */
export const cniConfig = ({ podRange }: NodeAddresses, chained: readonly string[] = []): string =>
  JSON.stringify({
    cniVersion: "1.0.0",
    name: "pods",
    plugins: [
      { type: "ptp", ipMasq: false, ipam: { type: "host-local", ranges: [[{ subnet: podRange }]], routes: [{ dst: "0.0.0.0/0" }] } },
      ...chained.map((type) => ({ type })),
    ],
  });

/** What a node gives its Pods when its machine is about to go. */
const SHUTDOWN = { shutdownGracePeriod: "40s", shutdownGracePeriodCriticalPods: "5s" } as const;

export type KubeletFiles = { readonly clientCa: string; readonly resolvConf: string; readonly shutsDown?: boolean | undefined };

/** Nothing is ever evicted: the memory and the disk of the machine are not the node's. */
const NEVER = Object.fromEntries(
  ["memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"].map((key) => [key, "0%"]),
);

export const kubeletConfig = ({ address }: NodeAddresses, { clientCa, resolvConf, shutsDown }: KubeletFiles): string =>
  JSON.stringify({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    address,
    healthzPort: 0,
    readOnlyPort: 0,
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: clientCa } },
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    cgroupDriver: "cgroupfs",
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    localStorageCapacityIsolation: false,
    makeIPTablesUtilChains: false,
    resolvConf,
    volumePluginDir: "/var/lib/kubelet/volume-plugins",
    imageGCHighThresholdPercent: 100, // images cannot be pulled again
    evictionHard: NEVER,
    clusterDNS: ["10.96.0.10"], // nobody answers there; without it every Pod gets a warning
    nodeStatusUpdateFrequency: "5s",
    ...(shutsDown === true && SHUTDOWN),
  });
