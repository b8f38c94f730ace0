import type * as ssl from "tencentcloud-sdk-nodejs/tencentcloud/services/ssl/v20191205/ssl_models.js";
import { CLUSTER_TAG } from "../../common/names.ts";
import { ClbCall, type ClbCallDeps } from "./clb-call.ts";

/** A certificate with its chain and its key, in PEM; `alias` is what a person reads in the console. */
export type Pem = { readonly alias: string; readonly cert: string; readonly key: string };

export type SslApi = ReturnType<typeof makeSslApi>;

/** What is written to the certificate service. Rejects with ClbApiError, or with the signal's reason. */
export function makeSslApi(deps: ClbCallDeps, clusterId: string) {
  const call = new ClbCall({ ...deps, service: "ssl" });
  return {
    /** Resolves with its id in the account; the same certificate has the same id however often it is brought. */
    upload: async ({ alias, cert, key }: Pem, signal: AbortSignal): Promise<string> => {
      const request: ssl.UploadCertificateRequest = {
        CertificatePublicKey: cert,
        CertificatePrivateKey: key,
        CertificateType: "SVR",
        Alias: alias,
        Repeatable: false,
        Tags: [{ TagKey: CLUSTER_TAG, TagValue: clusterId }],
      };
      const answer = await call.call<ssl.UploadCertificateRequest, ssl.UploadCertificateResponse>("UploadCertificate", request, signal);
      return answer.CertificateId || answer.RepeatCertId || "";
    },
  };
}
