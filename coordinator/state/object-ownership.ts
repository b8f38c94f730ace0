import { INGRESS_CONTROLLER, TKE_INGRESS_CLASS } from "../../common/names.ts";
import { type IngressClasses, ingressOwnership } from "../domain/intent/ingress-ownership.ts";
import type { OwnerObject } from "../domain/intent/owner-object.ts";
import { type Ownership, type OwnershipMode, ownershipOf } from "../domain/intent/service.ts";
import type { WatchedObjects } from "./watched-objects.ts";

/** Which objects are addressed to us. */
export type OwnershipSettings = {
  readonly ownership: OwnershipMode;
  /** Classes of Ingresses that are TKE's own; default: "qcloud". */
  readonly ingressClasses?: readonly string[];
  /** Ingresses without a class count as TKE's; default: not. */
  readonly classlessIngresses?: boolean;
};

/** Whose an object is; `served`: this process serves it already. `servedClass`: as in `ingressOwnership`. */
export type OwnershipOf = (object: OwnerObject, served: boolean, servedClass?: string) => Ownership;

export function makeOwnershipOf(
  objects: Pick<WatchedObjects, "ingressClasses" | "tkeSwitches">,
  { ownership, ingressClasses = [TKE_INGRESS_CLASS], classlessIngresses = false }: OwnershipSettings,
): OwnershipOf {
  const classes = ingressClassesOf(objects, { ownership, ingressClasses, classlessIngresses });
  return (object, served, servedClass) => {
    if ("kind" in object) return ingressOwnership(object, classes, served, servedClass);
    return ownershipOf(object, ownership, served, objects.tkeSwitches.directByDefault);
  };
}

function ingressClassesOf({ ingressClasses }: Pick<WatchedObjects, "ingressClasses">, settings: OwnershipSettings): IngressClasses {
  const controllerOf = (name: string): string | undefined => {
    for (const record of ingressClasses.records.values()) if (record.name === name) return record.controller;
    return undefined;
  };
  return {
    mode: settings.ownership,
    tke: settings.ingressClasses ?? [TKE_INGRESS_CLASS],
    classless: settings.classlessIngresses ?? false,
    isOurs: (name) => controllerOf(name) === INGRESS_CONTROLLER,
    isOthers: (name) => (controllerOf(name) ?? INGRESS_CONTROLLER) !== INGRESS_CONTROLLER,
  };
}
