/** How the simulated cluster reads the API: through the same client and the same watch as the product. */
import type { Clock } from "../../../common/clock.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { makeListWatch, type Watched } from "../../../common/kubernetes/list-watch.ts";
import type { KubeClient, Query } from "../../../common/kubernetes/requests.ts";
import type { Logger } from "../../../common/log.ts";
import type { Metadata } from "./objects.ts";

export type Cluster = { readonly client: KubeClient; readonly clock: Clock; readonly log: Logger };

export type Watch = { readonly synced: Promise<void>; readonly stop: () => Promise<void> };

type Held<T> = Watched & { readonly object: T };
type HasMetadata = { readonly metadata: Metadata };

/** Objects per page; one page holds all Pods of a demo. */
const PAGE = 500;

/** All objects of a list, read consistently (no resourceVersion), e.g. listAll(client, "/api/v1/pods"). */
export async function listAll<T>(client: KubeClient, path: string, query: Query = {}): Promise<readonly T[]> {
  const items: T[] = [];
  for (let next: string | undefined; ; ) {
    const page = await client.list<T>(path, { ...query, limit: PAGE, ...(next === undefined ? {} : { continue: next }) });
    items.push(...page.items);
    next = page.continue;
    if (next === undefined || next === "") return items;
  }
}

/** Calls `changed` with each object's newest version and `gone` with its last one, until stopped; both must not throw. */
export function watchAll<T extends HasMetadata>(
  cluster: Cluster,
  path: string,
  query: Query,
  on: { readonly changed: (object: T) => void; readonly gone: (object: T) => void },
): Watch {
  const over = new AbortController();
  const synced = Promise.withResolvers<void>();
  const set = makeListWatch<Held<T>>(cluster, {
    path,
    query,
    decode: (raw) => {
      const object = raw as T; // the API server's own form; what of it is read is in objects.ts
      return { uid: object.metadata.uid, resourceVersion: object.metadata.resourceVersion ?? "0", object };
    },
    onChange: ({ kind, record }) => (kind === "removed" ? on.gone(record.object) : on.changed(record.object)),
    onSynced: synced.resolve,
  });
  const run = set.run(over.signal).finally(synced.resolve);
  return {
    synced: synced.promise,
    stop: () => {
      over.abort();
      return run;
    },
  };
}

/** True if the API answered with one of these HTTP status codes. */
export const answered = (error: unknown, ...codes: readonly number[]): boolean =>
  error instanceof KubeApiError && error.code !== undefined && codes.includes(error.code);

/** E.g. "/api/v1/namespaces/demo/pods/web-1/status". */
export function pathOf(
  kind: "pods" | "replicasets" | "deployments",
  { namespace = "default", name }: Metadata,
  subresource?: string,
): string {
  const root = kind === "pods" ? "/api/v1" : "/apis/apps/v1";
  return `${root}/namespaces/${namespace}/${kind}/${name}${subresource === undefined ? "" : `/${subresource}`}`;
}
