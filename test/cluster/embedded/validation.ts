import { isIP } from "node:net";
import { isDeepStrictEqual } from "node:util";
import type { KubeObject, Raw } from "./objects.ts";
import { type ApiError, type Cause, failure, wrong } from "./status.ts";

const QUALIFIED = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** What holds for the metadata of every kind. */
export function metadataCauses({ metadata }: KubeObject, old: KubeObject | undefined): Cause[] {
  const causes: Cause[] = [];
  if (!SUBDOMAIN.test(metadata.name)) {
    causes.push(
      wrong.invalid(
        "metadata.name",
        metadata.name,
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'",
      ),
    );
  }
  for (const finalizer of metadata.finalizers ?? []) {
    if (!QUALIFIED.test(finalizer))
      causes.push(wrong.invalid("metadata.finalizers", finalizer, "name part must consist of alphanumeric characters"));
    else if (!finalizer.includes("/") && !["orphan", "foregroundDeletion", "kubernetes"].includes(finalizer)) {
      causes.push(wrong.invalid("metadata.finalizers", finalizer, "name is neither a standard finalizer name nor is it fully qualified"));
    }
  }
  const added = (metadata.finalizers ?? []).filter((finalizer) => !old?.metadata.finalizers?.includes(finalizer));
  if (old?.metadata.deletionTimestamp !== undefined && added.length > 0) {
    const list = added.map((finalizer) => JSON.stringify(finalizer)).join(", ");
    const why = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`;
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
  const containers = pod.spec?.containers ?? [];
  const causes = containers.length === 0 ? [wrong.required("spec.containers")] : [];
  for (const [index, { name, image }] of containers.entries()) {
    if (name === undefined) causes.push(wrong.required(`spec.containers[${index}].name`));
    if (image === undefined) causes.push(wrong.required(`spec.containers[${index}].image`));
  }
  for (const [index, { type }] of (pod.status?.conditions ?? []).entries()) {
    if (!QUALIFIED.test(type))
      causes.push(wrong.invalid(`status.conditions[${index}].type`, type, "name part must consist of alphanumeric characters"));
  }
  if (old !== undefined && !isDeepStrictEqual(fixedPart(pod), fixedPart(old))) {
    const may =
      "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)";
    causes.push(wrong.forbidden("spec", `pod updates may not change fields other than ${may}`));
  }
  return causes;
}

export function serviceCauses(service: KubeObject, old: KubeObject | undefined): Cause[] {
  const { spec = {}, status = {} } = service;
  const causes: Cause[] = [];
  const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
  if (!types.includes(spec.type ?? "")) causes.push(wrong.notSupported("spec.type", spec.type, types));
  if (!spec.ports?.length && spec.clusterIP !== "None" && spec.type !== "ExternalName") causes.push(wrong.required("spec.ports"));
  for (const [index, port] of (spec.ports ?? []).entries()) {
    if (spec.ports !== undefined && spec.ports.length > 1 && !port.name) causes.push(wrong.required(`spec.ports[${index}].name`));
    if (!Number.isInteger(port.port) || (port.port ?? 0) < 1 || (port.port ?? 0) > 65_535) {
      causes.push(wrong.invalid(`spec.ports[${index}].port`, port.port ?? 0, "must be between 1 and 65535, inclusive"));
    }
    const twin = spec.ports?.findIndex((other) => other.port === port.port && other.protocol === port.protocol);
    if (twin !== index)
      causes.push({ reason: "FieldValueDuplicate", field: `spec.ports[${index}]`, message: `Duplicate value: ${JSON.stringify(port)}` });
  }
  const stays = old?.spec?.type === "LoadBalancer" && spec.type === "LoadBalancer";
  if (stays && spec.loadBalancerClass !== old?.spec?.loadBalancerClass) {
    causes.push(wrong.invalid("spec.loadBalancerClass", spec.loadBalancerClass ?? null, "may not change once set"));
  } else if (spec.type !== "LoadBalancer" && spec.loadBalancerClass !== undefined) {
    causes.push(wrong.forbidden("spec.loadBalancerClass", "may only be used when `type` is 'LoadBalancer'"));
  }
  for (const [index, { ip, ipMode }] of (status.loadBalancer?.ingress ?? []).entries()) {
    const field = `status.loadBalancer.ingress[${index}]`;
    if (ip !== undefined && isIP(ip) === 0)
      causes.push(wrong.invalid(`${field}.ip`, ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
    if (ipMode !== undefined && ip === undefined)
      causes.push(wrong.forbidden(`${field}.ipMode`, "may not be specified when `ip` is not set"));
    else if (ipMode !== undefined && !["Proxy", "VIP"].includes(ipMode))
      causes.push(wrong.notSupported(`${field}.ipMode`, ipMode, ["Proxy", "VIP"]));
  }
  return causes;
}

export function sliceCauses(slice: KubeObject, old: KubeObject | undefined): Cause[] {
  const types = ["FQDN", "IPv4", "IPv6"];
  const causes = types.includes(slice.addressType ?? "") ? [] : [wrong.notSupported("addressType", slice.addressType ?? "", types)];
  if (old !== undefined && old.addressType !== slice.addressType) {
    causes.push(wrong.invalid("addressType", slice.addressType ?? "", "field is immutable"));
  }
  for (const [at, { addresses = [] }] of (slice.endpoints ?? []).entries()) {
    if (addresses.length === 0) causes.push(wrong.required(`endpoints[${at}].addresses`, "must contain at least 1 item"));
    for (const [index, address] of addresses.entries()) {
      if (address.startsWith("127.") || address === "::1") {
        causes.push(
          wrong.invalid(`endpoints[${at}].addresses[${index}]`, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        );
      }
    }
  }
  return causes;
}

export function workloadCauses({ spec = {} }: KubeObject, old: KubeObject | undefined): Cause[] {
  const causes: Cause[] = [];
  const wanted = Object.entries(spec.selector?.matchLabels ?? {});
  if (spec.selector === undefined) causes.push(wrong.required("spec.selector"));
  else if (old !== undefined && !isDeepStrictEqual(spec.selector, old.spec?.selector)) {
    causes.push(wrong.invalid("spec.selector", spec.selector, "field is immutable"));
  }
  const labels = spec.template?.metadata?.labels ?? {};
  if (wanted.some(([key, value]) => labels[key] !== value)) {
    causes.push(wrong.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
  }
  if (!spec.template?.spec?.containers?.length) causes.push(wrong.required("spec.template.spec.containers"));
  return causes;
}

export function leaseCauses({ spec = {} }: KubeObject): Cause[] {
  const seconds = spec.leaseDurationSeconds;
  return seconds !== undefined && seconds <= 0 ? [wrong.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")] : [];
}

export function eventCauses(event: KubeObject): Cause[] {
  const home = event.involvedObject?.["namespace"] ?? "default";
  return home === event.metadata.namespace ? [] : [wrong.invalid("involvedObject.namespace", home, "does not match event.namespace")];
}

/** metav1.MicroTime is read with exactly six digits; anything else does not decode. Looked for in Leases and Events only. */
export function microTimeError(kind: string, apiVersion: string, body: Raw): ApiError | undefined {
  const spec = (body["spec"] ?? {}) as Raw;
  for (const time of [spec["acquireTime"], spec["renewTime"], body["eventTime"]]) {
    if (typeof time !== "string" || /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/.test(time)) continue;
    const rest = time.slice(19);
    const layout = "2006-01-02T15:04:05.000000Z07:00";
    const version = apiVersion.split("/").at(-1);
    return failure.badRequest(
      `${kind} in version "${version}" cannot be handled as a ${kind}: parsing time "${time}" as "${layout}": cannot parse "${rest}" as ".000000"`,
    );
  }
  return undefined;
}
