import { EXISTING_LOAD_BALANCER, MANAGED_ANNOTATION } from "../../../common/names.ts";
import { type ObjectRef, type Problem, tkeCode } from "../problem.ts";
import type { EventReason, FaultReason } from "../reasons.ts";
import { keysOf } from "./annotation-keys.ts";
import { type Annotation, badValueText, nearestKey } from "./annotations.ts";
import { familiesFault, familiesNote, type IpFamilies } from "./ip-families.ts";
import { keyTwice } from "./json-keys.ts";
import { ANNOTATIONS, annotationOf } from "./service-annotations.ts";

/** What concerns the whole object: it cannot be served as it stands. */
export type OwnerFault = { readonly reason: FaultReason; readonly message: string };

/** What of an object that may own listeners is judged, and of which object Events are. Of fields only Services have any. */
type Judged = IpFamilies & {
  readonly object: ObjectRef & { readonly kind: "Service" | "Ingress" };
  readonly annotations: Readonly<Record<string, string>>;
  readonly sourceRanges?: readonly string[];
  readonly loadBalancerIp?: string;
  readonly sessionAffinity?: string;
};

/** What is said of an object before it is read: `faults` keep it from being served, `notes` do not. */
export type Judgement = { readonly faults: readonly OwnerFault[]; readonly notes: readonly Problem[] };

/** Pure: every annotation and field is looked at, so that nothing which a user wrote is without effect and without a word. */
export function judgeOwner(service: Judged): Judgement {
  const faults = fieldFaults(service);
  const notes: Problem[] = fieldNotes(service);
  for (const [key, value] of Object.entries(service.annotations)) {
    const known = annotationOf(key);
    const { fault, note } = known === undefined ? unknown(service, key) : judge(service, known, value);
    if (fault !== undefined) faults.push(fault);
    if (note !== undefined) notes.push(note);
  }
  faults.push(...twoConfigs(service));
  return { faults, notes };
}

/** One that is named, and one that is made: nobody can tell which of them is to count. */
function twoConfigs(service: Judged): OwnerFault[] {
  const { config, configAuto } = keysOf(service.object.kind);
  if (service.annotations[configAuto] !== "true" || service.annotations[config] === undefined) return [];
  const message = `${nameOf(service)}: annotations ${configAuto} and ${config} exclude each other: remove one of them`;
  return [{ reason: "InvalidAnnotation", message }];
}

type Found = { readonly fault?: OwnerFault; readonly note?: Problem };

function judge(service: Judged, known: Annotation, value: string): Found {
  const { key, verdict, does, fault: faultOf, isRefused } = known;
  const at = nameOf(service);
  const { kind } = service.object;
  if (known.on !== kind && !(kind === "Ingress" && known.onIngress))
    return { note: note(service, "NoEffect", `${at}: annotation ${key} is for ${plural(known.on)}, not for ${plural(kind)}: remove it`) };
  if (key === keysOf(kind).mode && service.annotations[MANAGED_ANNOTATION] === "true") return {}; // addressed to TKE
  if (verdict === "written") return {};
  if (verdict === "no effect") return { note: note(service, "NoEffect", `${at}: annotation ${key} has no effect. ${plain(does)}`) };
  const fix = faultOf?.(value) ?? keyTwice(value);
  if (fix !== undefined) return { fault: { reason: faultReason(known), message: badValueText(at, known, value, fix) } };
  if (verdict === "refused" && isRefused?.(value) !== false) {
    const message = `${at}: annotation ${key} ("${value}") is refused, and so the ${kind} is not served. ${plain(does)}`;
    return { fault: { reason: "NotSupported", message: known.code === undefined ? message : tkeCode(known.code, message, kind) } };
  }
  if (verdict !== "not yet" || value === "false") return {}; // "false" asks for what there is
  return { note: warning(service, "NotHonoured", `${at}: annotation ${key} ("${value}") is not honoured. ${plain(does)}`) };
}

const plural = (kind: Annotation["on"]): string => (kind === "Ingress" ? "Ingresses" : `${kind}s`);

function faultReason({ reason }: Annotation): FaultReason {
  return reason === "InvalidDirectAccess" || reason === "InvalidLoadBalancerId" ? reason : "InvalidAnnotation";
}

/** Keys that a person writes, for a hint. */
const writable = (kind: "Service" | "Ingress"): string[] =>
  ANNOTATIONS.flatMap(({ key, on, onIngress, verdict }) =>
    verdict !== "written" && (on === kind || (kind === "Ingress" && onIngress)) ? key : [],
  );
const WRITABLE = { Service: writable("Service"), Ingress: writable("Ingress") };

function unknown(service: Judged, key: string): Found {
  const nearest = nearestKey(key, WRITABLE[service.object.kind]);
  const hint = nearest === undefined ? "remove it, or correct it by docs/annotations.md" : `is ${nearest} meant?`;
  return { note: warning(service, "UnknownAnnotation", `${nameOf(service)}: annotation ${key} is not known and has no effect: ${hint}`) };
}

function fieldFaults(service: Judged): OwnerFault[] {
  const at = nameOf(service);
  const faults: OwnerFault[] = [];
  const { sourceRanges = [], loadBalancerIp = "" } = service;
  const refuse = (field: string, value: string, fix: string): void => {
    const message = `${at}: spec.${field} (${value}) is refused, and so the Service is not served: ${fix}`;
    faults.push({ reason: "NotSupported", message });
  };
  if (sourceRanges.length > 0)
    refuse(
      "loadBalancerSourceRanges",
      sourceRanges.join(", "),
      `security groups are never written by us, and without them everybody could come in: bind a security group to a load balancer of yours, name that one by ${EXISTING_LOAD_BALANCER}, and remove the field`,
    );
  if (loadBalancerIp !== "")
    refuse(
      "loadBalancerIP",
      loadBalancerIp,
      `create a load balancer with that address and name it by ${EXISTING_LOAD_BALANCER}, and remove the field`,
    );
  const families = familiesFault(service);
  if (families !== undefined) refuse(families.field, families.value, families.fix);
  return faults;
}

function fieldNotes(service: Judged): Problem[] {
  const notes = [
    service.sessionAffinity === "ClientIP"
      ? "spec.sessionAffinity ClientIP has no effect at the load balancer: set session.enable and session.sessionExpireTime of the listener in a TkeServiceConfig"
      : undefined,
    familiesNote(service),
  ];
  return notes.flatMap((text) => (text === undefined ? [] : note(service, "NoEffect", `${nameOf(service)}: ${text}`)));
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
