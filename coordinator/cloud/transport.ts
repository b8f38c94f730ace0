import { AbstractClient } from "tencentcloud-sdk-nodejs/tencentcloud/common/abstract_client.js";
import { Client as ClbClient } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_client.js";

/** The cloud's services that we call. */
export type CloudService = "clb" | "vpc" | "ssl";

/** Versions of the other services' APIs. Source: clb-api.md §1.1. */
const VERSIONS = { vpc: "2017-03-12", ssl: "2019-12-05" } as const;

/**
 * One call to the cloud: implemented by the SDK's clients, and by the emulated cloud's core in one process.
 * Rejects with whatever the other side throws; cloud/clb-call.ts makes a ClbApiError of it.
 */
export type CloudTransport = (service: CloudService, action: string, request: object, signal: AbortSignal) => Promise<unknown>;

type Credential = { readonly secretId: string; readonly secretKey: string; readonly token: string | undefined };

/**
 * `endpoint` e.g. "clb.tencentcloudapi.com" or "10.244.1.200:8080"; `protocol` e.g. "https://".
 * `timeoutSeconds`: a synchronous batch call lasts as long as its task, so it must be generous. Source: clb-api.md §3.3.
 */
export type CloudOptions = {
  readonly region: string;
  readonly endpoint: string;
  /** Of the VPC service, e.g. "vpc.tencentcloudapi.com"; default: the same. */
  readonly vpcEndpoint?: string;
  /** Of the certificate service, e.g. "ssl.tencentcloudapi.com"; default: the same. */
  readonly sslEndpoint?: string;
  readonly protocol: string;
  readonly timeoutSeconds: number;
  readonly credential: Credential;
};

/** No agent and no socket limit: the SDK's transport breaks behind one (clb-api.md §1.4); concurrency is bounded by the rate limits. */
export function makeSdkTransport(options: CloudOptions): CloudTransport {
  const configOf = (at: string) => ({
    region: options.region,
    credential: {
      getCredential: async () => {
        const { secretId, secretKey, token } = options.credential;
        return { secretId, secretKey, ...(token !== undefined && { token }) };
      },
    },
    profile: { httpProfile: { endpoint: at, protocol: options.protocol, reqTimeout: options.timeoutSeconds } },
  });
  const { endpoint, vpcEndpoint = endpoint, sslEndpoint = endpoint } = options;
  const clients = {
    clb: new ClbClient(configOf(endpoint)),
    // The bare client: those of the services bring 4 MB of models that we read types of only.
    vpc: new AbstractClient(vpcEndpoint, VERSIONS.vpc, configOf(vpcEndpoint)),
    ssl: new AbstractClient(sslEndpoint, VERSIONS.ssl, configOf(sslEndpoint)),
  };
  // The SDK's types leave the signal to the DOM's or Node's AbortSignal, whichever is loaded; both are this one.
  return (service, action, request, signal) => clients[service].request(action, request, { signal });
}
