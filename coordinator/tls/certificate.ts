/** A certificate with its private key, both PEM (key: PKCS#8). */
export type Material = { readonly certPem: string; readonly keyPem: string };

/** Why a certificate must not (or not much longer) be used. */
export type CertificateFault = "unparsable" | "key-mismatch" | "wrong-issuer" | "wrong-name" | "not-yet-valid" | "expired" | "near-expiry";

export async function issueAuthority(_nowMs: number): Promise<Material> {
  throw new Error("not built yet");
}
export async function issueServing(
  _authority: Material,
  _dnsNames: readonly string[],
  _ipAddresses: readonly string[],
  _nowMs: number,
): Promise<Material> {
  throw new Error("not built yet");
}
/** `material.caPem` holds the authorities that may have issued it; `names` are DNS names and IP addresses that it must cover. */
export function certificateFault(
  _material: Material & { readonly caPem: string },
  _nowMs: number,
  _names: readonly string[],
): CertificateFault | undefined {
  throw new Error("not built yet");
}
