import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { CA_SECRET, DEFAULT_NAMESPACE, SERVING_SECRET } from "../../common/names.ts";
import { issueServing, namesOf } from "../../coordinator/tls/certificate.ts";

/** Another leaf of the same authority in the coordinators' Secret: replicas take it over, ask API servers to connect anew, and the check looks soon. */
export async function renewLeaf(client: KubeClient): Promise<void> {
  const secretAt = (name: string): string => `/api/v1/namespaces/${DEFAULT_NAMESPACE}/secrets/${name}`;
  const textOf = async (name: string, key: string): Promise<string> =>
    Buffer.from((await client.get<{ data: Record<string, string> }>(secretAt(name))).data[key] ?? "", "base64").toString();
  const authority = { certPem: await textOf(CA_SECRET, "tls.crt"), keyPem: await textOf(CA_SECRET, "tls.key") };
  const { dnsNames, ipAddresses } = namesOf(await textOf(SERVING_SECRET, "tls.crt"));
  const { certPem, keyPem } = await issueServing(authority, dnsNames, ipAddresses, Date.now());
  const data = { "tls.crt": Buffer.from(certPem).toString("base64"), "tls.key": Buffer.from(keyPem).toString("base64") };
  await client.patch(secretAt(SERVING_SECRET), { data }, "merge");
}
