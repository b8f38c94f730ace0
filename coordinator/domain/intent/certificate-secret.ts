import type { Certificate } from "../load-balancer.ts";
import { listOf } from "./annotations.ts";

/** Keys of TKE's Secrets; their values are ids in the account, never certificates themselves. Source: tke-contract.md §2. */
const CERTIFICATE = "qcloud_cert_id";
const CLIENT_AUTHORITY = "qcloud_ca_cert_id";

/** What the cloud gives, e.g. "AbCd1234". */
const ID = /^[0-9A-Za-z_-]{1,64}$/;

/** TKE's code and what is wrong, with the fix, e.g. { code: "E4011", fault: 'has no key "qcloud_cert_id": …' }. Source: tke-contract.md §2. */
export type SecretFault = { readonly code: string; readonly fault: string };
/** What an Opaque Secret says; of type kubernetes.io/tls `tls`: it has the certificate itself, which has to be brought to the account. */
export type SecretReading = { readonly certificate: Certificate } | SecretFault | { readonly tls: { readonly fingerprint: string } };

/** Pure: the same for a Secret of type kubernetes.io/tls; neither certificate nor key is kept. `fingerprintOf`: of a certificate in PEM. */
export function readTlsSecret(data: Readonly<Record<string, string>>, fingerprintOf: (cert: string) => string): SecretReading {
  const lacking = ["tls.crt", "tls.key"].filter((key) => (data[key] ?? "") === "");
  if (lacking.length > 0) return { code: "E4011", fault: `has no ${lacking.join(" and no ")}: give it a certificate and its key in PEM` };
  return { tls: { fingerprint: fingerprintOf(Buffer.from(data["tls.crt"] ?? "", "base64").toString("utf8")) } };
}

/** Pure: `data` as the API server gives it, in base64, e.g. { qcloud_cert_id: "QWJDZDEyMzQ=" }; two ids by comma are one RSA and one ECC. */
export function readCertificateSecret(data: Readonly<Record<string, string>>): SecretReading {
  const textOf = (key: string): string | undefined => {
    const value = data[key];
    return value === undefined ? undefined : Buffer.from(value, "base64").toString("utf8").trim();
  };
  const ids = textOf(CERTIFICATE);
  if (ids === undefined) return { code: "E4011", fault: `has no key "${CERTIFICATE}": give it the id of a certificate of the account` };
  const certIds = listOf(ids);
  const isGood =
    certIds.length >= 1 && certIds.length <= 2 && new Set(certIds).size === certIds.length && certIds.every((id) => ID.test(id));
  if (!isGood)
    return {
      code: "E4035",
      fault: `has a malformed key "${CERTIFICATE}": use the id of one certificate, or two by comma (one RSA, one ECC)`,
    };
  const caCertId = textOf(CLIENT_AUTHORITY);
  if (caCertId === undefined || caCertId === "") return { certificate: { certIds } };
  if (!ID.test(caCertId)) return { code: "E4035", fault: `has a malformed key "${CLIENT_AUTHORITY}": use the id of one CA certificate` };
  return { certificate: { certIds, caCertId } };
}
