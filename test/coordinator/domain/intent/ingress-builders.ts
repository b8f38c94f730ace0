/** An Ingress and what it leads to, valid by default. */
import type { IngressRecord } from "../../../../coordinator/domain/intent/ingress-record.ts";
import type { ServiceRecord } from "../../../../coordinator/domain/intent/service.ts";
import { aService } from "../../../builders.ts";

const INGRESS_UID = "1a2b3c4d-0000-0000-0000-000000000001";
const ACCESS = { "ingress.cloud.tencent.com/direct-access": "true" };

type Path = readonly [path: string, service: string, port?: number | string, pathType?: string];

/** E.g. rule("shop.example.com", ["/", "shop"], ["/cart", "cart", "http"]); port 80 and type Prefix unless told otherwise. */
export const rule = (host: string, ...paths: readonly Path[]): IngressRecord["rules"][number] => ({
  host,
  paths: paths.map(([path, service, port = 80, pathType = "Prefix"]) => ({ path, pathType, backend: { service, port } })),
});

export const anIngress = ({ annotations = {}, ...change }: Partial<IngressRecord> = {}): IngressRecord => ({
  kind: "Ingress",
  uid: INGRESS_UID,
  resourceVersion: "1",
  namespace: "demo",
  name: "shop",
  createdAt: "2026-01-02T03:04:05Z",
  annotations: { ...ACCESS, ...annotations },
  finalizers: [],
  deleting: false,
  ingress: [],
  ipModes: [],
  generation: 1,
  ready: undefined,
  className: "qcloud",
  rules: [rule("shop.example.com", ["/", "shop"])],
  defaultBackend: undefined,
  tls: [],
  ...change,
});

/** Services "shop" and "cart" with a port 80 named http, "named" with a named target port. */
export const services = (name: string): ServiceRecord | undefined => {
  const ports = [{ name: "http", protocol: "TCP", port: 80, targetPort: name === "named" ? "web" : 8080 }];
  if (name === "bare") return aService({ name, type: "ClusterIP", annotations: {}, selector: {}, ports });
  if (!["shop", "cart", "named"].includes(name)) return undefined;
  return aService({ name, uid: name, type: "ClusterIP", annotations: {}, selector: { app: name }, ports });
};
