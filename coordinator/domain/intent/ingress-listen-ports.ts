import { parsedJson } from "./annotations.ts";

/** A listener that an Ingress asks for, e.g. { protocol: "HTTP", port: 8080 }. */
export type ListenPort = { readonly protocol: "HTTP" | "HTTPS"; readonly port: number };

const HTTP: ListenPort = { protocol: "HTTP", port: 80 };
const HTTPS: ListenPort = { protocol: "HTTPS", port: 443 };

/** What is wrong with annotation listen-ports; undefined: nothing. */
export function listenPortsFault(value: string): string | undefined {
  const list = parsedJson(value);
  if (!Array.isArray(list) || list.length === 0) return 'use a JSON array, e.g. [{"HTTP":80},{"HTTPS":443}]';
  const numbers = new Set<number>();
  for (const [index, item] of list.entries()) {
    const entries = Object.entries(Object(item));
    const [[protocol, port] = []] = entries;
    if (entries.length !== 1 || (protocol !== "HTTP" && protocol !== "HTTPS")) return `item ${index}: use {"HTTP":port} or {"HTTPS":port}`;
    if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535)
      return `item ${index}: use a port from 1 to 65535`;
    if (numbers.has(port)) return `item ${index}: port ${port} is there twice`;
    numbers.add(port);
  }
  return undefined;
}

/** Pure: the listeners of a value that has been judged before; undefined: it names none. */
export function listenPorts(value: string | undefined): readonly ListenPort[] | undefined {
  const list = value === undefined ? undefined : parsedJson(value);
  if (!Array.isArray(list)) return undefined;
  return list.flatMap((item: unknown) =>
    Object.entries(Object(item)).flatMap(([protocol, port]): ListenPort[] =>
      (protocol === "HTTP" || protocol === "HTTPS") && typeof port === "number" ? [{ protocol, port }] : [],
    ),
  );
}

/** Where nothing else is said. `mixed`: rules are spread over both. */
export const defaultPorts = (hasTls: boolean, mixed: boolean): readonly ListenPort[] => (mixed ? [HTTP, HTTPS] : hasTls ? [HTTPS] : [HTTP]);
