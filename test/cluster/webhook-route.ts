/** What the controller of EndpointSlices does for Pods: the API server finds the coordinators' processes behind their webhook's Service. */
import { DEFAULT_NAMESPACE, WEBHOOK_PORT, WEBHOOK_SERVICE } from "../../common/names.ts";
import type { AddressPlan } from "./network.ts";
import { answered, type Cluster } from "./simulated/cluster.ts";

type EndpointSlice = {
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly addressType: string;
  readonly endpoints: readonly { readonly addresses: string[]; readonly conditions: { readonly ready: boolean } }[];
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
};

export type RouteDeps = {
  readonly cluster: Cluster;
  readonly plan: Pick<AddressPlan, "kind">;
  /** Stores a slice past the rules of an API server, which refuse loopback addresses. Without it no Pod gets a gate where no network namespace can be made. */
  readonly storeSlice?: ((slice: EndpointSlice) => void) | undefined;
};

/** E.g. of ["10.244.3.200"]. */
export async function routeWebhook({ cluster: { client }, plan, storeSlice }: RouteDeps, hosts: readonly string[]): Promise<void> {
  const path = `/apis/discovery.k8s.io/v1/namespaces/${DEFAULT_NAMESPACE}/endpointslices`;
  const name = `${WEBHOOK_SERVICE}-processes`;
  const labels = { "kubernetes.io/service-name": WEBHOOK_SERVICE, "endpointslice.kubernetes.io/managed-by": "processes" };
  const endpoints = hosts.map((host) => ({ addresses: [host], conditions: { ready: true } }));
  const slice: EndpointSlice = {
    metadata: { name, labels },
    addressType: "IPv4",
    endpoints,
    ports: [{ name: "webhook", port: WEBHOOK_PORT, protocol: "TCP" }],
  };
  if (plan.kind === "loopback") return storeSlice?.(slice);
  await client.create(path, slice).catch(async (error: unknown) => {
    if (!answered(error, 409)) throw error;
    await client.patch(`${path}/${name}`, { endpoints }, "merge");
  });
}
