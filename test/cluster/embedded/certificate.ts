import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const newKeys = (): Promise<webcrypto.CryptoKeyPair> => webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);

/** A CA made for this process and a leaf for the given host, all PEM; valid from an hour ago for ten days. */
export async function issueCertificate(
  host: string,
): Promise<{ readonly caPem: string; readonly certPem: string; readonly keyPem: string }> {
  const [caKeys, keys] = await Promise.all([newKeys(), newKeys()]);
  const valid = { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + 864_000_000), signingAlgorithm: ALGORITHM };
  const ca = await X509CertificateGenerator.createSelfSigned({
    ...valid,
    serialNumber: "01",
    name: "CN=embedded-kubernetes-ca",
    keys: caKeys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  const names = new Set([host, "127.0.0.1", "::1", "localhost", "kubernetes.default.svc"]);
  const leaf = await X509CertificateGenerator.create({
    ...valid,
    serialNumber: "02",
    subject: "CN=embedded-kubernetes",
    issuer: ca.subject,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new SubjectAlternativeNameExtension([...names].map((value) => ({ type: isIP(value) ? "ip" : "dns", value }))),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    ],
  });
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { caPem: ca.toString("pem"), certPem: leaf.toString("pem"), keyPem: PemConverter.encode(key, "PRIVATE KEY") };
}
