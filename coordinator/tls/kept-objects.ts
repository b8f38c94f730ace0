import * as z from "zod";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { FIELD_MANAGER } from "../../common/names.ts";

type Resource = "secrets" | "configmaps";
type Data = Readonly<Record<string, string>>;

/** A Secret or ConfigMap as it was found: its text by key; `resourceVersion` undefined where there is none. */
export type Found = {
  readonly resource: Resource;
  readonly name: string;
  readonly data: Data;
  readonly resourceVersion: string | undefined;
};

const Stored = z.object({
  metadata: z.object({ uid: z.string(), resourceVersion: z.string() }),
  data: z.record(z.string(), z.string()).nullish(),
});

/** Secrets and ConfigMaps of one Namespace, as text by key. All calls reject with KubeApiError. */
export function makeKeptObjects(kube: Pick<KubeClient, "get" | "create" | "patch">, namespace: string) {
  const pathOf = (resource: Resource): string => kubePath`/api/v1/namespaces/${namespace}/${resource}`;
  const pathTo = (resource: Resource, name: string): string => kubePath`/api/v1/namespaces/${namespace}/${resource}/${name}`;
  return {
    /** For a list-watch that only says when to read again. */
    decode: (raw: unknown): { uid: string; resourceVersion: string } => Stored.parse(raw).metadata,

    async read(resource: Resource, name: string, signal: AbortSignal): Promise<Found> {
      try {
        const { metadata, data } = Stored.parse(await kube.get(pathTo(resource, name), { signal }));
        return { resource, name, data: decodeData(resource, data ?? {}), resourceVersion: metadata.resourceVersion };
      } catch (error) {
        if (error instanceof KubeApiError && error.failure === "notFound") return { resource, name, data: {}, resourceVersion: undefined };
        throw error;
      }
    },

    /** Based on what was found: a conflict (failure "conflict") when somebody else wrote since. Other keys stay. */
    async write(found: Found, data: Data, signal: AbortSignal): Promise<void> {
      const { resource, name, resourceVersion } = found;
      const body = {
        apiVersion: "v1",
        kind: resource === "secrets" ? "Secret" : "ConfigMap",
        metadata: { name, namespace, ...(resourceVersion !== undefined && { resourceVersion }) },
        data: encodeData(resource, data),
      };
      const query = { fieldManager: FIELD_MANAGER };
      // Not server-side apply: two replicas are one field manager, so that the second one would win instead of being refused.
      if (resourceVersion === undefined) await kube.create(pathOf(resource), body, { query, signal });
      else await kube.patch(pathTo(resource, name), body, "merge", { query, signal });
    },
  };
}

const convert = (data: Data, change: (text: string) => string): Data =>
  Object.fromEntries(Object.entries(data).map(([key, text]) => [key, change(text)]));
const decodeData = (resource: Resource, data: Data): Data =>
  resource === "secrets" ? convert(data, (text) => Buffer.from(text, "base64").toString("utf8")) : data;
const encodeData = (resource: Resource, data: Data): Data =>
  resource === "secrets" ? convert(data, (text) => Buffer.from(text).toString("base64")) : data;
