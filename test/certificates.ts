/** Certificates for tests, as an account of the emulated cloud has them. */
import "reflect-metadata";
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import { issueAuthority, issueServing, type Material } from "../coordinator/tls/certificate.ts";
import type { CertificateRecord } from "./cloud/model/account.ts";

let authority: Promise<Material> | undefined;
/** Who issued all of these. */
const testAuthority = (): Promise<Material> => (authority ??= issueAuthority(Date.now()));

/** One of ECC for this name, e.g. ("cert-1", "shop.example.com"). */
export async function aCertificate(id: string, name = `${id}.example.com`): Promise<CertificateRecord> {
  const { certPem, keyPem } = await issueServing(await testAuthority(), [name], [], Date.now());
  return { id, name, certPem, keyPem };
}
/** One of RSA, which signs itself. */
export async function anRsaCertificate(id: string, name = `${id}.example.com`): Promise<CertificateRecord> {
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const extensions = [new SubjectAlternativeNameExtension([{ type: "dns", value: name }])];
  const made = await X509CertificateGenerator.createSelfSigned({ name: `CN=${name}`, keys, signingAlgorithm: algorithm, extensions });
  const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return { id, name, certPem: made.toString("pem"), keyPem: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n` };
}
/** One that signs those of clients. */
export const aClientAuthority = async (id: string): Promise<CertificateRecord> => ({
  id,
  name: id,
  certPem: (await testAuthority()).certPem,
  keyPem: "",
});
