import { isIP } from "node:net";
import { createSecureContext, type SecureContext, type SecureContextOptions, type TlsOptions } from "node:tls";
import { callbackify } from "node:util";
import { issueAuthority, issueServing, type Material } from "../../../coordinator/tls/certificate.ts";

/** What the HTTPS server serves with, and the authority that its clients must trust (PEM). */
export type Tls = { readonly caPem: string; readonly options: TlsOptions };

/** Names asked for that are remembered; a client that makes up names costs no memory. */
const KEPT_NAMES = 500;

/**
 * An authority of its own that issues a certificate for every name a client asks for (SNI), e.g. "clb.tencentcloudapi.com"; without a name
 * one for these addresses. `nowMs` is wall time.
 */
export async function makeTls(addresses: readonly string[], nowMs: number): Promise<Tls> {
  const authority = await issueAuthority(nowMs);
  const contexts = new Map<string, Promise<SecureContext>>();
  const contextOf = (name: string): Promise<SecureContext> => {
    const kept = contexts.get(name) ?? issueServing(authority, [name], [], nowMs).then((leaf) => createSecureContext(identityOf(leaf)));
    contexts.delete(name);
    contexts.set(name, kept); // the latest at the end
    for (const oldest of contexts.keys()) if (contexts.size > KEPT_NAMES) contexts.delete(oldest);
    return kept;
  };
  const ips = [...new Set([...addresses, "127.0.0.1"])].filter((address) => isIP(address) !== 0);
  return {
    caPem: authority.certPem,
    options: {
      ...identityOf(await issueServing(authority, ["localhost"], ips, nowMs)),
      SNICallback: callbackify((name: string) => contextOf(name.toLowerCase())),
    },
  };
}

const identityOf = ({ certPem, keyPem }: Material): Pick<SecureContextOptions, "cert" | "key"> => ({ cert: certPem, key: keyPem });
