import type { Certificate, ListenerProtocol, Protocol } from "../load-balancer.ts";

/** Which Pods a place has as backends, and at which of their ports, e.g. { targetPort: "http", declared: "TCP" }. */
export type IntentBackend = {
  readonly targetPort: number | string;
  /** Protocol with which the Pods declare a named target port; default: that of the listener. */
  readonly declared?: Protocol;
  /** The ports are those that EndpointSlices of a Service give under this name, e.g. { service: "db", port: "TCP/sql" }. */
  readonly endpoint?: { readonly service: string; readonly port: string };
  /** Default: that of the whole owner. */
  readonly selector?: Readonly<Record<string, string>>;
  /** The Service that selects them, where it is not the owner itself. */
  readonly service?: { readonly name: string; readonly port: number };
  /** Pods are bound before their containers are ready; default: as the whole owner says. */
  readonly publishNotReady?: true;
};

/** A listener that an owner asks for, e.g. { protocol: "HTTPS", port: 443, targetPort: 8080, rules: [{ domain: "shop.example.com", url: "/" }] }. */
export type IntentPort = IntentBackend & {
  readonly protocol: ListenerProtocol;
  readonly port: number;
  /** Where TLS ends: the certificate, for HTTPS that of the rules that name none. */
  readonly certificate?: CertificateSource;
  /** Of HTTP and HTTPS, where the backends are bound; the other protocols have none. */
  readonly rules?: readonly IntentRule[];
  /** The domain that serves what names no domain of it; default: as the cloud chooses, and as a TkeServiceConfig says. */
  readonly defaultDomain?: string;
};

/** "" as `domain` stands for the load balancer's address. Rules of one domain have one certificate. */
export type IntentRule = {
  readonly domain: string;
  readonly url: string;
  readonly certificate?: CertificateSource;
  /** Default: that of the port. */
  readonly backend?: IntentBackend;
  /** It has no backends: its clients are sent to that rule. "none": it may send them nowhere; absent: where somebody sends them, it stays so. */
  readonly redirect?: RedirectWish | "none";
};
/** Another rule of the same owner, e.g. { protocol: "HTTPS", port: 443, domain: "shop.example.com", url: "/", code: 301 }. */
export type RedirectWish = {
  readonly protocol: ListenerProtocol;
  readonly port: number;
  readonly domain: string;
  readonly url: string;
  readonly code: number;
};

/** Pure: the rules that have backends. */
export const servingRules = ({ rules = [] }: Pick<IntentPort, "rules">): readonly IntentRule[] =>
  rules.filter(({ redirect }) => redirect === undefined || redirect === "none");

/** An Opaque Secret of the owner's Namespace, by its name, or certificates by their ids in the account. */
export type CertificateSource = { readonly secret: string } | { readonly certIds: readonly string[]; readonly caCertId?: string };
/** The certificate that a source stands for in a Namespace; undefined: it is not known. */
export type CertificateOf = (namespace: string, source: CertificateSource | undefined) => Certificate | undefined;

/** Pure: the port as one of its rules asks for it; its backends are those of the rule. */
export const portOfRule = (port: IntentPort, rule: IntentRule): IntentPort =>
  rule.backend === undefined ? port : { ...port, ...rule.backend };
