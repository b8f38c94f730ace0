import type { Clock } from "../../common/clock.ts";
import { isCancelled } from "../../common/errors.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { ClbApiError, isDenied } from "../cloud/clb-error.ts";
import type { SslApi } from "../cloud/ssl-api.ts";
import type { SecretFault, SecretReading } from "../domain/intent/certificate-secret.ts";
import type { Policy } from "../domain/safety/policy.ts";
import { type CertificateSecrets, fingerprintOf, type SecretName } from "../state/certificate-secrets.ts";

type UploadDeps = {
  readonly secrets: Pick<CertificateSecrets, "find" | "denied">;
  readonly client: Pick<KubeClient, "list">;
  readonly api: SslApi;
  readonly clock: Clock;
  readonly log: Logger;
  readonly clusterId: string;
  /** False: nothing is written, now or ever. */
  readonly mayWrite: () => boolean;
  /** What a Secret stands for may have changed. */
  readonly onChange: (secret: SecretName) => void;
};

type Shared = Pick<UploadDeps, "client" | "clock" | "log"> & {
  readonly objects: { readonly certificates: UploadDeps["secrets"] };
  readonly settings: Pick<UploadDeps, "clusterId"> & { readonly policy: Policy };
};
export const uploadsOf = (
  { client, clock, log, objects, settings }: Shared,
  { isOurs, ...rest }: Pick<UploadDeps, "api" | "onChange"> & { readonly isOurs: () => boolean },
): CertificateUploads =>
  new CertificateUploads({
    ...rest,
    client,
    clock,
    log,
    secrets: objects.certificates,
    clusterId: settings.clusterId,
    mayWrite: () => settings.policy !== "observe" && isOurs(),
  });

/** What was refused is tried again so often. Milliseconds. */
const AGAIN_MS = 30_000;
/** While nothing may be written. Milliseconds. */
const NOT_YET_MS = 1_000;

type Upload =
  | { readonly state: "running" }
  | { readonly state: "done"; readonly id: string }
  | ({ readonly state: "refused" } & SecretFault);

/**
 * Secrets of certificates, those of type kubernetes.io/tls among them: these are brought to the certificate service, once for each content,
 * and stand for the id that they get there. The key is read when it is sent and is not kept. What is brought stays in the account: nobody
 * can tell who else has come to use it.
 */
class CertificateUploads {
  readonly #deps: UploadDeps;
  /** By fingerprint. */
  readonly #uploads = new Map<string, Upload>();
  #signal: AbortSignal | undefined;

  constructor(deps: UploadDeps) {
    this.#deps = deps;
  }

  /** Uploads begin here, and end with the signal. */
  begin(signal: AbortSignal): void {
    this.#signal = signal;
  }

  get denied(): boolean {
    return this.#deps.secrets.denied;
  }

  /** As `CertificateSecrets.find`; undefined as well while a certificate is on its way to the account. */
  find(namespace: string, name: string): Exclude<SecretReading, { tls: unknown }> | undefined {
    const reading = this.#deps.secrets.find(namespace, name);
    if (reading === undefined || !("tls" in reading)) return reading;
    const { fingerprint } = reading.tls;
    const upload = this.#uploads.get(fingerprint);
    if (upload?.state === "done") return { certificate: { certIds: [upload.id] } };
    if (upload?.state === "refused") return { code: upload.code, fault: upload.fault };
    if (upload === undefined && this.#signal !== undefined) {
      this.#uploads.set(fingerprint, { state: "running" });
      void this.#upload({ namespace, name }, fingerprint, this.#signal);
    }
    return undefined;
  }

  /** Never rejects. */
  async #upload(secret: SecretName, fingerprint: string, signal: AbortSignal): Promise<void> {
    const { clock, onChange, mayWrite } = this.#deps;
    try {
      while (!mayWrite()) await clock.sleep(NOT_YET_MS, signal);
      const upload = await this.#bring(secret, fingerprint, signal);
      if (upload === undefined)
        this.#uploads.delete(fingerprint); // it says something else by now
      else this.#uploads.set(fingerprint, upload);
      onChange(secret);
      if (upload?.state !== "refused") return;
      await clock.sleep(AGAIN_MS, signal);
      this.#uploads.delete(fingerprint);
      onChange(secret);
    } catch (err) {
      if (!isCancelled(err, signal) && !signal.aborted) this.#deps.log.error({ err, ...secret }, "certificate not brought to the account");
    }
  }

  /** Undefined: the Secret has another content than the one that was asked for. */
  async #bring({ namespace, name }: SecretName, fingerprint: string, signal: AbortSignal): Promise<Upload | undefined> {
    const { api, clusterId, log } = this.#deps;
    try {
      const { cert, key } = await this.#read({ namespace, name }, signal);
      if (fingerprintOf(cert) !== fingerprint) return undefined;
      const id = await api.upload({ alias: `cd-${clusterId}-${namespace}-${name}`.slice(0, 200), cert, key }, signal);
      if (id === "") return refused("E5003", "the certificate service answered without an id");
      log.info({ namespace, name, certificateId: id }, "certificate brought to the account");
      return { state: "done", id };
    } catch (err) {
      if (isCancelled(err, signal) || signal.aborted) throw err;
      log.warn({ err, namespace, name }, "certificate not brought to the account");
      if (!(err instanceof ClbApiError)) return refused("E5003", err instanceof Error ? err.message : String(err));
      const said = `${err.call.code}: ${err.words}`;
      if (isDenied(err.call.code))
        return refused(
          "E4007",
          `${said}. Allow ssl:UploadCertificate in the policy (CAM) of the coordinator's key, or name the certificate's id in an Opaque Secret`,
        );
      return refused(err.call.code.startsWith("FailedOperation.Certificate") ? "E4035" : "E5003", said);
    }
  }

  /** By a list of one: the coordinator's role needs no other right than the watch does. */
  async #read({ namespace, name }: SecretName, signal: AbortSignal): Promise<{ readonly cert: string; readonly key: string }> {
    const path = kubePath`/api/v1/namespaces/${namespace}/secrets`;
    const { items } = await this.#deps.client.list<{ data?: Record<string, string> }>(
      path,
      { fieldSelector: `metadata.name=${name}` },
      { signal },
    );
    const textOf = (key: string): string => Buffer.from(items[0]?.data?.[key] ?? "", "base64").toString("utf8");
    return { cert: textOf("tls.crt"), key: textOf("tls.key") };
  }
}

const refused = (code: string, why: string): Upload => ({
  state: "refused",
  code,
  fault: `could not be brought to the certificate service: ${why}; it is tried again every 30 s`,
});
