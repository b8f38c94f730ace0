import type { Socket } from "node:net";
import { createSecureContext, type SecureContext, type SecureContextOptions, type Server, type TlsOptions } from "node:tls";
import type { CertificateChoice, CertificateRecord, ListenerRecord } from "../model/account.ts";
import { matchDomain } from "./match-rule.ts";
import { readServerName } from "./server-name.ts";

type Material = { readonly options: SecureContextOptions; readonly context: SecureContext };

/** TLS made of the account's certificates. */
export interface Certificates {
  /** What a client gets that asks for this name ("" if it names none). Undefined: nothing to offer, the handshake fails. */
  materialFor(listener: ListenerRecord, serverName: string): Material | undefined;
}

export function makeCertificates(account: ReadonlyMap<string, CertificateRecord>): Certificates {
  const made = new Map<string, Material>();
  const materialOf = ({ certIds, caCertId }: CertificateChoice): Material | undefined => {
    const records = certIds.map((id) => account.get(id)).filter((record) => record !== undefined);
    if (records.length === 0) return undefined;
    const key = [...certIds, caCertId].join(" ");
    const known = made.get(key);
    if (known !== undefined) return known;
    const ca = caCertId === undefined ? undefined : account.get(caCertId)?.certPem;
    const options: SecureContextOptions = {
      cert: records.map(({ certPem }) => certPem), // one RSA and one ECC: the client's ciphers decide
      key: records.map(({ keyPem }) => keyPem),
      ...(ca !== undefined && { ca }),
    };
    const material = { options, context: createSecureContext(options) };
    made.set(key, material);
    return material;
  };
  return {
    materialFor: (listener, serverName) => {
      const choice = listener.sni ? choiceByName(listener, serverName) : listener.certificate;
      return choice === undefined ? undefined : materialOf(choice);
    },
  };
}

/** With SNI: the certificate of the domain that fits, else that of the default domain. */
function choiceByName({ rules, defaultDomain, certificate }: ListenerRecord, serverName: string): CertificateChoice | undefined {
  const domain = matchDomain(
    [...rules.values()].flatMap(({ domains }) => domains),
    serverName.toLowerCase(),
  );
  for (const wanted of [domain, defaultDomain])
    for (const rule of rules.values())
      if (wanted !== undefined && rule.domains.includes(wanted) && rule.certificate !== undefined) return rule.certificate;
  return certificate;
}

/** Options for a server whose certificates follow the listener while its port is open; `followCertificate` does the rest. */
export const tlsOptions = (listener: ListenerRecord, certificates: Certificates): TlsOptions => ({
  SNICallback: (name, done) => {
    const material = certificates.materialFor(listener, name);
    if (material === undefined) done(new Error(`no certificate for ${name}`));
    else if (hasTwo(material))
      done(null); // the server has both: this way Node would take over one of them only
    else done(null, material.context);
  },
  requestCert: listener.certificate?.sslMode === "MUTUAL",
  rejectUnauthorized: listener.certificate?.sslMode === "MUTUAL",
});

/**
 * A client that names no host gets the certificate that the listener has when it comes. So does one whose host has two: the server itself has
 * to have both by then, so the name is read before the handshake begins.
 */
export function followCertificate(server: Server, listener: ListenerRecord, certificates: Certificates): void {
  let current: Material | undefined;
  const accept = server.listeners("connection");
  server.removeAllListeners("connection");
  const take = (socket: Socket, name: string): void => {
    const wanted = certificates.materialFor(listener, name);
    if (wanted !== undefined && wanted !== current) {
      current = wanted;
      server.setSecureContext(wanted.options);
    }
    for (const one of accept) Reflect.apply(one, server, [socket]);
  };
  server.on("connection", (socket: Socket) => {
    const choices = [listener.certificate, ...[...listener.rules.values()].map(({ certificate }) => certificate)];
    if (!choices.some((choice) => choice !== undefined && choice.certIds.length > 1)) return take(socket, "");
    socket.on("error", () => undefined);
    readServerName(socket, (name) => take(socket, name));
  });
}

const hasTwo = ({ options: { cert } }: Material): boolean => Array.isArray(cert) && cert.length > 1;
