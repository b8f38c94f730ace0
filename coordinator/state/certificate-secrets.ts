import * as z from "zod";
import { type ListWatchDeps, makeListWatch } from "../../common/kubernetes/list-watch.ts";
import { readCertificateSecret, type SecretReading } from "../domain/intent/certificate-secret.ts";

/** A Secret by its name. */
export type SecretName = { readonly namespace: string; readonly name: string };

/** Of a Secret nothing is kept but ids of certificates. */
const Secret = z.object({
  metadata: z.object({ uid: z.string(), resourceVersion: z.string(), namespace: z.string(), name: z.string() }),
  data: z.record(z.string(), z.string()).nullish(),
});
type SecretRecord = SecretName & { readonly uid: string; readonly resourceVersion: string; readonly reading: SecretReading };

function decode(raw: unknown): SecretRecord {
  const { metadata, data } = Secret.parse(raw);
  const { uid, resourceVersion, namespace, name } = metadata;
  return { uid, resourceVersion, namespace, name, reading: readCertificateSecret(data ?? {}) };
}

/** Certificates of Opaque Secrets. A cluster in which nobody names one needs no right to read any. */
export interface CertificateSecrets {
  /** What the Secret says; undefined: Secrets have not been read yet, and are from now on. */
  find(namespace: string, name: string): SecretReading | undefined;
  /** Secrets are asked for and the API server does not let us read them. */
  readonly denied: boolean;
  run(signal: AbortSignal): Promise<void>;
}

/** `onChange`: what a Secret of this name says may have changed. */
export function makeCertificateSecrets(deps: ListWatchDeps, onChange: (secret: SecretName) => void): CertificateSecrets {
  const byName = new Map<string, SecretReading>();
  const asked = new Set<string>();
  const needed = Promise.withResolvers<void>();
  let denied = false;
  const keyOf = ({ namespace, name }: SecretName): string => `${namespace}/${name}`;
  const tellAsked = (): void => {
    for (const key of asked) {
      const [namespace = "", name = ""] = key.split("/");
      onChange({ namespace, name });
    }
  };
  const set = makeListWatch<SecretRecord>(deps, {
    path: "/api/v1/secrets",
    query: { fieldSelector: "type=Opaque" },
    decode,
    onChange: ({ kind, record }) => {
      if (kind === "removed") byName.delete(keyOf(record));
      else byName.set(keyOf(record), record.reading);
      if (asked.has(keyOf(record))) onChange(record);
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
    find: (namespace, name) => {
      asked.add(keyOf({ namespace, name }));
      needed.resolve();
      if (!set.synced) return undefined;
      return byName.get(keyOf({ namespace, name })) ?? MISSING;
    },
    get denied() {
      return denied;
    },
    run: async (signal) => {
      const over = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => over.resolve(), { once: true });
      if (!signal.aborted) await Promise.race([needed.promise, over.promise]);
      if (!signal.aborted) await set.run(signal);
    },
  };
}

const MISSING: SecretReading = { code: "E4010", fault: "does not exist, or is not of type Opaque: create it" };
