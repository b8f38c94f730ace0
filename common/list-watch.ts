import type { Clock } from "./clock.ts";
import type { KubeClient, KubeFailure, Query } from "./kube-client.ts";
import type { Logger } from "./log.ts";

/** The least that a record carries; the rest is what `decode` keeps of an object. */
export type Watched = { readonly uid: string; readonly resourceVersion: string };

/**
 * `evidence`: a DELETED event was seen (or the object left a label selector, which looks the same), or the object was missing in a complete, consistent list.
 * A `removed` record is the final state where the server told it.
 */
export type Change<R> =
  | { readonly kind: "added" | "changed"; readonly record: R }
  | { readonly kind: "removed"; readonly record: R; readonly evidence: "deleted" | "absent" };

/** Why a watch or list was begun anew. A closed set, fit for a metric label. */
export type RestartCause = "closed" | "silent" | KubeFailure;

export interface WatchedSet<R> {
  /** True after the first complete list, and for ever. */
  readonly synced: boolean;
  /** By UID; never emptied by an error. */
  readonly records: ReadonlyMap<string, R>;
  /** When the last event, bookmark or page arrived, on the injected clock; creation time before the first. */
  readonly lastByteAtMs: number;
  /** Lists and watches until the signal aborts, then resolves; never rejects. Once per set. */
  run(signal: AbortSignal): Promise<void>;
}

export type ListWatchOptions<R extends Watched> = {
  /** e.g. "/api/v1/pods" */
  readonly path: string;
  /** Selectors, e.g. { fieldSelector: "spec.nodeName=node-a" }. */
  readonly query?: Query;
  /** The one form for listed and watched objects. undefined or a throw: not understood; logged once per UID, and the last good record stays. */
  readonly decode: (raw: unknown) => R | undefined;
  readonly onChange: (change: Change<R>) => void;
  /** Once, after onChange has told all of the first list. */
  readonly onSynced?: () => void;
  /** 403: once per row of refusals. Retried slowly meanwhile. */
  readonly onDenied?: () => void;
  /** Objects per page, default 500. */
  readonly pageSize?: number;
};

export type ListWatchDeps = {
  readonly client: Pick<KubeClient, "list" | "watch">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
  /** Metric hooks. */
  readonly onRelist?: () => void;
  readonly onRestart?: (cause: RestartCause) => void;
};

/** A list + watch of one resource that never stops silently (kubernetes.md §6). */
export function makeListWatch<R extends Watched>(deps: ListWatchDeps, options: ListWatchOptions<R>): WatchedSet<R> {
  return {
    synced: false,
    records: new Map(),
    lastByteAtMs: deps.clock.now(),
    run: () => Promise.reject(new Error(`not implemented yet: ${options.path}`)),
  };
}
