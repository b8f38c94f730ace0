import { MANAGED_ANNOTATION } from "../../../common/names.ts";
import { type ServiceRecord, serviceRef } from "../intent/service.ts";
import type { Problem } from "../problem.ts";

/** Who serves a Service that is not ours, and so opens the gates of its Pods. */
const openerOf = ({ loadBalancerClass }: ServiceRecord): string =>
  loadBalancerClass === undefined ? "TKE's service controller" : `the controller of spec.loadBalancerClass ${loadBalancerClass}`;

/** For a Pod that only such a Service selects: its gate is never written by us, because two writers would undo each other's word. */
export const foreignGateText = (service: ServiceRecord): string =>
  `Service ${service.namespace}/${service.name} is not served by clb-direct: ${openerOf(service)} has to open the gate of its Pods`;

/** Names no Pod, so that one Event covers all of them. */
export function foreignGate(service: ServiceRecord, gateType: string): Problem {
  const way = service.loadBalancerClass === undefined ? `annotate it with ${MANAGED_ANNOTATION}: "true"` : "create it anew with our class";
  const message = `${foreignGateText(service)}, ${gateType}. If that does not come about and clb-direct is to serve it, ${way}`;
  return { object: serviceRef(service), type: "Warning", reason: "ForeignGate", message };
}
