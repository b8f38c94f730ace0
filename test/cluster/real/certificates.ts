import "reflect-metadata"; // before @peculiar/x509, which throws without it
import { webcrypto } from "node:crypto";
import {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  PemConverter,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { Material } from "../../../coordinator/tls/certificate.ts";

/** Whom a client certificate names: CN is the user, each O a group, e.g. { name: "alice", groups: ["shop:editors"] }. */
export type KubeUser = { readonly name: string; readonly groups: readonly string[] };

/** May do everything, past RBAC. */
export const ADMIN: KubeUser = { name: "admin", groups: ["system:masters"] };
export const CONTROLLER_MANAGER: KubeUser = { name: "system:kube-controller-manager", groups: [] };
export const SCHEDULER: KubeUser = { name: "system:kube-scheduler", groups: [] };

/** What the Node authorizer and NodeRestriction take for the kubelet of that Node. */
export const kubeletUser = (nodeName: string): KubeUser => ({ name: `system:node:${nodeName}`, groups: ["system:nodes"] });

const KEY = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const SKEW_MS = 300_000;

/** A client certificate of that authority for `user`, valid for a day: no test cluster lives longer. */
export async function issueClient(authority: Material, user: KubeUser): Promise<Material> {
  const issuer = new X509Certificate(authority.certPem);
  const keys = await webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: `01${Buffer.from(webcrypto.getRandomValues(new Uint8Array(15))).toString("hex")}`,
      notBefore: new Date(Date.now() - SKEW_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      subject: new Name([...user.groups.map((group) => ({ O: [group] })), { CN: [user.name] }]), // as a list: nothing in the values is parsed
      issuer: issuer.subject,
      publicKey: keys.publicKey,
      signingKey: await webcrypto.subtle.importKey("pkcs8", PemConverter.decodeFirst(authority.keyPem), KEY, false, ["sign"]),
      signingAlgorithm: KEY,
      extensions: [
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
      ],
    },
    webcrypto,
  );
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { certPem: `${certificate.toString("pem")}\n`, keyPem: `${PemConverter.encode(key, "PRIVATE KEY")}\n` };
}

/** Content of a kubeconfig file (JSON, which is YAML) with everything in it, e.g. for server "https://10.244.3.203:6443". */
export function kubeconfigOf(server: string, caPem: string, user: KubeUser, { certPem, keyPem }: Material): string {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const context = { cluster: "real", user: user.name, namespace: "default" };
  return `${JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "real", cluster: { server, "certificate-authority-data": base64(caPem) } }],
      users: [{ name: user.name, user: { "client-certificate-data": base64(certPem), "client-key-data": base64(keyPem) } }],
      contexts: [{ name: "real", context }],
      "current-context": "real",
    },
    undefined,
    2,
  )}\n`;
}
