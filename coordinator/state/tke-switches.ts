import * as z from "zod";
import { type ListWatchDeps, makeListWatch } from "../../common/kubernetes/list-watch.ts";

const NAME = "tke-service-controller-config";
const ConfigMap = z.object({
  metadata: z.object({ uid: z.string(), resourceVersion: z.string() }),
  data: z.record(z.string(), z.string()).nullish(),
});
type Record = { readonly uid: string; readonly resourceVersion: string; readonly isDefault: boolean };

function decode(raw: unknown): Record {
  const { metadata, data } = ConfigMap.parse(raw);
  return { uid: metadata.uid, resourceVersion: metadata.resourceVersion, isDefault: data?.["EnableDefaultDirectAccess"] === "true" };
}

/**
 * What the cluster's ConfigMap kube-system/tke-service-controller-config says of objects that are addressed to us. Nobody waits for it: until
 * it is read, and where it cannot be read, nothing is on. Source: tke-contract.md §4.
 */
export interface TkeSwitches {
  /** `EnableDefaultDirectAccess` is "true": who says nothing of direct access wants it. */
  readonly directByDefault: boolean;
  /** Called after it has changed; must not throw. Returns the way to unsubscribe. */
  follow(follower: () => void): () => void;
  run(signal: AbortSignal): Promise<void>;
}

export function makeTkeSwitches(deps: ListWatchDeps): TkeSwitches {
  const followers = new Set<() => void>();
  let directByDefault = false;
  const set = makeListWatch<Record>(deps, {
    path: "/api/v1/namespaces/kube-system/configmaps",
    query: { fieldSelector: `metadata.name=${NAME}` },
    decode,
    onChange: ({ kind, record }) => {
      const before = directByDefault;
      directByDefault = kind !== "removed" && record.isDefault;
      if (directByDefault !== before) for (const follower of followers) follower();
    },
  });
  return {
    get directByDefault() {
      return directByDefault;
    },
    follow: (follower) => {
      followers.add(follower);
      return () => void followers.delete(follower);
    },
    run: (signal) => set.run(signal),
  };
}
