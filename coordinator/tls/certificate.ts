import "reflect-metadata"; // before @peculiar/x509, which throws without it
import { createPrivateKey, webcrypto, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  X509Certificate as IssuedCertificate,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

/** A certificate with its private key, both PEM (key: PKCS#8). */
export type Material = { readonly certPem: string; readonly keyPem: string };

/** Why a certificate must not (or not much longer) be used. */
export type CertificateFault = "unparsable" | "key-mismatch" | "wrong-issuer" | "wrong-name" | "not-yet-valid" | "expired" | "near-expiry";

const DAY_MS = 86_400_000;
/** The authority is trusted by files that live agents mount; a year keeps its rotation rare, and its overlap covers any agent's restart. */
const AUTHORITY_LIFE_MS = 365 * DAY_MS;
/** The leaf is swapped in place, so a short life costs nothing; 90 days leave 30 days to repair a failing renewal before it expires. */
const SERVING_LIFE_MS = 90 * DAY_MS;
/** Clocks of two nodes may differ by this much; the certificate is valid since so long before its issue. */
const CLOCK_SKEW_MS = 300_000;
/** Renewed after this share of its life, as kubelet and cert-manager do. */
const RENEW_AT = 2 / 3;

const KEY = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** When the first certificate of the PEM text expires, seconds since the epoch. Throws on what is none. */
export const expirySeconds = (certPem: string): number => new X509Certificate(certPem).validToDate.getTime() / 1_000;

/** A self-signed P-256 authority, valid for one year from `nowMs` (milliseconds since the epoch, wall time). 20-50 ms. */
export async function issueAuthority(nowMs: number): Promise<Material> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      ...validity(nowMs, AUTHORITY_LIFE_MS),
      name: "CN=clb-direct CA",
      keys,
      signingAlgorithm: KEY,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return toMaterial(certificate, keys);
}

/**
 * A serving certificate for these names, e.g. (["clb-direct-coordinator.clb-direct.svc"], ["127.0.0.1"]), valid for 90 days, never
 * beyond the authority. Rejects if the authority does not parse.
 */
export async function issueServing(
  authority: Material,
  dnsNames: readonly string[],
  ipAddresses: readonly string[],
  nowMs: number,
): Promise<Material> {
  const issuer = new IssuedCertificate(authority.certPem);
  const keys = await newKeys();
  const { notBefore, notAfter, serialNumber } = validity(nowMs, SERVING_LIFE_MS);
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber,
      notBefore,
      notAfter: new Date(Math.min(notAfter.getTime(), issuer.notAfter.getTime())),
      subject: "CN=clb-direct",
      issuer: issuer.subject,
      publicKey: keys.publicKey,
      signingKey: await webcrypto.subtle.importKey("pkcs8", PemConverter.decodeFirst(authority.keyPem), KEY, false, ["sign"]),
      signingAlgorithm: KEY,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        await AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
        new SubjectAlternativeNameExtension([
          ...dnsNames.map((value) => ({ type: "dns" as const, value })),
          ...ipAddresses.map((value) => ({ type: "ip" as const, value })),
        ]),
      ],
    },
    webcrypto,
  );
  return toMaterial(certificate, keys);
}

/**
 * The first fault of a certificate, gravest first; undefined: it is good. `caPem` holds the authorities that may have issued it (for an
 * authority: itself), `names` are DNS names and IP addresses that it must cover, e.g. ["coordinator.svc", "127.0.0.1"].
 */
export function certificateFault(
  material: Material & { readonly caPem: string },
  nowMs: number,
  names: readonly string[],
): CertificateFault | undefined {
  const certificate = parse(material.certPem);
  if (certificate === undefined) return "unparsable";
  if (!keyFits(certificate, material.keyPem)) return "key-mismatch";
  if (!authoritiesIn(material.caPem).some((pem) => isIssuedBy(certificate, pem))) return "wrong-issuer";
  if (!names.every((name) => covers(certificate, name))) return "wrong-name";
  const from = certificate.validFromDate.getTime();
  const until = certificate.validToDate.getTime();
  if (nowMs < from) return "not-yet-valid";
  if (nowMs >= until) return "expired";
  return nowMs >= from + (until - from) * RENEW_AT ? "near-expiry" : undefined;
}

/** The names that a certificate covers; empty where it does not parse. */
export function namesOf(certPem: string): { readonly dnsNames: readonly string[]; readonly ipAddresses: readonly string[] } {
  const names = (parse(certPem)?.subjectAltName ?? "").split(", ");
  const after = (prefix: string): string[] => names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  return { dnsNames: after("DNS:"), ipAddresses: after("IP Address:") };
}

/** The certificates in a bundle that parse and are not expired, each once, in their order. */
export function authoritiesIn(bundlePem: string, nowMs = Number.NEGATIVE_INFINITY): readonly string[] {
  const blocks = bundlePem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const good = blocks.filter((pem) => (parse(pem)?.validToDate.getTime() ?? nowMs) > nowMs).map((pem) => `${pem}\n`);
  return [...new Set(good)];
}

/** When a certificate was issued, milliseconds since the epoch. Throws where it does not parse. */
export const issuedAtMs = (certPem: string): number => new X509Certificate(certPem).validFromDate.getTime() + CLOCK_SKEW_MS;

export function isIssuedBy(certificate: string | X509Certificate, authorityPem: string): boolean {
  const authority = parse(authorityPem);
  const issued = typeof certificate === "string" ? parse(certificate) : certificate;
  // checkIssued compares names and key identifiers only; the signature needs a check of its own.
  return authority?.ca === true && issued !== undefined && issued.checkIssued(authority) && issued.verify(authority.publicKey);
}

function parse(certPem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(certPem);
  } catch {
    return undefined;
  }
}

function keyFits(certificate: X509Certificate, keyPem: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(keyPem));
  } catch {
    return false;
  }
}

function covers(certificate: X509Certificate, name: string): boolean {
  if (name.startsWith("*.")) return (certificate.subjectAltName ?? "").split(", ").includes(`DNS:${name}`);
  return (isIP(name) === 0 ? certificate.checkHost(name, { subject: "never" }) : certificate.checkIP(name)) !== undefined;
}

const newKeys = (): Promise<webcrypto.CryptoKeyPair> => webcrypto.subtle.generateKey(KEY, true, ["sign", "verify"]);

const validity = (nowMs: number, lifeMs: number) => ({
  serialNumber: `01${Buffer.from(webcrypto.getRandomValues(new Uint8Array(15))).toString("hex")}`, // 16 bytes, positive
  notBefore: new Date(nowMs - CLOCK_SKEW_MS),
  notAfter: new Date(nowMs + lifeMs),
});

async function toMaterial(certificate: IssuedCertificate, keys: webcrypto.CryptoKeyPair): Promise<Material> {
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { certPem: `${certificate.toString("pem")}\n`, keyPem: `${PemConverter.encode(key, "PRIVATE KEY")}\n` };
}
