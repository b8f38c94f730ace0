/** Pods that are held, on real nodes: made as the webhook would make them, and what their hold servers wrote of them. */
import { readFile } from "node:fs/promises";
import { DEFAULT_GATE_TYPE, DRAIN, HOLD_PORT, HOLD_TOKEN } from "../../../../common/names.ts";
import { type HoldLine, holdLines } from "../../held-log.ts";
import { applyManifests, exampleFile, loadManifests, type Manifest } from "../../manifests.ts";
import { until } from "../../process.ts";
import { isReady, type Pod } from "../../simulated/objects.ts";
import type { TestProduct } from "./test-product.ts";
import { makeNamespace } from "./testing.ts";

type Running = Pick<TestProduct, "started" | "product">;

export const PODS = "/api/v1/namespaces/demo/pods";
/** Of all Pods of a test: the address tells them apart. */
const TOKEN = "Ab0Cd1Ef2Gh3Ij4Kl5Mn6O";

/**
 * Namespace demo with the example's Service, and an agent with a hold server on each node; resolves when new Pods are held there: until
 * then the webhook takes the hook for one that was copied from elsewhere, and gives another one.
 */
export async function startAgents({ started: { admin, nodes }, product }: Running): Promise<void> {
  await Promise.all(nodes.nodes.map(({ name }) => product.startAgent(name)));
  await makeNamespace(admin, "demo");
  const service = (await loadManifests(exampleFile("web.yaml"))).filter(({ kind }) => kind !== "Deployment" && kind !== "Namespace");
  await applyManifests(admin, service);
  for (const { name } of nodes.nodes) {
    // Nobody asks before: what the webhook chooses lasts for ten minutes.
    const hasProven = async (): Promise<boolean> => /"proven":true/.test(await readFile(product.hold(name)?.logFile ?? "", "utf8"));
    await until(`the hold server of ${name} has proven its rule`, hasProven, 60_000, 100);
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { generateName: "ask-", namespace: "demo", labels: { app: "web" } },
      spec: { nodeName: name, containers: [{ name: "web", image: "registry.example.com/web:1" }] },
    };
    const isHeld = async (): Promise<boolean> =>
      (await admin.create<Pod>(PODS, pod, { query: { dryRun: "All" } })).metadata.annotations?.[DRAIN] === "hold";
    await until(`new Pods on ${name} are held`, isHeld, 30_000, 250);
  }
}

type DeployOptions = { readonly node?: string; readonly grace?: number; readonly livenessProbe?: object; readonly readyMs?: number };

export function heldPods({ started, product }: Running) {
  /** Pods of the Service, with the hook that the webhook gives, all on one node; resolves when they serve behind the load balancer. */
  const deploy = async (
    name: string,
    replicas: number,
    { node = "node-a", grace = 30, livenessProbe, readyMs = 90_000 }: DeployOptions = {},
  ): Promise<readonly Pod[]> => {
    const preStop = { httpGet: { path: `/hold/${TOKEN}`, port: HOLD_PORT } };
    const container = {
      name: "web",
      image: "registry.example.com/web:1",
      imagePullPolicy: "Never",
      ports: [{ name: "http", containerPort: 8080 }],
      env: [{ name: "STARTUP_SECONDS", value: "0" }],
      readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
      lifecycle: { preStop },
      ...(livenessProbe && { livenessProbe }),
    };
    const readinessGates = [{ conditionType: DEFAULT_GATE_TYPE }];
    const spec = { nodeName: node, terminationGracePeriodSeconds: grace, readinessGates, containers: [container] };
    const pods = Array.from({ length: replicas }, (_, index): Manifest => {
      const metadata = {
        name: `${name}-${index}`,
        namespace: "demo",
        labels: { app: "web", test: name },
        annotations: { [HOLD_TOKEN]: TOKEN },
      };
      return { apiVersion: "v1", kind: "Pod", metadata, spec };
    });
    await applyManifests(started.admin, pods);
    return await until(
      `the Pods of ${name} are ready`,
      async () => {
        const { items } = await started.admin.list<Pod>(PODS, { labelSelector: `test=${name}` });
        return items.length === replicas && items.every(isReady) && items;
      },
      readyMs,
      250,
    );
  };
  /** What the hold servers of a node wrote of those Pods. */
  const written = async (node: string, pods: readonly Pod[], what: Parameters<typeof holdLines>[1]): Promise<readonly HoldLine[]> => {
    const names = new Set(pods.map(({ metadata }) => `demo/${metadata.name}`));
    const all = await holdLines(product.hold(node)?.logFile ?? "", what);
    return all.filter(({ pod }) => pod !== undefined && names.has(pod));
  };
  const ends = (node: string, pods: readonly Pod[]): Promise<readonly HoldLine[]> => written(node, pods, "hold ends");
  /** How many of them have been called for. */
  const begun = async (node: string, pods: readonly Pod[]): Promise<number> => (await written(node, pods, "hold begins")).length;
  const untilGone = (name: string, limitMs = 120_000): Promise<unknown> =>
    until(
      `the Pods of ${name} are gone`,
      async () => (await started.admin.list<Pod>(PODS, { labelSelector: `test=${name}` })).items.length === 0,
      limitMs,
      100,
    );
  const remove = (pods: readonly Pod[], options = {}): Promise<unknown> =>
    Promise.all(pods.map(({ metadata }) => started.admin.delete(`${PODS}/${metadata.name}`, options)));
  return { deploy, begun, ends, untilGone, remove };
}
