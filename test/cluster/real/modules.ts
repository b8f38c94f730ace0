/** Which binaries a real cluster needs, and which pinned Go module builds each. Versions are in the modules' go.mod only. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const CONTROL_PLANE = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] as const;
export const NODE = ["kubelet", "containerd", "containerd-shim-runc-v2", "ctr"] as const;

/** Only where Pods ask for Services by their cluster addresses: the proof of an installation. */
export const PROXY = ["kube-proxy"] as const;

export type BinaryName = (typeof CONTROL_PLANE)[number] | (typeof NODE)[number] | (typeof PROXY)[number];

/** A folder with go.mod and go.sum. `key` names its place in the cache, e.g. "kubernetes-v1.36.3-linux-x64-1f0c9a2b". */
export type GoModule = { readonly key: string; readonly directory: string; readonly version: string; readonly linkerFlags: string };

/** Folders of the Kubernetes versions that can be chosen, by minor. The first is the default. */
const KUBERNETES = { "1.36": ".", "1.34": "kubernetes-1.34" } as const;
export type KubernetesMinor = keyof typeof KUBERNETES;
export const MINORS = Object.keys(KUBERNETES) as readonly KubernetesMinor[];
export const DEFAULT_MINOR: KubernetesMinor = "1.36";

const PACKAGES: Readonly<Record<BinaryName, string>> = {
  etcd: "go.etcd.io/etcd/server/v3",
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
  "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
  kubelet: "k8s.io/kubernetes/cmd/kubelet",
  "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
  containerd: "github.com/containerd/containerd/v2/cmd/containerd",
  "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
  ctr: "github.com/containerd/containerd/v2/cmd/ctr",
};

export const packageOf = (name: BinaryName): string => PACKAGES[name];

/** What `go install` calls the binary of that package: its last path element, a major version apart; etcd's is "server". */
export const installedName = (name: BinaryName): string => (name === "etcd" ? "server" : name);

/** Throws RangeError on a minor that has no module, e.g. "1.35". */
export function kubernetesMinor(text: string): KubernetesMinor {
  const found = MINORS.find((minor) => minor === text);
  if (found === undefined) throw new RangeError(`--kubernetes ${text}: known are ${MINORS.join(", ")}`);
  return found;
}

/**
 * The module that builds `name`; containerd has its own, so that each is built with the dependencies its authors chose, and kube-proxy, which
 * few need, so that a change of it builds nothing else anew. There is one kube-proxy, that of the default minor.
 */
export function moduleOf(name: BinaryName, minor: KubernetesMinor): GoModule {
  if (name === "kube-proxy") return readModule("kube-proxy", "kube-proxy", "k8s.io/kubernetes");
  return name === "ctr" || name.startsWith("containerd")
    ? readModule("containerd", "containerd", "github.com/containerd/containerd/v2")
    : readModule(KUBERNETES[minor], "kubernetes", "k8s.io/kubernetes");
}

const ROOT = fileURLToPath(new URL(".", import.meta.url));

function readModule(folder: string, product: string, path: string): GoModule {
  const directory = join(ROOT, folder);
  const pins = ["go.mod", "go.sum"].map((file) => readFileSync(join(directory, file), "utf8"));
  const version = pins[0]?.match(new RegExp(`^(?:require)?\\s*${path} (v\\S+)`, "m"))?.[1];
  if (version === undefined) throw new Error(`${join(directory, "go.mod")} requires no ${path}`);
  const hash = createHash("sha256").update(pins.join("\0")).digest("hex").slice(0, 8);
  return {
    key: `${product}-${version}-${process.platform}-${process.arch}-${hash}`,
    directory,
    version,
    linkerFlags: `-s -w ${product !== "containerd" ? versionFlags(version) : `-X ${path}/version.Version=${version}`}`,
  };
}

/** Without gitVersion the API server calls itself v0.0.0-master, which some clients refuse (real-cluster.md). */
function versionFlags(version: string): string {
  const [major = "", minor = ""] = version.replace("v", "").split(".");
  const variables = { gitVersion: version, gitMajor: major, gitMinor: minor };
  return Object.entries(variables)
    .map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)
    .join(" ");
}
