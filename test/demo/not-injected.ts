/** The example has its Deployment above its Service, as most files do: its first Pods are created before the webhook knows whom to give the gate. */

import { isGated } from "../cluster/injected.ts";
import { applyManifests, type Manifest } from "../cluster/manifests.ts";
import { until } from "../cluster/process.ts";
import type { Cluster } from "../cluster/simulated/cluster.ts";
import { NAMESPACE } from "./example.ts";

/** The coordinator waits 10 s before it tells: objects of one file come within seconds. */
const LIMIT_MS = 120_000;

type Event = { readonly reason: string; readonly message: string; readonly involvedObject: { readonly kind: string } };
type Pods = { readonly items: readonly unknown[] };

/** From top to bottom, and as slowly as by hand: the Pods of a Deployment are there before what follows it. */
export async function applyAsWritten({ client }: Pick<Cluster, "client">, manifests: readonly Manifest[], replicas: number): Promise<void> {
  for (const manifest of manifests) {
    await applyManifests(client, [manifest]);
    if (manifest.kind !== "Deployment") continue;
    const areThere = async (): Promise<boolean> =>
      (await client.get<Pods>(`/api/v1/namespaces/${NAMESPACE}/pods`)).items.length >= replicas;
    await until("the Deployment's Pods exist", areThere, LIMIT_MS);
  }
}

/** What Event PodsNotInjected of the Service says, once it is there; undefined: every Pod has the gate. */
export async function toldOfPods({ client }: Pick<Cluster, "client">): Promise<string | undefined> {
  const found = await until(
    "Event PodsNotInjected on the Service, or the gate on every Pod",
    async () => {
      const { items: pods } = await client.get<Pods>(`/api/v1/namespaces/${NAMESPACE}/pods`);
      if (pods.length > 0 && pods.every(isGated)) return { message: undefined };
      const { items: events } = await client.get<{ readonly items: readonly Event[] }>(`/api/v1/namespaces/${NAMESPACE}/events`);
      return events.find(({ reason, involvedObject: { kind } }) => reason === "PodsNotInjected" && kind === "Service");
    },
    LIMIT_MS,
    500,
  );
  return found.message;
}
