/** What a watch of the API server shows of the example's Pods, with the times at which it showed it. */
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { type Cluster, watchAll } from "../cluster/simulated/cluster.ts";
import type { Metadata } from "../cluster/simulated/objects.ts";

type ApiPod = {
  readonly metadata: Metadata & { readonly deletionTimestamp?: string };
  readonly status?: { readonly podIP?: string; readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
};

/** Milliseconds since the epoch; undefined while it has not been seen. */
export type PodTimes = {
  readonly name: string;
  readonly ip: string | undefined;
  readonly containersReadyMs: number | undefined;
  readonly gateTrueMs: number | undefined;
  readonly readyMs: number | undefined;
  readonly terminatingMs: number | undefined;
  readonly goneMs: number | undefined;
};

export type PodWatch = { readonly pods: ReadonlyMap<string, PodTimes>; readonly stop: () => Promise<void> };

export async function watchPods(cluster: Cluster, namespace: string): Promise<PodWatch> {
  const pods = new Map<string, PodTimes>();
  const note = (pod: ApiPod, goneMs: number | undefined): void => {
    const { name, uid, deletionTimestamp } = pod.metadata;
    const now = cluster.clock.now();
    const old = pods.get(uid);
    const is = (type: string): boolean =>
      pod.status?.conditions?.some((condition) => condition.type === type && condition.status === "True") === true;
    const since = (known: number | undefined, seen: boolean): number | undefined => known ?? (seen ? now : undefined);
    pods.set(uid, {
      name,
      ip: pod.status?.podIP ?? old?.ip,
      containersReadyMs: since(old?.containersReadyMs, is("ContainersReady")),
      gateTrueMs: since(old?.gateTrueMs, is(DEFAULT_GATE_TYPE)),
      readyMs: since(old?.readyMs, is("Ready")),
      terminatingMs: since(old?.terminatingMs, deletionTimestamp !== undefined),
      goneMs,
    });
  };
  const watch = watchAll<ApiPod>(
    cluster,
    `/api/v1/namespaces/${namespace}/pods`,
    {},
    {
      changed: (pod) => note(pod, undefined),
      gone: (pod) => note(pod, cluster.clock.now()),
    },
  );
  await watch.synced;
  return { pods, stop: watch.stop };
}
