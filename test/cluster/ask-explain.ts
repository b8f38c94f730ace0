/** The explain port, asked with a token of ServiceAccount clb-direct-reader, as `npm run explain` does. */
import { request } from "node:https";
import {
  CA_BUNDLE_CONFIG_MAP,
  CA_BUNDLE_KEY,
  COORDINATOR_SERVICE,
  DEFAULT_NAMESPACE,
  EXPLAIN_TOKEN_HEADER,
  READER_SERVICE_ACCOUNT,
  TOKEN_AUDIENCE,
} from "../../common/names.ts";
import type { Cluster } from "./simulated/cluster.ts";

const TOKEN_SECONDS = 3600;

export type Trust = { readonly token: string; readonly ca: string };

/** As `npm run explain` finds it by the kubeconfig. */
export async function trustOf({ client }: Cluster): Promise<Trust> {
  const ours = `/api/v1/namespaces/${DEFAULT_NAMESPACE}`;
  const spec = { audiences: [TOKEN_AUDIENCE], expirationSeconds: TOKEN_SECONDS };
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
  const path = `${ours}/serviceaccounts/${READER_SERVICE_ACCOUNT}/token`;
  const { status } = await client.create<{ status: { token: string } }>(path, body);
  const { data } = await client.get<{ data: Record<string, string> }>(`${ours}/configmaps/${CA_BUNDLE_CONFIG_MAP}`);
  return { token: status.token, ca: data[CA_BUNDLE_KEY] ?? "" };
}

/** GET on an explain port. */
export function askExplain(
  url: string,
  { token, ca }: { readonly token: string | undefined; readonly ca: string },
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const headers = token === undefined ? {} : { [EXPLAIN_TOKEN_HEADER]: token };
    const servername = `${COORDINATOR_SERVICE}.${DEFAULT_NAMESPACE}.svc`;
    const asked = request(url, { ca, servername, headers, agent: false, signal: AbortSignal.timeout(5_000) }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text })).on("error", reject);
    });
    asked.on("error", reject).end();
  });
}
