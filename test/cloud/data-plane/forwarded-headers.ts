/** A client's connection, as a layer-7 listener sees it. */
export type Hop = {
  readonly clientAddress: string;
  readonly scheme: "http" | "https";
  /** E.g. "1.1". */
  readonly httpVersion: string;
  /** Whether the backend shall keep the connection. */
  readonly keepAlive: boolean;
};

/** Belong to one connection and are not passed on (RFC 9110 §7.6.1), and those that the load balancer sets itself. */
const NOT_PASSED = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "upgrade",
  "expect",
  "x-real-ip",
  "x-client-proto",
  "x-client-proto-ver",
]);
const CHAIN = "x-forwarded-for";

/** Pure: the request's raw header list for the backend. The client's address is appended to X-Forwarded-For, never trusted from it. */
export function requestHeaders(raw: readonly string[], hop: Hop, upgrade?: string): string[] {
  const headers: string[] = [];
  const chain: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const [name = "", value = ""] = [raw[index], raw[index + 1]];
    const key = name.toLowerCase();
    if (key === CHAIN) chain.push(value);
    else if (!NOT_PASSED.has(key)) headers.push(name, value);
  }
  const connection = upgrade === undefined ? (hop.keepAlive ? "keep-alive" : "close") : "upgrade";
  headers.push("X-Forwarded-For", [...chain, hop.clientAddress].join(", "), "X-Real-IP", hop.clientAddress);
  headers.push("X-Client-Proto", hop.scheme, "X-Client-Proto-Ver", `HTTP/${hop.httpVersion}`, "Connection", connection);
  if (upgrade !== undefined) headers.push("Upgrade", upgrade);
  return headers;
}

/** Node writes these itself, as the client's connection needs them. */
const NOT_RETURNED = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]);

/** Pure: the response's raw header list for the client. */
export function responseHeaders(raw: readonly string[], cookie: string | undefined): string[] {
  const headers: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const [name = "", value = ""] = [raw[index], raw[index + 1]];
    if (!NOT_RETURNED.has(name.toLowerCase())) headers.push(name, value);
  }
  if (cookie !== undefined) headers.push("Set-Cookie", cookie);
  return headers;
}
