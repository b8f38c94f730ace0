import { MANAGED_ANNOTATION } from "../../../common/names.ts";
import { type OwnerObject, objectName, objectRef } from "../intent/owner-object.ts";
import type { Problem } from "../problem.ts";

/** Who serves an object that is not ours, and so opens the gates of its Pods. */
function openerOf(object: OwnerObject): string {
  if ("kind" in object) return "TKE's ingress controller";
  const { loadBalancerClass } = object;
  return loadBalancerClass === undefined ? "TKE's service controller" : `the controller of spec.loadBalancerClass ${loadBalancerClass}`;
}

/** For a Pod that only such an object selects: its gate is never written by us, because two writers would undo each other's word. */
export const foreignGateText = (object: OwnerObject): string =>
  `${objectName(object)} is not served by clb-direct: ${openerOf(object)} has to open the gate of its Pods`;

/** Names no Pod, so that one Event covers all of them. */
export function foreignGate(object: OwnerObject, gateType: string): Problem {
  const isUnclassed = "kind" in object || object.loadBalancerClass === undefined;
  const way = isUnclassed ? `annotate it with ${MANAGED_ANNOTATION}: "true"` : "create it anew with our class";
  const message = `${foreignGateText(object)}, ${gateType}. If that does not come about and clb-direct is to serve it, ${way}`;
  return { object: objectRef(object), type: "Warning", reason: "ForeignGate", message };
}
