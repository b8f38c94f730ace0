import { createSocket } from "node:dgram";
import { connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { makeSourceAddresses } from "../data-plane/source-address.ts";
import type { HealthSettings } from "../model/account.ts";
import { expectedBytes, grpcCodes, httpRequest, httpVerdict, replyVerdict, sentBytes, type Verdict } from "./probe-messages.ts";

/** What one probe asks: "is the backend well?". */
export type ProbeRequest = {
  readonly protocol: string;
  readonly ip: string;
  readonly port: number;
  readonly check: HealthSettings;
  /** Where the service's probes come from, e.g. the VIP; used if that address is local here. */
  readonly source?: string | undefined;
};

/** True if the backend answered as wanted; an aborted signal (timeout, unbound) means no. Never rejects. */
export type Probe = (asked: ProbeRequest, signal: AbortSignal) => Promise<boolean>;

type Asked = Omit<ProbeRequest, "source"> & { readonly localAddress?: string };
type Ask = (asked: Asked, signal: AbortSignal) => Promise<boolean>;

/** Asks over the network, as the check says. */
export function makeNetworkProbe(): Probe {
  const sources = makeSourceAddresses();
  return async ({ source, ...asked }, signal) => {
    const localAddress = source === undefined ? undefined : await sources.of(source);
    return kindOf(asked)({ ...asked, ...(localAddress !== undefined && { localAddress }) }, signal);
  };
}

function kindOf({ protocol, check }: Asked): Ask {
  switch (check.CheckType) {
    case "HTTP":
      return (asked, signal) => httpProbe(connect, asked, signal);
    case "HTTPS": // not verified: the service does not know the backend's certificate
      return (asked, signal) => httpProbe((to) => connectTls({ ...to, rejectUnauthorized: false }), asked, signal);
    case "GRPC":
      return grpcProbe;
    case "CUSTOM":
      return protocol === "UDP" ? udpProbe : customTcpProbe;
    default:
      return protocol === "UDP" ? udpProbe : tcpProbe;
  }
}

/** SYN, SYN-ACK, then RST (clb-api.md §4.2): no byte reaches the application. */
const tcpProbe: Ask = (asked, signal) => converse(connect(addressOf(asked)), undefined, () => true, signal);

/** The first line of the answer decides. */
const httpProbe = (open: (to: Address) => Socket, asked: Asked, signal: AbortSignal): Promise<boolean> =>
  converse(open(addressOf(asked)), httpRequest(asked.check, asked.ip), httpVerdict(asked.check), signal);

const customTcpProbe: Ask = (asked, signal) =>
  converse(connect(addressOf(asked)), sentBytes(asked.check), replyVerdict(expectedBytes(asked.check)), signal);

type Address = { readonly host: string; readonly port: number; readonly localAddress?: string };

const addressOf = ({ ip: host, port, localAddress }: Asked): Address => ({
  host,
  port,
  ...(localAddress !== undefined && { localAddress }),
});

/** An answer that is longer than this is not read to its end. */
const MOST_READ_BYTES = 8_192;

/** Connects, sends, and asks for a verdict at every piece of the answer; with nothing to send the connection itself is asked about. */
function converse(socket: Socket, send: Buffer | undefined, verdict: Verdict, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    const settle = (alive: boolean): void => {
      signal.removeEventListener("abort", onAbort);
      if (alive && send === undefined) socket.resetAndDestroy();
      else socket.destroy();
      resolve(alive);
    };
    const onAbort = (): void => settle(false);
    const judge = (): void => {
      const alive = verdict(received) ?? (received.length > MOST_READ_BYTES ? false : undefined);
      if (alive !== undefined) settle(alive);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => void (send === undefined ? judge() : socket.write(send)));
    socket.on("data", (data) => {
      received = Buffer.concat([received, data]);
      judge();
    });
    socket.on("error", () => settle(false)).once("end", () => settle(false));
  });
}

/**
 * A UDP backend is unhealthy only if it says "port unreachable"; silence until the timeout counts as well. (The service also pings, for
 * which a process without rights has no means.) With CUSTOM the expected answer must come.
 */
const udpProbe: Ask = ({ ip, port, check, localAddress }, signal) =>
  new Promise((resolve) => {
    const isCustom = check.CheckType === "CUSTOM";
    const verdict = isCustom ? replyVerdict(expectedBytes(check)) : () => true;
    const socket = createSocket("udp4");
    let settled = false;
    const settle = (alive: boolean): void => {
      if (settled) return; // a socket that is closed twice throws
      settled = true;
      signal.removeEventListener("abort", onAbort);
      socket.close();
      resolve(alive);
    };
    const onAbort = (): void => settle(!isCustom);
    const ask = (): void => socket.connect(port, ip, () => socket.send(isCustom ? sentBytes(check) : "HEALTH CHECK"));
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("error", () => settle(false)).once("message", (message) => settle(verdict(message) ?? false));
    if (localAddress === undefined) ask();
    else socket.bind({ address: localAddress, port: 0, exclusive: true }, ask);
  });

/** An empty call of the path as method; its status must be among the wanted ones. Source: clb-api.md §4.3. */
const grpcProbe: Ask = ({ ip, port, check, localAddress }, signal) =>
  new Promise((resolve) => {
    const session = connectHttp2(`http://${ip}:${port}`, {
      createConnection: () => connect({ host: ip, port, ...(localAddress !== undefined && { localAddress }) }),
    });
    const settle = (alive: boolean): void => {
      signal.removeEventListener("abort", onAbort);
      session.destroy();
      resolve(alive);
    };
    const onAbort = (): void => settle(false);
    const judge = (headers: Readonly<Record<string, unknown>>): void => {
      const status = headers["grpc-status"];
      if (status !== undefined) settle(grpcCodes(check.ExtendedCode).includes(Number(status)));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    session.on("error", () => settle(false));
    const { HTTP2_HEADER_METHOD: method, HTTP2_HEADER_PATH: path, HTTP2_HEADER_AUTHORITY: authority } = constants;
    const stream = session.request({
      [method]: "POST",
      [path]: check.HttpCheckPath ?? "/",
      [authority]: check.HttpCheckDomain ?? ip,
      "content-type": "application/grpc",
      "user-agent": "clb-healthcheck",
      te: "trailers",
    });
    stream.on("response", judge).on("trailers", judge);
    stream.on("error", () => settle(false)).once("end", () => queueMicrotask(() => settle(false)));
    stream.resume().end();
  });
