import type { KubeClient } from "../../common/kubernetes/requests.ts";

type Named = { readonly metadata: { readonly name: string } };

/** In the release's Namespace; what Kubernetes and the person who installed made themselves stays. */
const NAMESPACED = [
  "/api/v1:pods",
  "/api/v1:services",
  "/api/v1:configmaps",
  "/api/v1:secrets",
  "/api/v1:serviceaccounts",
  "/apis/apps/v1:deployments",
  "/apis/apps/v1:daemonsets",
  "/apis/batch/v1:jobs",
  "/apis/coordination.k8s.io/v1:leases",
  "/apis/networking.k8s.io/v1:networkpolicies",
  "/apis/policy/v1:poddisruptionbudgets",
  "/apis/rbac.authorization.k8s.io/v1:roles",
  "/apis/rbac.authorization.k8s.io/v1:rolebindings",
];
const CLUSTER_WIDE = [
  "/apis/rbac.authorization.k8s.io/v1/clusterroles",
  "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
  "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
  "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
  "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
  "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
];
const NOT_OURS = new Set(["default", "kube-root-ca.crt", "clb-direct-cloud"]);

/** Names of objects and load balancers that should be gone, e.g. ["secrets/clb-direct-ca"]. */
export async function leftBehind(admin: KubeClient, namespace: string, cloudAdminUrl: string): Promise<readonly string[]> {
  const left: string[] = [];
  for (const one of NAMESPACED) {
    const [root = "", kind = ""] = one.split(":");
    const { items } = await admin.list<Named>(`${root}/namespaces/${namespace}/${kind}`);
    left.push(...items.filter(({ metadata }) => !NOT_OURS.has(metadata.name)).map(({ metadata }) => `${kind}/${metadata.name}`));
  }
  for (const path of CLUSTER_WIDE) {
    const { items } = await admin.list<Named>(path);
    const ours = items.filter(({ metadata }) => metadata.name.startsWith("clb-direct"));
    left.push(...ours.map(({ metadata }) => `${path.split("/").at(-1)}/${metadata.name}`));
  }
  const response = await fetch(`${cloudAdminUrl}/state`);
  const { loadBalancers } = (await response.json()) as { readonly loadBalancers: readonly { readonly id: string }[] };
  return [...left, ...loadBalancers.map(({ id }) => `load balancer ${id}`)];
}
