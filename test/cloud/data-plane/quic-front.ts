import { connect } from "node:net";
import type { ListenerRecord } from "../model/account.ts";
import type { Front, FrontDeps, Live } from "./front.ts";
import { type OpenSession, openUdpFront } from "./udp-front.ts";

/**
 * QUIC ends at the service, which speaks TCP to the backends (product page 214/44832). Its encryption is not emulated: what the datagrams of
 * one client hold is one TCP stream to one backend, and what comes back goes out as datagrams. Rejects if the address cannot be listened on.
 */
export const openQuicFront = (listener: ListenerRecord, vip: string, deps: FrontDeps): Promise<Front> =>
  openUdpFront(listener, vip, deps, openStreamSession);

const openStreamSession: OpenSession = ({ record, target, deps, answer, onEnd }) => {
  const backend = connect({ host: target.ip, port: target.port, noDelay: true });
  const bytes = () => ({ to: backend.bytesWritten, from: backend.bytesRead });
  const accounting = deps.traffic.assign(record, target, bytes);
  backend.on("data", answer);
  backend.on("error", (error: NodeJS.ErrnoException) => deps.traffic.fail(record, "refused", error.code ?? error.message));
  backend.once("close", () => {
    accounting.done();
    deps.traffic.end(record);
    onEnd();
  });
  const end: Live["end"] = () => void backend.destroy();
  return { target, bytes, end, send: (message) => void backend.write(message) };
};
