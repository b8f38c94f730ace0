/** `--ingress`: the example with an Ingress, its certificates, and where the load goes. */
import "reflect-metadata";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { issueAuthority, issueServing } from "../../coordinator/tls/certificate.ts";
import type { AddressPlan } from "../cluster/network.ts";
import type { Cluster } from "../cluster/simulated/cluster.ts";
import { NAMESPACE } from "./example.ts";
import type { Route } from "./load.ts";
import { Refusal } from "./parts.ts";

const HOST = "shop.example.com";
/** Ids in the emulated certificate service: the one that the example names, and the one that its Secret names later. */
const CERTIFICATES = ["shop-2025", "shop-2026"] as const;
/** Deployments of the example. */
export const INGRESS_APPS = ["web", "cart"] as const;
const AUTHORITY = "authority.pem";

/** The account with two certificates of one authority, written into the folder of the demo. Throws Refusal where ports below 1024 cannot be had. */
export async function writeCertificates(account: object, { kind }: Pick<AddressPlan, "kind">, directory: string): Promise<object> {
  if (kind !== "namespace")
    throw new Refusal("--ingress needs a network namespace of its own: run it as root, or where namespaces can be made");
  const authority = await issueAuthority(Date.now());
  await writeFile(join(directory, AUTHORITY), authority.certPem);
  const certificates = await Promise.all(
    CERTIFICATES.map(async (id) => {
      const { certPem, keyPem } = await issueServing(authority, [HOST], [], Date.now());
      return { id, cert: certPem, key: keyPem };
    }),
  );
  return { ...account, certificates };
}

/** Each host and path over HTTP and HTTPS, and whose Pods have to answer. */
export async function ingressRoutes(directory: string): Promise<readonly Route[]> {
  const ca = await readFile(join(directory, AUTHORITY), "utf8");
  const paths = [
    ["/", "web"],
    ["/cart/items", "cart"],
  ] as const;
  return paths.flatMap(([path, app]): Route[] => [
    { port: 80, path, host: HOST, pods: `${app}-` },
    { port: 443, path, host: HOST, pods: `${app}-`, ca },
  ]);
}

/** As a person who has a new certificate. */
export async function changeCertificate({ client }: Pick<Cluster, "client">): Promise<void> {
  const stringData = { qcloud_cert_id: CERTIFICATES[1] };
  await client.patch(`/api/v1/namespaces/${NAMESPACE}/secrets/shop-certificate`, { stringData }, "merge");
}

export const INGRESS_PATH = `/apis/networking.k8s.io/v1/namespaces/${NAMESPACE}/ingresses/shop`;
