/** A cluster as a user has one: real nodes with kube-proxy and DNS, and a cloud; none of our own processes. */
import { setPriority } from "node:os";
import { join } from "node:path";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { TEST_KEY } from "../cloud/runtime/options.ts";
import { applyManifests, type Manifest } from "../cluster/manifests.ts";
import { type AddressPlan, claimSlot } from "../cluster/network.ts";
import { firstJson, startProcess } from "../cluster/process.ts";
import { findBinaries } from "../cluster/real/binaries.ts";
import { ADMIN } from "../cluster/real/certificates.ts";
import { startControlPlane } from "../cluster/real/control-plane.ts";
import { CONTROL_PLANE, PROXY } from "../cluster/real/modules.ts";
import { startKubeProxies } from "../cluster/real/nodes/kube-proxy.ts";
import { findNodes } from "../cluster/real/nodes/requirements.ts";
import { FLAGS_FOR_REAL_NODES, type RealNode, startRealNodes } from "../cluster/real/nodes/start.ts";
import { NODE_NAMES } from "../cluster/real/nodes/testing.ts";
import { PORTS } from "../cluster/real/ports.ts";
import { startDns } from "./dns.ts";

export type ProofGround = {
  readonly admin: KubeClient;
  readonly kubeconfig: string;
  readonly version: string;
  readonly plan: AddressPlan;
  /** E.g. "10.245.3.0/24": nodes and Pods. */
  readonly range: string;
  readonly nodes: readonly RealNode[];
  readonly cloud: { readonly endpoint: string; readonly adminUrl: string };
  readonly key: { readonly secretId: string; readonly secretKey: string };
};

/**
 * Niceness of those who are other machines in truth, the load balancer and the clients: an update starts a dozen processes, and a load balancer
 * that gets no processor for seconds accepts nobody, whatever the product does.
 */
export const FIRST = -15;

/** What must be undone, in reverse order. */
export type Steps = (() => Promise<unknown>)[];

/** `images` are tars that every node gets; `profile` is the cloud's. */
export async function layProofGround(directory: string, images: readonly string[], steps: Steps, profile = "fast"): Promise<ProofGround> {
  const { plan, release } = await claimSlot();
  steps.push(release);
  const [others, found] = [await findBinaries([...CONTROL_PLANE, ...PROXY]), await findNodes()];
  if (others.kind === "missing") throw new Error(others.reason);
  if (found.kind === "missing") throw new Error(found.reason);
  const cluster = await startControlPlane({ plan, binaries: others.binaries, flags: FLAGS_FOR_REAL_NODES });
  steps.push(() => cluster.stop());
  const nodes = await startRealNodes({ cluster, plan, nodes: NODE_NAMES, binaries: found.binaries, directory: join(directory, "nodes") });
  steps.push(() => nodes.stop());
  for (const image of images) await nodes.load(image);
  const kubeconfig = await cluster.kubeconfigFile(ADMIN);
  const admin = await cluster.client(ADMIN);
  steps.push(await startDns(admin, plan.standby));
  await applyManifests(admin, services(plan));
  startKubeProxies({ nodes, binary: others.binaries["kube-proxy"], kubeconfig, mode: "nftables", directory });
  const args = [
    "--host",
    plan.cloud,
    "--port",
    "0",
    "--vip-cidr",
    plan.vipRange,
    "--backend-cidr",
    nodes.range,
    "--profile",
    profile,
    "--json",
    "--exit-with-parent",
  ];
  const cloud = startProcess({ name: "cloud", script: "test/cloud/main.ts", args, env: {}, logFile: join(directory, "cloud.log") });
  steps.push(() => cloud.stop());
  setPriority(cloud.pid, FIRST);
  const { version } = cluster;
  return { admin, kubeconfig, version, plan, range: nodes.range, nodes: nodes.nodes, cloud: await firstJson(cloud), key: TEST_KEY };
}

const DNS_ADDRESS = "10.96.0.10"; // as the kubelet is told (configuration.ts)

/** The API server tells no address of its own here (flags.ts), and DNS is a process beside the nodes. */
function services(plan: AddressPlan): readonly Manifest[] {
  const slice = (namespace: string, service: string, address: string, port: object): Manifest => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: service, namespace, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports: [port],
  });
  const ports = [{ name: "dns", port: 53, protocol: "UDP" }];
  return [
    slice("default", "kubernetes", plan.apiServer, { name: "https", port: PORTS.api, protocol: "TCP" }),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "kube-dns", namespace: "kube-system" },
      spec: { clusterIP: DNS_ADDRESS, ports },
    },
    slice("kube-system", "kube-dns", plan.standby, { name: "dns", port: 53, protocol: "UDP" }),
  ];
}
