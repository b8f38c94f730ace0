/** Certificates for tests, as an account of the emulated cloud has them. */
import "reflect-metadata";
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
/** One that signs those of clients. */
export const aClientAuthority = async (id: string): Promise<CertificateRecord> => ({
  id,
  name: id,
  certPem: (await testAuthority()).certPem,
  keyPem: "",
});
