import * as z from "zod";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { type ListWatchDeps, makeListWatch } from "../../common/kubernetes/list-watch.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { ACCESS_CONFIG_MAP } from "../../common/names.ts";
import type { AccessReading } from "../domain/intent/access-rules.ts";
import { parsedJson } from "../domain/intent/annotations.ts";

const Rule = z.strictObject({
  namespaces: z.array(z.string()).default([]),
  namespaceLabels: z.record(z.string(), z.string()).default({}),
  existing: z.array(z.string()).default([]),
  existingTags: z.record(z.string(), z.string()).default({}),
  create: z.array(z.enum(["public", "private"])).default([]),
  most: z.number().int().min(0).optional(),
});

/** Pure: `text` is a JSON list of rules; undefined or empty: there are none. */
export function readAccessRules(text: string | undefined): AccessReading {
  if (text === undefined || text.trim() === "") return { rules: undefined };
  const { success, data, error } = z.array(Rule).safeParse(parsedJson(text));
  if (success) return { rules: data.length === 0 ? undefined : data };
  const [issue] = error.issues;
  return { rules: [], fault: `rules${issue?.path.map((part) => `[${String(part)}]`).join("") ?? ""}: ${issue?.message ?? "no JSON list"}` };
}

const ConfigMap = z.object({
  metadata: z.object({ uid: z.string(), resourceVersion: z.string() }),
  data: z.record(z.string(), z.string()).nullish(),
});
type Rules = { readonly uid: string; readonly resourceVersion: string; readonly reading: AccessReading };

function decode(raw: unknown): Rules {
  const { metadata, data } = ConfigMap.parse(raw);
  return { uid: metadata.uid, resourceVersion: metadata.resourceVersion, reading: readAccessRules(data?.["rules"]) };
}

/** Who may use which load balancer, as a person has written it in our Namespace. */
export interface Access {
  /** It has been read once. */
  readonly synced: boolean;
  readonly reading: AccessReading;
  /** Of a Namespace; empty where there is none of that name. */
  labelsOf(namespace: string, signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
  run(signal: AbortSignal): Promise<void>;
}

/** `namespace` is ours; undefined: nobody restricts anything. */
export function makeAccess(
  deps: ListWatchDeps & { readonly client: Pick<KubeClient, "get"> },
  namespace: string | undefined,
  onChange: () => void,
): Access {
  if (namespace === undefined) return OPEN_ACCESS;
  const set = makeListWatch<Rules>(deps, {
    path: kubePath`/api/v1/namespaces/${namespace}/configmaps`,
    query: { fieldSelector: `metadata.name=${ACCESS_CONFIG_MAP}` },
    decode,
    onChange: () => onChange(),
  });
  return {
    get synced() {
      return set.synced;
    },
    get reading() {
      const [rules] = set.records.values();
      return rules?.reading ?? { rules: undefined };
    },
    labelsOf: async (name, signal) => {
      try {
        const { metadata } = await deps.client.get<{ metadata?: { labels?: Record<string, string> } }>(
          kubePath`/api/v1/namespaces/${name}`,
          {
            signal,
          },
        );
        return metadata?.labels ?? {};
      } catch (err) {
        if (err instanceof KubeApiError && err.failure === "notFound") return {};
        throw err;
      }
    },
    run: (signal) => set.run(signal),
  };
}

/** Everything is allowed to everybody. */
export const OPEN_ACCESS: Access = {
  synced: true,
  reading: { rules: undefined },
  labelsOf: () => Promise.resolve({}),
  run: () => Promise.resolve(),
};
