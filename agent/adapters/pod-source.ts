import type { Clock } from "../../common/clock.ts";
import type { Change, ListWatchDeps, WatchedSet } from "../../common/kubernetes/list-watch.ts";
import { makeNodePods } from "../../common/kubernetes/node-pods.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { PodSource } from "../ports.ts";

/** As whom the Pods are read: "node" is confined to this node's Pods by the API server (kubernetes.md §5), "self" reads with the agent's own rights. */
export type Identity = "node" | "self";

export type PodSourceDeps = {
  readonly clients: Readonly<Record<Identity, Pick<KubeClient, "list" | "watch">>>;
  readonly nodeName: string;
  readonly gateType: string;
  readonly onChange: (change: Change<PodFact>) => void;
  /** A complete list came, perhaps for the first time. */
  readonly onSynced: () => void;
  readonly onRelist: () => void;
  readonly onRestart: NonNullable<ListWatchDeps["onRestart"]>;
  readonly clock: Clock;
  readonly log: Logger;
};

export interface RunningPodSource extends PodSource {
  /** Until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Both ways were refused: rights come with the chart, perhaps a moment after the agent. */
const BOTH_DENIED_MS = 5_000;

/** The Pods of this node, read as the node itself where the cluster allows that (Kubernetes 1.36 and newer), else with the agent's own rights. */
export function makePodSource(deps: PodSourceDeps): RunningPodSource {
  const { clock, log } = deps;
  const createdAtMs = clock.now();
  let current: WatchedSet<PodFact> | undefined;
  let next: WatchedSet<PodFact> | undefined;
  let told = false;

  /** Resolves true when it was refused, false when the signal aborted. */
  const readAs = async (identity: Identity, signal: AbortSignal): Promise<boolean> => {
    const denied = new AbortController();
    const stop = (): void => denied.abort();
    signal.addEventListener("abort", stop, { once: true });
    const set = makeNodePods(
      { client: deps.clients[identity], clock, log, onRelist: deps.onRelist, onRestart: deps.onRestart },
      {
        nodeName: deps.nodeName,
        gateType: deps.gateType,
        withHolds: true,
        onChange: (change) => {
          if (!denied.signal.aborted) deps.onChange(change);
        },
        onSynced: () => {
          current = set; // until now the earlier set, if any, was the better knowledge
          deps.onSynced();
        },
        onDenied: stop,
      },
    );
    next = set;
    await set.run(denied.signal);
    signal.removeEventListener("abort", stop);
    return !signal.aborted;
  };

  return {
    get synced() {
      return current !== undefined;
    },
    get records() {
      return current?.records ?? new Map();
    },
    get lastByteAtMs() {
      return Math.max(createdAtMs, current?.lastByteAtMs ?? 0, next?.lastByteAtMs ?? 0);
    },
    async run(signal) {
      while (!signal.aborted) {
        if (!(await readAs("node", signal))) return;
        if (!told)
          log.info({ node: deps.nodeName }, "not allowed to read Pods as this node (Kubernetes before 1.36?), reading with own rights");
        told = true;
        if (!(await readAs("self", signal))) return;
        log.warn(
          { node: deps.nodeName, waitMs: BOTH_DENIED_MS },
          "not allowed to list and watch Pods: grant the agent's ServiceAccount the chart's ClusterRole",
        );
        await clock.sleep(BOTH_DENIED_MS, signal).catch(() => undefined);
      }
    },
  };
}
