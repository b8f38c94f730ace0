import { type ObjectRef, tkeCode } from "../problem.ts";
import type { SecretReading } from "./certificate-secret.ts";
import type { CertificateSource, IntentPort } from "./intent-port.ts";
import type { Blocker } from "./owner-intent.ts";

/** Every certificate that the ports of an owner name. */
export const certificatesOf = (ports: readonly IntentPort[]): readonly CertificateSource[] =>
  ports.flatMap(({ certificate, rules = [] }) => [certificate, ...rules.map((rule) => rule.certificate)].flatMap((source) => source ?? []));

/** Names of the Secrets among them, each once. */
export const secretsOf = (sources: readonly CertificateSource[]): readonly string[] => [
  ...new Set(sources.flatMap((source) => ("secret" in source ? source.secret : []))),
];

/** Where Secrets are read. `denied`: the API server does not let us read any. */
type Secrets = { readonly find: (namespace: string, name: string) => SecretReading | undefined; readonly denied: boolean };

/** Pure: why listeners or rules of the owner are not made: one for each Secret that says no certificate. */
export function certificateProblems(
  { kind, namespace, name }: ObjectRef,
  sources: readonly CertificateSource[],
  secrets: Secrets,
): Blocker[] {
  return secretsOf(sources).flatMap((secret): Blocker[] => {
    const reading = secrets.find(namespace, secret);
    const at = `${kind} ${namespace}/${name}: Secret ${namespace}/${secret}`;
    const rest = "What needs its certificate is not made until then; what is there already stays as it is";
    if (reading === undefined && secrets.denied) {
      const message = `${at} cannot be read: the coordinator's role may not list Secrets: allow it (certificates.readSecrets of the chart). ${rest}`;
      return [{ reason: "CertificateUnavailable", message }];
    }
    if (reading === undefined || !("fault" in reading)) return [];
    return [{ reason: "CertificateUnavailable", message: tkeCode(reading.code, `${at} ${reading.fault}. ${rest}`) }];
  });
}
