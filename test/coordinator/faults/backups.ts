/** A backup of what an API server keeps, and its restore: versions go back, and whoever watches lists anew. */
import type { Change } from "../../../common/kubernetes/list-watch.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { ServiceRecord } from "../../../coordinator/domain/intent/service.ts";

/** A Pod's life on the clock; `endingMs`: its deletion was asked for. */
export type Life = { readonly uid: string; readonly app: string; readonly ip: string; readonly bornMs: number; endingMs: number };
/** `how` a Pod that is no more was missed: its deletion was told (the default), or a list lacks it. */
export type PodListener = (uid: string, pod: PodFact | undefined, how?: "deleted" | "absent") => void;

type Kept = {
  readonly pods: Map<string, PodFact>;
  readonly services: Map<string, ServiceRecord>;
  readonly lives: Life[];
  /** Saves the ConfigMaps; the result puts them back. */
  readonly records: { readonly backup: () => () => void };
  readonly podChanged: PodListener;
  readonly serviceChanged: (change: Change<ServiceRecord>) => void;
  readonly nowMs: () => number;
};

/** Saves what is stored now; the result puts it back. Pods that it does not have are stopped by their nodes, others live on or again. */
export function backupOf({ pods, services, lives, records, podChanged, serviceChanged, nowMs }: Kept): () => void {
  const [savedPods, savedServices, restoreRecords] = [new Map(pods), new Map(services), records.backup()];
  return () => {
    const [former, known] = [new Map(pods), new Map(services)];
    restoreRecords();
    pods.clear();
    services.clear();
    for (const [uid, pod] of savedPods) {
      pods.set(uid, pod);
      const life = lives.findLast((one) => one.uid === uid);
      if (life !== undefined && life.endingMs <= nowMs()) lives.push({ ...life, bornMs: nowMs(), endingMs: Number.POSITIVE_INFINITY });
    }
    for (const [uid, record] of savedServices) services.set(uid, record);
    for (const [uid, pod] of pods) if (former.get(uid)?.resourceVersion !== pod.resourceVersion) podChanged(uid, pod);
    for (const uid of former.keys()) {
      if (pods.has(uid)) continue;
      for (const life of lives) if (life.uid === uid) life.endingMs = nowMs();
      podChanged(uid, undefined, "absent");
    }
    for (const [uid, record] of services) {
      const kind = known.has(uid) ? "changed" : "added";
      if (known.get(uid)?.resourceVersion !== record.resourceVersion) serviceChanged({ kind, record });
    }
  };
}
