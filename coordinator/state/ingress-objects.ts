import * as z from "zod";
import { INGRESS_CONDITIONS } from "../../common/names.ts";
import type { IngressBackend, IngressRecord } from "../domain/intent/ingress-record.ts";
import { READY_CONDITION } from "../domain/intent/ready-condition.ts";
import { isOfInterest } from "../domain/intent/service-annotations.ts";
import { Condition, Metadata } from "./object-schemas.ts";

const Backend = z.object({
  service: z
    .object({ name: z.string(), port: z.object({ name: z.string().optional(), number: z.number().optional() }).optional() })
    .nullish(),
});
const Ingress = z.object({
  metadata: Metadata,
  spec: z.object({
    ingressClassName: z.string().nullish(),
    defaultBackend: Backend.nullish(),
    tls: z.array(z.object({ hosts: z.array(z.string()).nullish(), secretName: z.string().nullish() })).nullish(),
    rules: z
      .array(
        z.object({
          host: z.string().nullish(),
          http: z
            .object({
              paths: z.array(z.object({ path: z.string().nullish(), pathType: z.string().nullish(), backend: Backend })).nullish(),
            })
            .nullish(),
        }),
      )
      .nullish(),
  }),
  status: z
    .object({
      loadBalancer: z
        .object({ ingress: z.array(z.object({ ip: z.string().optional(), hostname: z.string().optional() })).nullish() })
        .nullish(),
    })
    .nullish(),
});
const Told = z.array(Condition);

const backendOf = ({ service }: z.output<typeof Backend>): IngressBackend => ({
  service: service?.name,
  port: service?.port?.name ?? service?.port?.number ?? 0,
});

export function decodeIngress(raw: unknown): IngressRecord {
  const { metadata, spec, status } = Ingress.parse(raw);
  const annotations = Object.fromEntries(Object.entries(metadata.annotations).filter(([key]) => isOfInterest(key)));
  return {
    kind: "Ingress",
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    namespace: metadata.namespace,
    name: metadata.name,
    createdAt: metadata.creationTimestamp,
    annotations,
    finalizers: metadata.finalizers,
    deleting: metadata.deletionTimestamp !== undefined,
    ingress: (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) => ip ?? hostname ?? []),
    ipModes: [],
    generation: metadata.generation,
    ready: readyOf(annotations[INGRESS_CONDITIONS]),
    className: spec.ingressClassName ?? undefined,
    rules: (spec.rules ?? []).map(({ host, http }) => ({
      host: host ?? "",
      paths: http?.paths?.map(({ path, pathType, backend }) => ({
        path: path ?? "",
        pathType: pathType ?? "ImplementationSpecific",
        backend: backendOf(backend),
      })),
    })),
    defaultBackend: spec.defaultBackend ? backendOf(spec.defaultBackend) : undefined,
    tls: (spec.tls ?? []).map(({ hosts, secretName }) => ({ hosts: hosts ?? [], secretName: secretName ?? "" })),
  };
}

/** What the annotation of conditions says; undefined where it says nothing, or nothing that we understand. */
function readyOf(value: string | undefined): IngressRecord["ready"] {
  if (value === undefined) return undefined;
  try {
    const found = Told.parse(JSON.parse(value)).find(({ type }) => type === READY_CONDITION);
    if (found === undefined) return undefined;
    const { status, reason, message, observedGeneration, lastTransitionTime } = found;
    return { status, reason, message, observedGeneration, since: lastTransitionTime ?? "" };
  } catch {
    return undefined;
  }
}

/** An IngressClass: which controller it addresses, e.g. "clb-direct.io/ingress". */
export type IngressClassRecord = {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly name: string;
  readonly controller: string;
};
const Class = z.object({ metadata: Metadata, spec: z.object({ controller: z.string().default("") }).default({ controller: "" }) });

export function decodeIngressClass(raw: unknown): IngressClassRecord {
  const { metadata, spec } = Class.parse(raw);
  return { uid: metadata.uid, resourceVersion: metadata.resourceVersion, name: metadata.name, controller: spec.controller };
}
