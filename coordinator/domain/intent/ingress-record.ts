import type { ObjectRef } from "../problem.ts";
import type { ReadyCondition } from "./ready-condition.ts";

/** An Ingress as far as we read it. */
export type IngressRecord = {
  readonly kind: "Ingress";
  readonly uid: string;
  readonly resourceVersion: string;
  readonly namespace: string;
  readonly name: string;
  /** As the API server wrote it, e.g. "2026-01-02T03:04:05Z"; orders owners that share a load balancer. */
  readonly createdAt: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly finalizers: readonly string[];
  readonly deleting: boolean;
  /** Addresses in status.loadBalancer, "ip" or "hostname". */
  readonly ingress: readonly string[];
  /** Always empty: an Ingress has no modes of addresses. */
  readonly ipModes: readonly string[];
  readonly generation: number | undefined;
  /** What its annotation of conditions says; an Ingress has no field for them. */
  readonly ready: ReadyCondition | undefined;
  /** spec.ingressClassName. */
  readonly className: string | undefined;
  readonly rules: readonly IngressRule[];
  readonly defaultBackend: IngressBackend | undefined;
  /** "" as `secretName` where none is named. */
  readonly tls: readonly { readonly hosts: readonly string[]; readonly secretName: string }[];
};
/** `host` "" is the load balancer's address; `paths` undefined: it has no `http`. */
export type IngressRule = { readonly host: string; readonly paths: readonly IngressPath[] | undefined };
type IngressPath = { readonly path: string; readonly pathType: string; readonly backend: IngressBackend };
/** `service` undefined: it leads to an object that is no Service. `port`: number or name of a port of the Service. */
export type IngressBackend = { readonly service: string | undefined; readonly port: number | string };

export const ingressRef = ({
  namespace,
  name,
  uid,
}: Pick<IngressRecord, "namespace" | "name" | "uid">): ObjectRef & { readonly kind: "Ingress" } => ({
  kind: "Ingress",
  namespace,
  name,
  uid,
});

/** Names of the Services that the Ingress leads to. */
export function servicesOf({ rules, defaultBackend }: Pick<IngressRecord, "rules" | "defaultBackend">): ReadonlySet<string> {
  const backends = [...rules.flatMap(({ paths = [] }) => paths.map(({ backend }) => backend)), ...(defaultBackend ? [defaultBackend] : [])];
  return new Set(backends.flatMap(({ service }) => service ?? []));
}
