import type { ObjectRef } from "../problem.ts";
import { keysOf, type OwnerKeys } from "./annotation-keys.ts";
import type { IngressRecord } from "./ingress-record.ts";
import type { ServiceRecord } from "./service.ts";
import { annotationOf } from "./service-annotations.ts";

/** An object that may own listeners of a load balancer, as it is watched. */
export type OwnerObject = ServiceRecord | IngressRecord;
export type OwnerKind = "Service" | "Ingress";

export const kindOfObject = (object: object): OwnerKind => ("kind" in object && object.kind === "Ingress" ? "Ingress" : "Service");
export const objectRef = (object: Pick<OwnerObject, "namespace" | "name" | "uid">): ObjectRef & { readonly kind: OwnerKind } => {
  const { namespace, name, uid } = object;
  return { kind: kindOfObject(object), namespace, name, uid };
};
/** "Service demo/web", for people. */
export const objectName = (object: Pick<OwnerObject, "namespace" | "name">): string =>
  `${kindOfObject(object)} ${object.namespace}/${object.name}`;
/** The keys of its annotations. */
export const keysOfObject = (object: object): OwnerKeys => keysOf(kindOfObject(object));

/** The load balancer that the object names, whatever else is wrong with it; undefined if it names none or what it names cannot be one. */
export function namedLoadBalancer(object: Pick<OwnerObject, "annotations">): string | undefined {
  const key = keysOfObject(object).existing;
  const id = object.annotations[key];
  return id !== undefined && annotationOf(key)?.fault?.(id) === undefined ? id : undefined;
}
