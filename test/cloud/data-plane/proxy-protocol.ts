import { isIPv6 } from "node:net";

type End = { readonly address: string; readonly port: number };

/** Pure: version 1 of the PROXY protocol, e.g. "PROXY TCP4 10.0.0.9 198.18.0.1 51034 443\r\n". Assumed: the version is not published. */
export const proxyHeader = (client: End, vip: End): string =>
  `PROXY ${isIPv6(client.address) ? "TCP6" : "TCP4"} ${client.address} ${vip.address} ${client.port} ${vip.port}\r\n`;
