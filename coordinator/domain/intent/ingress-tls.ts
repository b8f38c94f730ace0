import { INGRESS_KEYS } from "./annotation-keys.ts";
import { parsedJson } from "./annotations.ts";
import type { Refused } from "./ingress-paths.ts";
import type { IngressRecord } from "./ingress-record.ts";
import type { CertificateSource } from "./intent-port.ts";

/** Which host has which certificate. */
export type Certificates = {
  /** Of all hosts. */
  readonly common: CertificateSource | undefined;
  /** By host, e.g. "*.example.com". */
  readonly byHost: ReadonlyMap<string, CertificateSource>;
  readonly refused: readonly Refused[];
};

const ID = /^[A-Za-z0-9_-]{4,64}$/;

/** Pure: key qcloud_cert_id of an Opaque Secret, e.g. "abcd1234" or "rsa12345,ecc12345". Undefined: it is malformed. */
function certificateIds(value: string): readonly string[] | undefined {
  const ids = value.split(",").map((id) => id.trim());
  return ids.length <= 2 && ids.every((id) => ID.test(id)) && new Set(ids).size === ids.length ? ids : undefined;
}

/** What is wrong with annotation certificate; undefined: nothing. */
export function certificateFault(value: string): string | undefined {
  const list = parsedJson(value);
  const use = 'use a JSON array, e.g. [{"hosts":["shop.example.com"],"qcloud_cert_id":["abcd1234"]}]';
  if (!Array.isArray(list) || list.length === 0) return use;
  for (const [index, item] of list.entries()) {
    const { hosts = [], qcloud_cert_id: ids } = Object(item);
    if (!Array.isArray(hosts) || !hosts.every((host) => typeof host === "string")) return `item ${index}: hosts must be a list of names`;
    if (!Array.isArray(ids) || certificateIds(ids.join(",")) === undefined) return `item ${index}: qcloud_cert_id must have one or two ids`;
  }
  return undefined;
}

export const hasTls = ({ tls, annotations }: Pick<IngressRecord, "tls" | "annotations">): boolean =>
  tls.length > 0 || annotations[INGRESS_KEYS.certificate] !== undefined;

/** Pure: which host of an Ingress has which certificate; what is missing or said twice is refused. */
export function certificatesOf({ tls, annotations }: Pick<IngressRecord, "tls" | "annotations">): Certificates {
  const refused: Refused[] = [];
  const byHost = new Map<string, CertificateSource>();
  let common: CertificateSource | undefined;
  const add = (at: string, hosts: readonly string[], certificate: CertificateSource): void => {
    if (hosts.length === 0 && common !== undefined)
      refused.push({ code: "E4048", message: `${at} has no hosts, and another one has none either: name the hosts of each` });
    else if (hosts.length === 0) common = certificate;
    for (const host of hosts) {
      if (byHost.has(host)) refused.push({ code: "E4049", message: `${at}: host ${host} has a certificate already: name each host once` });
      else byHost.set(host, certificate);
    }
  };
  for (const [index, { hosts, secretName }] of tls.entries()) {
    const at = `spec.tls[${index}]`;
    if (secretName === "") {
      refused.push({
        code: "E4009",
        message: `${at} names no secretName: name an Opaque Secret with key qcloud_cert_id`,
      });
      continue;
    }
    add(at, hosts, { secret: secretName });
  }
  const given: unknown = parsedJson(annotations[INGRESS_KEYS.certificate] ?? "null");
  for (const [index, item] of (Array.isArray(given) ? given : []).entries()) {
    const { hosts, ids } = listedCertificate(item);
    add(`annotation ${INGRESS_KEYS.certificate}, item ${index}`, hosts, { certIds: ids });
  }
  return { common, byHost, refused };
}

function listedCertificate(item: unknown): { readonly hosts: readonly string[]; readonly ids: readonly string[] } {
  const { hosts = [], qcloud_cert_id: ids = [] } = Object(item);
  const texts = (list: unknown): string[] => (Array.isArray(list) ? list.map(String) : []);
  return { hosts: texts(hosts), ids: texts(ids) };
}

/** The certificate of a host: its own, else that of the wildcard one level above, else the common one. */
export function certificateOf({ common, byHost }: Pick<Certificates, "common" | "byHost">, host: string): CertificateSource | undefined {
  return byHost.get(host) ?? byHost.get(wildcardAbove(host)) ?? common;
}

const wildcardAbove = (host: string): string => host.replace(/^[^.]+/, "*");

/** An entry for `entry`, e.g. "*.example.com", covers a rule's host. */
export const isFor = (entry: string, host: string): boolean => entry === host || entry === wildcardAbove(host);
