import { EXISTING_LOAD_BALANCER, MANAGED_ANNOTATION } from "../../../common/names.ts";
import { type ObjectRef, type Problem, tkeCode } from "../problem.ts";
import type { EventReason, FaultReason } from "../reasons.ts";
import { KEYS } from "./annotation-keys.ts";
import { type Annotation, badValueText, nearestKey } from "./annotations.ts";
import { ANNOTATIONS, annotationOf } from "./service-annotations.ts";

/** What concerns the whole Service: it cannot be served as it stands. */
export type ServiceFault = { readonly reason: FaultReason; readonly message: string };

/** What of a Service is judged, and of which object Events are. */
type Judged = {
  readonly object: ObjectRef;
  readonly annotations: Readonly<Record<string, string>>;
  readonly sourceRanges: readonly string[];
  readonly loadBalancerIp: string;
  readonly sessionAffinity: string;
};

/** What is said of a Service before it is read: `faults` keep it from being served, `notes` do not. */
export type Judgement = { readonly faults: readonly ServiceFault[]; readonly notes: readonly Problem[] };

/** Pure: every annotation and field is looked at, so that nothing which a user wrote is without effect and without a word. */
export function judgeService(service: Judged): Judgement {
  const faults = fieldFaults(service);
  const notes: Problem[] = fieldNotes(service);
  for (const [key, value] of Object.entries(service.annotations)) {
    const known = annotationOf(key);
    const { fault, note } = known === undefined ? unknown(service, key) : judge(service, known, value);
    if (fault !== undefined) faults.push(fault);
    if (note !== undefined) notes.push(note);
  }
  return { faults, notes };
}

type Found = { readonly fault?: ServiceFault; readonly note?: Problem };

function judge(service: Judged, known: Annotation, value: string): Found {
  const { key, verdict, does, fault: faultOf, isRefused } = known;
  const at = nameOf(service);
  if (known.on !== "Service")
    return { note: note(service, "NoEffect", `${at}: annotation ${key} is for ${plural(known)}, not for Services: remove it`) };
  if (key === KEYS.mode && service.annotations[MANAGED_ANNOTATION] === "true") return {}; // addressed to TKE
  if (verdict === "written") return {};
  if (verdict === "no effect") return { note: note(service, "NoEffect", `${at}: annotation ${key} has no effect. ${plain(does)}`) };
  const fix = faultOf?.(value);
  if (fix !== undefined) return { fault: { reason: faultReason(known), message: badValueText(at, known, value, fix) } };
  if (verdict === "refused" && isRefused?.(value) !== false) {
    const message = `${at}: annotation ${key} ("${value}") is refused, and so the Service is not served. ${plain(does)}`;
    return { fault: { reason: "NotSupported", message: known.code === undefined ? message : tkeCode(known.code, message) } };
  }
  if (verdict !== "not yet") return {};
  return { note: warning(service, "NotHonoured", `${at}: annotation ${key} ("${value}") is not honoured. ${plain(does)}`) };
}

const plural = ({ on }: Annotation): string => (on === "Ingress" ? "Ingresses, which are not served yet" : "Pods");

function faultReason({ reason }: Annotation): FaultReason {
  return reason === "InvalidDirectAccess" || reason === "InvalidLoadBalancerId" ? reason : "InvalidAnnotation";
}

/** Keys that a person writes, for a hint. */
const WRITABLE = ANNOTATIONS.flatMap(({ key, verdict }) => (verdict === "written" ? [] : key));

function unknown(service: Judged, key: string): Found {
  const nearest = nearestKey(key, WRITABLE);
  const hint = nearest === undefined ? "remove it, or correct it by docs/annotations.md" : `is ${nearest} meant?`;
  return { note: warning(service, "UnknownAnnotation", `${nameOf(service)}: annotation ${key} is not known and has no effect: ${hint}`) };
}

function fieldFaults(service: Judged): ServiceFault[] {
  const at = nameOf(service);
  const faults: ServiceFault[] = [];
  const refuse = (field: string, value: string, fix: string): void => {
    const message = `${at}: spec.${field} (${value}) is refused, and so the Service is not served: ${fix}`;
    faults.push({ reason: "NotSupported", message });
  };
  if (service.sourceRanges.length > 0)
    refuse(
      "loadBalancerSourceRanges",
      service.sourceRanges.join(", "),
      `security groups are never written by us, and without them everybody could come in: bind a security group to a load balancer of yours, name that one by ${EXISTING_LOAD_BALANCER}, and remove the field`,
    );
  if (service.loadBalancerIp !== "")
    refuse(
      "loadBalancerIP",
      service.loadBalancerIp,
      `create a load balancer with that address and name it by ${EXISTING_LOAD_BALANCER}, and remove the field`,
    );
  return faults;
}

function fieldNotes(service: Judged): Problem[] {
  if (service.sessionAffinity !== "ClientIP") return [];
  const message = `${nameOf(service)}: spec.sessionAffinity ClientIP has no effect at the load balancer: set session.enable and session.sessionExpireTime of the listener in a TkeServiceConfig`;
  return [note(service, "NoEffect", message)];
}

const nameOf = ({ object: { kind, namespace, name } }: Judged): string => `${kind} ${namespace}/${name}`;
/** The page's text for an Event: without marks. */
const plain = (text: string): string => text.replaceAll("`", "");
const note = (service: Judged, reason: EventReason, message: string): Problem => ({
  object: service.object,
  type: "Normal",
  reason,
  message,
});
const warning = (service: Judged, reason: EventReason, message: string): Problem => ({
  object: service.object,
  type: "Warning",
  reason,
  message,
});
