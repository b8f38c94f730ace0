import * as z from "zod";
import { RECORD_LABEL } from "../../common/names.ts";

/** A ConfigMap as it is watched. */
export type Stored = {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly name: string;
  readonly clusterId: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, string>>;
};
const Texts = z.record(z.string(), z.string()).nullish();
/** As the API server gives it. */
export const ConfigMap = z.object({
  metadata: z.object({ uid: z.string(), resourceVersion: z.string(), name: z.string(), labels: Texts, annotations: Texts }),
  data: Texts,
});

/** Throws a ZodError where it is no ConfigMap. */
export function decodeStored(raw: unknown): Stored {
  const { metadata, data } = ConfigMap.parse(raw);
  const { uid, resourceVersion, name, labels, annotations } = metadata;
  return { uid, resourceVersion, name, clusterId: labels?.[RECORD_LABEL] ?? "", annotations: annotations ?? {}, data: data ?? {} };
}
