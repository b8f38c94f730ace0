import { canonicalDomain, LISTENER_PROTOCOLS, type ListenerProtocol, needsCertificate, transportOf } from "../load-balancer.ts";
import { parsedJson } from "./annotations.ts";
import { field } from "./config-fields.ts";
import type { IntentPort, IntentRule } from "./intent-port.ts";

/** A listener that stands in place of a port's own protocol, e.g. { protocol: "TCP_SSL", certificate: { secret: "tls" } }. */
export type SpecifiedListener = Pick<IntentPort, "protocol" | "certificate" | "rules">;
/** Listeners by port of the Service. */
type Specified = ReadonlyMap<number, readonly SpecifiedListener[]>;

/** What is said of one port, as far as it can be read. `hosts`: the Secret of each, undefined where it names none. */
type Wish = {
  readonly protocols: readonly string[];
  readonly tls: string | undefined;
  readonly hosts: ReadonlyMap<string, string | undefined>;
};

/** What is wrong with the value; undefined: nothing. */
export function specifyFault(value: string): string | undefined {
  const given = parsedJson(value);
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return 'use a JSON object, e.g. {"53":{"protocol":["TCP","UDP"]}}';
  for (const [port, wish] of Object.entries(given)) {
    if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535)
      return `"${port}" is no port: use the number of a port of the Service, without zeros before it`;
    const fault = shapeFault(port, wish) ?? wishFault(port, wishOf(wish));
    if (fault !== undefined) return fault;
  }
  return undefined;
}

const FIELDS = ["protocol", "tls", "hosts"];

function shapeFault(port: string, wish: unknown): string | undefined {
  if (typeof wish !== "object" || wish === null) return `port ${port} is no object: use e.g. {"protocol":["TCP"]}`;
  const unknown = Object.keys(wish).find((name) => !FIELDS.includes(name));
  if (unknown !== undefined) return `port ${port} has "${unknown}", which is not known: use ${FIELDS.join(", ")}`;
  const protocols = namedProtocols(wish);
  const repeated = protocols.find((protocol, at) => protocols.indexOf(protocol) !== at);
  if (repeated !== undefined) return `port ${port} names ${repeated} twice: name each protocol once`;
  const [tls, hosts = {}] = [field(wish, "tls"), field(wish, "hosts")];
  if (tls !== undefined && !isSecretName(tls)) return `tls of port ${port} is ${JSON.stringify(tls)}: use the name of a Secret`;
  if (typeof hosts !== "object" || hosts === null || Array.isArray(hosts))
    return `hosts of port ${port} is no object: use e.g. {"shop.example.com":{"tls":"a-secret"}}`;
  for (const [host, says] of Object.entries(hosts)) {
    if (!isDomain(host))
      return `host "${host}" of port ${port} is no domain: use a name in which * is the first or the last letter at most`;
    const secret = field(says, "tls");
    if (typeof says !== "object" || says === null || (secret !== undefined && !isSecretName(secret)))
      return `host "${host}" of port ${port} is ${JSON.stringify(says)}: use {} or {"tls":"name of a Secret"}`;
  }
  const names = Object.keys(hosts);
  const [one, same] = names.filter((host) => names.some((other) => other !== host && canonicalDomain(other) === canonicalDomain(host)));
  if (same !== undefined) return `hosts "${one}" and "${same}" of port ${port} are the same one: keep one of them`;
  return undefined;
}

const isSecretName = (value: unknown): boolean => typeof value === "string" && /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(value);
/** "" stands for the load balancer's address. Source of the form: clb-api.md §2.2. */
const isDomain = (host: string): boolean =>
  host === "" ||
  host.startsWith("~") ||
  (host.length <= 80 && /^(\*|[a-z0-9])[-_a-z0-9.]*([a-z0-9]|\*)?$/i.test(host) && host.split("*").length <= 2);

