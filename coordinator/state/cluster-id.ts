import type { Clock } from "../../common/clock.ts";
import { isCancelled } from "../../common/errors.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { clusterIdOf } from "../../common/names.ts";

/** Retry while the cluster cannot be asked for its identity. */
const RETRY_MS = 1_000;

/** First 8 hex digits of the UID of Namespace kube-system; asks until the API server answers. Rejects with the signal's reason only. */
export async function readClusterId(
  { client, clock, log }: { readonly client: Pick<KubeClient, "get" | "server">; readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<string> {
  for (;;) {
    try {
      const namespace = await client.get<{ metadata: { uid: string } }>("/api/v1/namespaces/kube-system", { signal });
      return clusterIdOf(namespace.metadata.uid);
    } catch (err) {
      if (isCancelled(err, signal)) throw err;
      const { server } = client;
      log.warn({ err, server }, "the cluster's identity (UID of Namespace kube-system) could not be read, trying again");
      await clock.sleep(RETRY_MS, signal);
    }
  }
}
