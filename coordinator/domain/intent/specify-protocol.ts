import type { Protocol } from "../load-balancer.ts";
import { parsedJson } from "./annotations.ts";

/** Protocols by port of the Service, e.g. 53 -> ["TCP", "UDP"]. */
type Specified = ReadonlyMap<number, readonly Protocol[]>;

const KNOWN = ["TCP", "UDP", "TCP_SSL", "HTTP", "HTTPS", "QUIC"];

/** What is wrong with the value; undefined: nothing. */
export function specifyFault(value: string): string | undefined {
  const given = parsedJson(value);
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return 'use a JSON object, e.g. {"53":{"protocol":["TCP","UDP"]}}';
  for (const [port, wish] of Object.entries(given)) {
    if (!/^\d{1,5}$/.test(port)) return `"${port}" is no port: use the number of a port of the Service`;
    const protocols = protocolsIn(wish);
    if (protocols.length === 0) return `port ${port} names no protocol: use a list of ${KNOWN.join(", ")}`;
    const unknown = protocols.find((protocol) => !KNOWN.includes(protocol));
    if (unknown !== undefined) return `protocol ${JSON.stringify(unknown)} of port ${port}: use ${KNOWN.join(", ")}`;
  }
  return undefined;
}

/** Some port wants a protocol with certificates or rules, which Services do not have yet: plain TCP would be something else. */
export const needsOthers = (value: string): boolean =>
  Object.values(Object(parsedJson(value))).some((wish) => protocolsIn(wish).some((protocol) => protocol !== "TCP" && protocol !== "UDP"));

/** Pure: the protocols of each port that is named. */
export function specifiedProtocols(value: string | undefined): Specified {
  const wishes = Object.entries(Object(parsedJson(value ?? "{}")));
  return new Map(
    wishes.map(([port, wish]) => [
      Number(port),
      protocolsIn(wish).flatMap((one): Protocol[] => (one === "TCP" || one === "UDP" ? [one] : [])),
    ]),
  );
}

function protocolsIn(wish: unknown): readonly string[] {
  const list: unknown = typeof wish === "object" && wish !== null ? Reflect.get(wish, "protocol") : undefined;
  return Array.isArray(list) ? [...new Set(list.map(String))] : [];
}
