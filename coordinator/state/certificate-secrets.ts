import { createHash } from "node:crypto";
import * as z from "zod";
import { type ListWatchDeps, makeListWatch } from "../../common/kubernetes/list-watch.ts";
import { readCertificateSecret, readTlsSecret, type SecretReading } from "../domain/intent/certificate-secret.ts";

/** A Secret by its name. */
export type SecretName = { readonly namespace: string; readonly name: string };

/** Of a Secret nothing is kept but ids of certificates, or the fingerprint of one. */
const Secret = z.object({
  metadata: z.object({ uid: z.string(), resourceVersion: z.string(), namespace: z.string(), name: z.string() }),
  data: z.record(z.string(), z.string()).nullish(),
});
type SecretRecord = SecretName & { readonly uid: string; readonly resourceVersion: string; readonly reading: SecretReading };

const decodeWith =
  (read: (data: Readonly<Record<string, string>>) => SecretReading) =>
  (raw: unknown): SecretRecord => {
    const { metadata, data } = Secret.parse(raw);
    const { uid, resourceVersion, namespace, name } = metadata;
    return { uid, resourceVersion, namespace, name, reading: read(data ?? {}) };
  };

/** Secrets that stand for certificates. A cluster in which nobody names one needs no right to read any. */
export interface CertificateSecrets {
  /** What the Secret says; undefined: Secrets have not been read yet, and are from now on. */
  find(namespace: string, name: string): SecretReading | undefined;
  /** Secrets are asked for and the API server does not let us read them. */
  readonly denied: boolean;
  run(signal: AbortSignal): Promise<void>;
}

/**
 * `onChange`: what a Secret of this name says may have changed. Secrets of type kubernetes.io/tls are read only from when somebody names one
 * that is not Opaque: they bring keys along.
 */
export function makeCertificateSecrets(deps: ListWatchDeps, onChange: (secret: SecretName) => void): CertificateSecrets {
  const asked = new Set<string>();
  const tellAsked = (): void => {
    for (const key of asked) {
      const [namespace = "", name = ""] = key.split("/");
      onChange({ namespace, name });
    }
  };
  const tell = (secret: SecretName): void => {
    if (asked.has(keyOf(secret))) onChange(secret);
  };
  const opaque = secretsOfType(deps, "Opaque", readCertificateSecret, { tell, tellAsked });
  const tls = secretsOfType(deps, "kubernetes.io/tls", (data) => readTlsSecret(data, fingerprintOf), { tell, tellAsked });
  return {
    find: (namespace, name) => {
      const key = keyOf({ namespace, name });
      asked.add(key);
      const said = opaque.find(key);
      if (said !== "missing") return said;
      const other = tls.find(key);
      return other === "missing" ? MISSING : other;
    },
    get denied() {
      return opaque.denied || tls.denied;
    },
    run: async (signal) => void (await Promise.all([opaque.run(signal), tls.run(signal)])),
  };
}

/** Of a certificate in PEM. */
export const fingerprintOf = (cert: string): string => createHash("sha256").update(cert).digest("hex");

const keyOf = ({ namespace, name }: SecretName): string => `${namespace}/${name}`;

type Tell = { readonly tell: (secret: SecretName) => void; readonly tellAsked: () => void };

/** Listed and watched from the first `find` on, which is undefined until the first list is complete. */
function secretsOfType(deps: ListWatchDeps, type: string, read: Parameters<typeof decodeWith>[0], { tell, tellAsked }: Tell) {
  const byName = new Map<string, SecretReading>();
  const needed = Promise.withResolvers<void>();
  let denied = false;
  const set = makeListWatch<SecretRecord>(deps, {
    path: "/api/v1/secrets",
    query: { fieldSelector: `type=${type}` },
    decode: decodeWith(read),
    onChange: ({ kind, record }) => {
      if (kind === "removed") byName.delete(keyOf(record));
      else byName.set(keyOf(record), record.reading);
      tell(record);
    },
    onSynced: () => {
      denied = false;
      tellAsked();
    },
    onDenied: () => {
      denied = true;
      tellAsked();
    },
  });
  return {
    find: (key: string): SecretReading | "missing" | undefined => {
      needed.resolve();
      return set.synced ? (byName.get(key) ?? "missing") : undefined;
    },
    get denied() {
      return denied;
    },
    run: async (signal: AbortSignal): Promise<void> => {
      const over = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => over.resolve(), { once: true });
      if (!signal.aborted) await Promise.race([needed.promise, over.promise]);
      if (!signal.aborted) await set.run(signal);
    },
  };
}

const MISSING: SecretReading = {
  code: "E4010",
  fault: "does not exist, or is neither of type Opaque nor of type kubernetes.io/tls: create it",
};
