import { isIP } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { type KubeObject, type Raw, rawIn } from "./objects.ts";
import { type Cause, failure, wrong } from "./status.ts";

const QUALIFIED = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** What holds for the metadata of every kind. */
export function metadataCauses({ metadata: { name, finalizers = [] } }: KubeObject, old: KubeObject | undefined): Cause[] {
  const causes = SUBDOMAIN.test(name) ? [] : [wrong.invalid("metadata.name", name, "a lowercase RFC 1123 subdomain is needed")];
  for (const one of finalizers) {
    const fits = QUALIFIED.test(one) && (one.includes("/") || one === "orphan" || one === "foregroundDeletion");
    if (!fits)
      causes.push(wrong.invalid("metadata.finalizers", one, "name is neither a standard finalizer name nor is it fully qualified"));
  }
  const added = finalizers.filter((one) => !old?.metadata.finalizers?.includes(one)).map((one) => JSON.stringify(one));
  if (old?.metadata.deletionTimestamp !== undefined && added.length > 0) {
    const why = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.join(", ")}}`;
    causes.push(wrong.forbidden("metadata.finalizers", why));
  }
  return causes;
}

/** Pod spec without what may change: image, deadline, tolerations. */
const fixedPart = ({ spec = {} }: KubeObject): object => {
  const { activeDeadlineSeconds: _deadline, tolerations: _tolerations, ...fixed } = spec;
  const frozen = (list = spec.containers) => list?.map(({ image: _image, ...rest }) => rest);
  return { ...fixed, containers: frozen(), initContainers: frozen(spec.initContainers ?? []) };
};

export function podCauses(pod: KubeObject, old: KubeObject | undefined): Cause[] {
  const causes = pod.spec?.containers?.length ? [] : [wrong.required("spec.containers")];
  for (const [index, { type }] of (pod.status?.conditions ?? []).entries()) {
    if (!QUALIFIED.test(type)) causes.push(wrong.invalid(`status.conditions[${index}].type`, type, "a qualified name is needed"));
  }
  if (old !== undefined && !isDeepStrictEqual(fixedPart(pod), fixedPart(old))) {
    const may = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations`";
    causes.push(wrong.forbidden("spec", `pod updates may not change fields other than ${may} (only additions to existing tolerations)`));
  }
  return causes;
}

export function serviceCauses({ spec = {}, status = {} }: KubeObject, old: KubeObject | undefined): Cause[] {
  const portless = spec.clusterIP === "None" || spec.type === "ExternalName";
  const causes = spec.ports?.length || portless ? [] : [wrong.required("spec.ports")];
  const [before, now] = [old?.spec?.loadBalancerClass, spec.loadBalancerClass];
  if (spec.type === "LoadBalancer" && old?.spec?.type === "LoadBalancer" && now !== before) {
    causes.push(wrong.invalid("spec.loadBalancerClass", now ?? null, "may not change once set"));
  } else if (spec.type !== "LoadBalancer" && now !== undefined) {
    causes.push(wrong.forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'"));
  }
  for (const [index, { ip, ipMode }] of (status.loadBalancer?.ingress ?? []).entries()) {
    const field = `status.loadBalancer.ingress[${index}]`;
    if (ip !== undefined && isIP(ip) === 0) causes.push(wrong.invalid(`${field}.ip`, ip, "must be a valid IP address"));
    if (ipMode === undefined) continue;
    if (ip === undefined) causes.push(wrong.forbidden(`${field}.ipMode`, "may not be specified when `ip` is not set"));
    else if (ipMode !== "VIP" && ipMode !== "Proxy") causes.push(wrong.notSupported(`${field}.ipMode`, ipMode, ["Proxy", "VIP"]));
  }
  return causes;
}

export function sliceCauses({ addressType = "", endpoints = [] }: KubeObject): Cause[] {
  const types = ["FQDN", "IPv4", "IPv6"];
  const causes = types.includes(addressType) ? [] : [wrong.notSupported("addressType", addressType, types)];
  for (const [at, { addresses = [] }] of endpoints.entries()) {
    for (const [index, address] of addresses.entries()) {
      if (!/^(127\.|::1$)/.test(address)) continue;
      causes.push(
        wrong.invalid(`endpoints[${at}].addresses[${index}]`, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
      );
    }
  }
  return causes;
}

export const workloadCauses = ({ spec }: KubeObject): Cause[] => (spec?.selector ? [] : [wrong.required("spec.selector")]);

export function leaseCauses({ spec }: KubeObject): Cause[] {
  const seconds = spec?.leaseDurationSeconds ?? 1;
  return seconds > 0 ? [] : [wrong.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")];
}

export function eventCauses({ involvedObject, metadata }: KubeObject): Cause[] {
  const home = involvedObject?.["namespace"] ?? "default";
  return home === metadata.namespace ? [] : [wrong.invalid("involvedObject.namespace", home, "does not match event.namespace")];
}

/** metav1.MicroTime (Leases and Events) is read with exactly six digits; anything else does not decode: 400. */
export function checkMicroTimes(kind: string, body: Raw): void {
  const spec = rawIn(body, "spec");
  for (const time of [spec["acquireTime"], spec["renewTime"], body["eventTime"]]) {
    if (typeof time !== "string" || /T\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/.test(time)) continue;
    const why = `parsing time "${time}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "${time.slice(19)}" as ".000000"`;
    throw failure.badRequest(`${kind} in version "v1" cannot be handled as a ${kind}: ${why}`);
  }
}
