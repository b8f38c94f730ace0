/** The example's manifests as flow tests change them, and changes to what is applied. */
import { DIRECT_ACCESS, EXISTING_LOAD_BALANCER, SERVICE_CONFIG } from "../../common/names.ts";
import type { Manifest } from "../cluster/manifests.ts";
import type { Container } from "../cluster/simulated/objects.ts";
import { until, type World } from "./world.ts";

export type ExampleChange = {
  readonly replicas: number;
  /** Ports that every Pod declares and serves. Default: http 8080. */
  readonly ports?: Container["ports"];
  /** preStop sleep; it has to outlast the weight's change and the client's kept connections (3 s). Default 6; "none": no hook at all. */
  readonly sleepSeconds?: number | "none";
  /** So long its containers take to end once they refuse connections; default: they end at once. */
  readonly stoppingSeconds?: number;
  /** Added to the Service's annotations. */
  readonly annotations?: Readonly<Record<string, string>>;
};

type DeploymentSpec = { readonly template: { readonly spec: { readonly containers: readonly Container[] } } };

/** A smaller and quicker example: so many Pods that are ready half a second after their start. */
export const changedExample =
  (change: ExampleChange) =>
  (manifest: Manifest): Manifest => {
    if (manifest.kind === "Deployment") return changedDeployment(manifest, change);
    if (manifest.kind !== "Service" || change.annotations === undefined) return manifest;
    const annotations = manifest.metadata["annotations"] as Record<string, string>; // the example has some
    return { ...manifest, metadata: { ...manifest.metadata, annotations: { ...annotations, ...change.annotations } } };
  };

function changedDeployment(manifest: Manifest, { replicas, ports, sleepSeconds = 6, stoppingSeconds = 0 }: ExampleChange): Manifest {
  const spec = manifest["spec"] as DeploymentSpec; // the example's own
  const { template } = spec;
  const containers = template.spec.containers.map((container) => ({
    ...container,
    ...(ports && { ports }),
    env: [
      { name: "STARTUP_SECONDS", value: "0.5" },
      { name: "STOPPING_SECONDS", value: String(stoppingSeconds) },
    ],
    lifecycle: sleepSeconds === "none" ? undefined : { preStop: { sleep: { seconds: sleepSeconds } } },
  }));
  return { ...manifest, spec: { ...spec, replicas, template: { ...template, spec: { ...template.spec, containers } } } };
}

const DEPLOYMENT = "/apis/apps/v1/namespaces/demo/deployments/web";
export const SERVICE = "/api/v1/namespaces/demo/services/web";

export const scaleTo = async (world: World, replicas: number): Promise<void> => {
  await world.client.patch(DEPLOYMENT, { spec: { replicas } }, "merge");
};

/** A new template: every Pod is replaced. */
export const rollOut = async (world: World, version: string): Promise<void> => {
  await world.client.patch(DEPLOYMENT, { spec: { template: { metadata: { annotations: { version } } } } }, "merge");
};

/** The example's TkeServiceConfig for other ports: two checks, 2 s apart, instead of the cloud's three, 5 s apart. */
export async function checkQuickly(world: World, ports: readonly number[]): Promise<void> {
  const healthCheck = { enable: true, intervalTime: 2, healthNum: 2, unHealthNum: 2 };
  const l4Listeners = ports.map((port) => ({ protocol: "TCP", port, healthCheck }));
  const path = "/apis/cloud.tencent.com/v1alpha1/namespaces/demo/tkeserviceconfigs/web-clb";
  await world.client.patch(path, { spec: { loadBalancer: { l4Listeners } } }, "merge");
}

/** A Service in front of the example's Pods on a load balancer that exists already, checked as the example's TkeServiceConfig says. */
export const serviceOn = (name: string, loadBalancerId: string, port: number): Manifest => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: {
    name,
    namespace: "demo",
    annotations: {
      [DIRECT_ACCESS]: "true",
      [EXISTING_LOAD_BALANCER]: loadBalancerId,
      [SERVICE_CONFIG]: "web-clb",
    },
  },
  spec: {
    type: "LoadBalancer",
    allocateLoadBalancerNodePorts: false,
    selector: { app: "web" },
    ports: [{ name: "http", protocol: "TCP", port, targetPort: "http" }],
  },
});

/** A listener that a person made: its id. Resolves when the load balancer takes writes again. */
export async function foreignListener({ cloud: { cloud } }: World, loadBalancerId: string, port: number): Promise<string> {
  await cloud.call("clb", "CreateListener", { LoadBalancerId: loadBalancerId, Ports: [port], Protocol: "TCP", ListenerNames: ["theirs"] });
  return await until("the foreign listener is there", () => {
    const found = cloud.state().loadBalancers.find(({ id }) => id === loadBalancerId);
    return found?.lock === null && found.listeners.find((listener) => listener.port === port)?.id;
  });
}
