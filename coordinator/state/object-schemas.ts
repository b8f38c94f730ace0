import * as z from "zod";

/** What every object of the API server has, as far as we read it. */
export const Metadata = z.object({
  uid: z.string(),
  resourceVersion: z.string(),
  generation: z.number().optional(),
  namespace: z.string().default(""),
  name: z.string(),
  creationTimestamp: z.string().default(""),
  deletionTimestamp: z.string().optional(),
  finalizers: z.array(z.string()).default([]),
  annotations: z.record(z.string(), z.string()).default({}),
});
/** One of the conditions of a Service, or of those that an Ingress has in an annotation. */
export const Condition = z.object({
  type: z.string(),
  status: z.string().default(""),
  reason: z.string().default(""),
  message: z.string().default(""),
  observedGeneration: z.number().optional(),
  lastTransitionTime: z.string().nullish(),
});
