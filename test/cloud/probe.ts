import { createSocket } from "node:dgram";
import { request } from "node:http";
import { connect } from "node:net";
import type { HealthSettings } from "./state.ts";

/** What one probe asks: "is the backend well?". */
export type ProbeRequest = { readonly protocol: string; readonly ip: string; readonly port: number; readonly check: HealthSettings };

/** True if the backend answered as wanted; an aborted signal (timeout, unbound) means no. Never rejects. */
export type Probe = (asked: ProbeRequest, signal: AbortSignal) => Promise<boolean>;

/** Asks over the network, as the listener's check says. */
export const networkProbe: Probe = (asked, signal) => {
  if (asked.protocol === "UDP") return udpProbe(asked, signal);
  return asked.check.CheckType === "HTTP" ? httpProbe(asked, signal) : tcpProbe(asked, signal);
};

/** SYN, SYN-ACK, then RST (clb-api.md §4.2): no byte reaches the application. */
const tcpProbe: Probe = ({ ip, port }, signal) =>
  new Promise((resolve) => {
    const socket = connect({ host: ip, port });
    const settle = (alive: boolean): void => {
      signal.removeEventListener("abort", onAbort);
      if (alive) socket.resetAndDestroy();
      else socket.destroy();
      resolve(alive);
    };
    const onAbort = (): void => settle(false);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => settle(true)).on("error", () => settle(false));
  });

/** The status class must be in the mask: 1 = 1xx, 2 = 2xx, 4 = 3xx, 8 = 4xx, 16 = 5xx. */
const httpProbe: Probe = ({ ip, port, check }, signal) =>
  new Promise((resolve) => {
    const asking = request({
      host: ip,
      port,
      signal,
      agent: false,
      method: check.HttpCheckMethod ?? "HEAD",
      path: check.HttpCheckPath ?? "/",
      headers: { host: check.HttpCheckDomain ?? ip, "user-agent": "clb-healthcheck", connection: "close" },
    });
    asking.once("response", (response) => {
      response.resume();
      const statusClass = 2 ** (Math.floor((response.statusCode ?? 0) / 100) - 1);
      resolve(((check.HttpCode ?? 31) & statusClass) !== 0);
    });
    asking.on("error", () => resolve(false)).end();
  });

/** A UDP backend is unhealthy only if it says "port unreachable"; silence until the timeout counts as well. */
const udpProbe: Probe = ({ ip, port }, signal) =>
  new Promise((resolve) => {
    const socket = createSocket("udp4");
    let settled = false;
    const settle = (alive: boolean): void => {
      if (settled) return; // a socket that is closed twice throws
      settled = true;
      signal.removeEventListener("abort", onAbort);
      socket.close();
      resolve(alive);
    };
    const onAbort = (): void => settle(true);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("error", () => settle(false)).once("message", () => settle(true));
    socket.connect(port, ip, () => socket.send("HEALTH CHECK"));
  });
