import { FINALIZER, INGRESS_CLASS, INGRESS_LOAD_BALANCER_ID, MANAGED_ANNOTATION } from "../../../common/names.ts";
import { INGRESS_KEYS } from "./annotation-keys.ts";
import type { IngressRecord } from "./ingress-record.ts";
import type { Ownership, OwnershipMode } from "./service.ts";

/** Which classes are addressed to us. */
export type IngressClasses = {
  readonly mode: OwnershipMode;
  /** Classes that are TKE's own, and ours where `mode` is "annotation", e.g. ["qcloud"]. */
  readonly tke: readonly string[];
  /** An Ingress without any class counts as one of TKE's. */
  readonly classless: boolean;
  /** The IngressClass of this name names our controller. */
  readonly isOurs: (className: string) => boolean;
  /** There is an IngressClass of this name, and it names another controller. */
  readonly isOthers: (className: string) => boolean;
};

/**
 * Decides whose Ingress it is from the object and its class; as `ownershipOf` of Services. `servedClass`: the class by which it is served, ""
 * for none, as its record has it; undefined: nobody knows.
 */
export function ingressOwnership(ingress: IngressRecord, classes: IngressClasses, served = false, servedClass?: string): Ownership {
  const { annotations, finalizers, deleting } = ingress;
  const held = served || finalizers.includes(FINALIZER);
  const isMarked = annotations[MANAGED_ANNOTATION] === "true";
  const wanted = wantsUs(ingress, classes);
  if (annotations[INGRESS_KEYS.mode] === "skip" && !isMarked && (held || wanted))
    return { kind: "skip", because: `annotation ${INGRESS_KEYS.mode} is "skip": nothing is changed for it until that is removed` };
  if (deleting) return { kind: held ? "deleted" : "none" };
  if (held && isGivenAway(ingress, classes)) {
    if (servedClass !== undefined && servedClass !== classNameOf(ingress)) return { kind: "deleted" };
    return {
      kind: "ours",
      isLeft: true,
      note: `its class ${classOf(ingress)} is another controller's now: what it has at its load balancer stays and serves as before, and the address in its status is left to that controller. Delete it and make it anew to take the load balancer away, or give it a class of ours back`,
    };
  }
  if (held && isLeftToTke(ingress, classes))
    return {
      kind: "ours",
      isLeft: true, // the chart's policy of the same configuration lets us write no address there
      note: `its class ${classOf(ingress)} is TKE's as this coordinator is configured (OWNERSHIP, INGRESS_CLASSES): what it has is served as before, and the address in its status is left to TKE; delete it and make it anew to give it to TKE, or set annotation ${MANAGED_ANNOTATION} to "true"`,
    };
  if (held) return { kind: "ours" };
  if (!wanted) return { kind: "none" };
  if (annotations[INGRESS_LOAD_BALANCER_ID] !== undefined)
    return {
      kind: "foreign",
      because: `its annotation ${INGRESS_LOAD_BALANCER_ID} was written by another controller: remove it if none serves this Ingress`,
    };
  return { kind: "ours" };
}

/**
 * Its class is another controller's. Where a person gave the Ingress another class, what we made for it goes, as with TKE. Where the IngressClass
 * was made anew for another controller, that concerns all Ingresses of the class at once, and is no order to take load balancers away from
 * clients that still come by them. That a class is merely missing says nothing, nor that it is TKE's: it may be our own configuration that
 * was changed.
 */
function isGivenAway(ingress: IngressRecord, classes: IngressClasses): boolean {
  const name = classOf(ingress);
  if (name === undefined || isAddressed(ingress, classes) || isLeftToTke(ingress, classes)) return false;
  return classes.isOthers(name);
}

const isLeftToTke = (ingress: IngressRecord, classes: IngressClasses): boolean =>
  classes.tke.includes(classOf(ingress) ?? "") && !isAddressed(ingress, classes);

const classOf = ({ className, annotations }: Pick<IngressRecord, "className" | "annotations">): string | undefined =>
  className ?? annotations[INGRESS_CLASS];

/** Its class as the record of its owner has it; "" for none. */
export const classNameOf = (ingress: Pick<IngressRecord, "className" | "annotations">): string => classOf(ingress) ?? "";

/** Our own class needs no other word; of TKE's classes only Ingresses with direct access are ours. */
function wantsUs(ingress: IngressRecord, classes: IngressClasses): boolean {
  const access = ingress.annotations[INGRESS_KEYS.directAccess];
  if (access === "false") return false;
  return isOurClass(ingress, classes) || (access !== undefined && isAddressed(ingress, classes));
}

const isOurClass = (ingress: IngressRecord, { isOurs }: IngressClasses): boolean => {
  const name = classOf(ingress);
  return name !== undefined && isOurs(name);
};

function isAddressed(ingress: IngressRecord, classes: IngressClasses): boolean {
  if (ingress.annotations[MANAGED_ANNOTATION] === "true" || isOurClass(ingress, classes)) return true;
  if (classes.mode !== "annotation") return false;
  const name = classOf(ingress);
  return name === undefined ? classes.classless : classes.tke.includes(name);
}

/** TKE's controllers would serve it with direct access: where it is not ours, the gates of its Pods are theirs. */
export function isOfTke(ingress: IngressRecord, { tke }: Pick<IngressClasses, "tke">): boolean {
  const access = ingress.annotations[INGRESS_KEYS.directAccess];
  const name = classOf(ingress);
  return access !== undefined && access !== "false" && (name === undefined || tke.includes(name));
}
