/**
 * Pod garbage collection: Pods of a Node whose object is gone end after a while (kubernetes.md §11). Objects whose owner is gone are
 * collected by the embedded API server, or by the real one's controller manager.
 */
import type { KubeClient } from "../../../common/kubernetes/requests.ts";
import { answered, type Cluster, listAll, pathOf, watchAll } from "./cluster.ts";
import { makeLoop } from "./loop.ts";
import { kubernetesTime, type Node, type Pod } from "./objects.ts";

/** How long a Node must be missing; a real cluster takes 50 to 60 s. */
const QUARANTINE_MS = 50_000;

export async function startPodCollector(cluster: Cluster, quarantineMs = QUARANTINE_MS): Promise<{ stop: () => Promise<void> }> {
  const { client, log } = cluster;
  const missingSince = new Map<string, number>();
  const dueAtMs = (name: string): number => (missingSince.get(name) ?? Date.now()) + quarantineMs;
  const loop = makeLoop(
    "garbage",
    async () => {
      const [pods, nodes] = await Promise.all([listAll<Pod>(client, "/api/v1/pods"), listAll<Node>(client, "/api/v1/nodes")]);
      const present = new Set(nodes.map(({ metadata }) => metadata.name));
      const stray = pods.filter(({ spec }) => spec.nodeName !== undefined && !present.has(spec.nodeName));
      const missing = new Set(stray.map(({ spec }) => spec.nodeName ?? ""));
      for (const name of missingSince.keys()) if (!missing.has(name)) missingSince.delete(name);
      for (const name of missing) if (!missingSince.has(name)) missingSince.set(name, Date.now());
      await Promise.all(stray.filter(({ spec }) => dueAtMs(spec.nodeName ?? "") <= Date.now()).map((pod) => end(client, pod)));
      const later = [...missing].map(dueAtMs).filter((time) => time > Date.now());
      return later.length === 0 ? undefined : Math.min(...later);
    },
    log,
  );
  const watch = watchAll<Node>(cluster, "/api/v1/nodes", {}, { changed: () => undefined, gone: loop.trigger });
  await watch.synced;
  loop.trigger(); // Nodes may have gone before we started
  return { stop: async () => void (await Promise.all([watch.stop(), loop.stop()])) };
}

async function end(client: KubeClient, { metadata }: Pod): Promise<void> {
  const condition = {
    type: "DisruptionTarget",
    status: "True",
    reason: "DeletionByPodGC",
    message: "PodGC: node no longer exists",
    lastTransitionTime: kubernetesTime(Date.now()),
  };
  try {
    const patch = { metadata: { uid: metadata.uid }, status: { phase: "Failed", conditions: [condition] } };
    await client.patch(pathOf("pods", metadata, "status"), patch, "strategic");
    await client.delete(pathOf("pods", metadata), { gracePeriodSeconds: 0, preconditions: { uid: metadata.uid } });
  } catch (error) {
    if (!answered(error, 404, 409, 422)) throw error; // gone already
  }
}
