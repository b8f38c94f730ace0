/** A tiny scheduler: each Pod without a node goes to the fitting one that has the fewest, by the binding subresource. */
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { answered, type Cluster, listAll, pathOf, watchAll } from "./cluster.ts";
import { makeLoop } from "./loop.ts";
import { isActive, isTrue, type Node, type Pod } from "./objects.ts";

export type Placement = { readonly pod: Pod; readonly nodeName: string };

/** Pure. Ties go to the first name, so an even cluster is filled in turn. Pods that fit nowhere wait. */
export function planPlacements(pods: readonly Pod[], nodes: readonly Node[]): readonly Placement[] {
  const load = new Map(nodes.filter(isOpen).map((node) => [node.metadata.name, 0]));
  for (const { spec } of pods.filter(isActive)) if (spec.nodeName !== undefined && load.has(spec.nodeName)) add(load, spec.nodeName);
  return pods.filter(isWaiting).flatMap((pod) => {
    const fitting = nodes.map(({ metadata }) => metadata).filter(({ name, labels }) => load.has(name) && fits(pod, labels ?? {}));
    const [best] = fitting.sort((a, b) => (load.get(a.name) ?? 0) - (load.get(b.name) ?? 0) || (a.name < b.name ? -1 : 1));
    if (best === undefined) return [];
    add(load, best.name);
    return [{ pod, nodeName: best.name }];
  });
}

const add = (load: Map<string, number>, name: string): void => void load.set(name, (load.get(name) ?? 0) + 1);

const isWaiting = ({ metadata, spec }: Pod): boolean =>
  spec.nodeName === undefined &&
  metadata.deletionTimestamp === undefined &&
  (spec.schedulerName ?? "default-scheduler") === "default-scheduler";

const isOpen = ({ metadata, spec, status }: Node): boolean =>
  metadata.deletionTimestamp === undefined && spec?.unschedulable !== true && isTrue(status?.conditions, "Ready");

const fits = ({ spec }: Pod, labels: Readonly<Record<string, string>>): boolean =>
  Object.entries(spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value);

export async function startScheduler(cluster: Cluster): Promise<{ stop: () => Promise<void> }> {
  const { client, log } = cluster;
  const loop = makeLoop(
    "scheduler",
    async () => {
      const [pods, nodes] = await Promise.all([listAll<Pod>(client, "/api/v1/pods"), listAll<Node>(client, "/api/v1/nodes")]);
      await Promise.all(planPlacements(pods, nodes).map((placement) => bind(client, placement)));
      return undefined;
    },
    log,
  );
  const on = { changed: loop.trigger, gone: loop.trigger };
  const watches = [
    watchAll<Pod>(cluster, "/api/v1/pods", { fieldSelector: "spec.nodeName=" }, on),
    watchAll<Node>(cluster, "/api/v1/nodes", {}, on),
  ];
  await Promise.all(watches.map(({ synced }) => synced));
  return { stop: async () => void (await Promise.all([...watches.map((watch) => watch.stop()), loop.stop()])) };
}

async function bind(client: KubeClient, { pod, nodeName }: Placement): Promise<void> {
  const { namespace = "default", name, uid } = pod.metadata;
  const binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name, namespace, uid },
    target: { apiVersion: "v1", kind: "Node", name: nodeName },
  };
  try {
    await client.create(pathOf("pods", pod.metadata, "binding"), binding);
  } catch (error) {
    if (!answered(error, 404, 409)) throw error; // gone, or bound by somebody else
  }
}