function wishFault(port: string, { protocols, tls, hosts }: Wish): string | undefined {
  if (protocols.length === 0) return `port ${port} names no protocol: use a list of ${LISTENER_PROTOCOLS.join(", ")}`;
  const unknown = protocols.find((protocol) => !isKnown(protocol));
  if (unknown !== undefined) return `protocol ${JSON.stringify(unknown)} of port ${port}: use ${LISTENER_PROTOCOLS.join(", ")}`;
  const [first, second] = protocols.filter((one, _, all) => all.some((other) => other !== one && transportOf(other) === transportOf(one)));
  if (second !== undefined)
    return `${first} and ${second} of port ${port} cannot share a port number: one of TCP, TCP_SSL, HTTP, HTTPS and one of UDP, QUIC can`;
  const layer7 = protocols.find((protocol) => protocol === "HTTP" || protocol === "HTTPS");
  if (layer7 !== undefined && hosts.size === 0)
    return `${layer7} of port ${port} names no hosts: use e.g. "hosts":{"shop.example.com":{}}; "" stands for the load balancer's address`;
  const bare = [...hosts].find(([, secret]) => secret === undefined)?.[0];
  if (protocols.includes("HTTPS") && tls === undefined && bare !== undefined)
    return `host "${bare}" of port ${port} has no certificate: name its Secret by "tls", here or for the whole port`;
  const ssl = protocols.find((protocol) => protocol === "TCP_SSL" || protocol === "QUIC");
  if (ssl !== undefined && tls === undefined) return `${ssl} of port ${port} has no certificate: name its Secret by "tls"`;
  return undefined;
}

/** Pure, of a value without faults: what of it says nothing to the protocols that are named, e.g. "tls of port 80". */
export function specifiedInVain(value: string): readonly string[] {
  return Object.entries(Object(parsedJson(value))).flatMap(([port, wish]) => {
    const { protocols, tls, hosts } = wishOf(wish);
    const hasHosts = protocols.some((protocol) => protocol === "HTTP" || protocol === "HTTPS");
    const hasTls = protocols.some(needsCertificate);
    const isHostTls = [...hosts.values()].some((secret) => secret !== undefined);
    return [
      ...(tls !== undefined && !hasTls ? [`tls of port ${port}`] : []),
      ...(hosts.size > 0 && !hasHosts ? [`hosts of port ${port}`] : []),
      ...(isHostTls && hasHosts && !protocols.includes("HTTPS") ? [`tls of hosts of port ${port}`] : []),
    ];
  });
}

/** Pure, of a value without faults: the listeners of each port that is named. */
export function specifiedListeners(value: string | undefined): Specified {
  const wishes = Object.entries(Object(parsedJson(value ?? "{}")));
  return new Map(wishes.map(([port, wish]) => [Number(port), listenersOf(wishOf(wish))]));
}

const listenersOf = ({ protocols, tls, hosts }: Wish): SpecifiedListener[] =>
  protocols.filter(isKnown).map((protocol) => {
    const certificate = tls !== undefined && needsCertificate(protocol) ? { certificate: { secret: tls } } : {};
    if (protocol !== "HTTP" && protocol !== "HTTPS") return { protocol, ...certificate };
    const rules = [...hosts].map(([domain, secret]): IntentRule => {
      const own = secret !== undefined && protocol === "HTTPS" ? { certificate: { secret } } : {};
      return { domain, url: "/", ...own };
    });
    return { protocol, ...certificate, rules };
  });

const isKnown = (protocol: string): protocol is ListenerProtocol => LISTENER_PROTOCOLS.some((known) => known === protocol);

function namedProtocols(wish: unknown): readonly string[] {
  const protocols = field(wish, "protocol");
  return Array.isArray(protocols) ? protocols.map(String) : [];
}

function wishOf(wish: unknown): Wish {
  const hosts = Object.entries(Object(field(wish, "hosts") ?? {}));
  return {
    protocols: namedProtocols(wish),
    tls: secretIn(wish),
    hosts: new Map(hosts.map(([host, says]) => [host, secretIn(says)])),
  };
}

function secretIn(value: unknown): string | undefined {
  const name = field(value, "tls");
  return typeof name === "string" ? name : undefined;
}
