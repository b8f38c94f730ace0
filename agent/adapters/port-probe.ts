import { connect } from "node:net";
import type { Clock } from "../../common/clock.ts";
import type { ProbeResult } from "../../common/reachability.ts";

/** What a connection to a port met; `text` is the kernel's word, "" for open. */
export type Probed = { readonly result: Exclude<ProbeResult, "pending">; readonly text: string };
/** Never rejects, but for an aborted signal. */
export type ProbePort = (
  target: { readonly ip: string; readonly port: number; readonly protocol: string },
  signal: AbortSignal,
) => Promise<Probed>;

/** The kernel of the same node answers in microseconds; a SYN that was lost is sent again after a second (RFC 6298). */
const PROBE_TIMEOUT_MS = 1_500;
/** Nobody listens. What else fails is between us and the Pod: no route, forbidden, the host is down. */
const REFUSED = new Set(["ECONNREFUSED", "ECONNRESET"]);

/** Connects and hangs up at once, from the network namespace of this process. UDP answers nobody, so it is not tried. */
export const makePortProbe =
  (clock: Clock): ProbePort =>
  ({ ip, port, protocol }, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      if (protocol !== "TCP") return resolve({ result: "not-checked", text: `${protocol} answers nobody` });
      const socket = connect({ host: ip, port, noDelay: true });
      const over = new AbortController();
      const end = (probed: Probed): void => {
        over.abort();
        signal.removeEventListener("abort", onAbort);
        socket.resetAndDestroy(); // a RST leaves nothing in TIME_WAIT, and the application sees no request
        resolve(probed);
      };
      const onAbort = (): void => {
        over.abort();
        socket.destroy();
        reject(signal.reason);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      socket.once("connect", () => end({ result: "open", text: "" }));
      socket.on("error", (error: NodeJS.ErrnoException) => {
        if (error.code === "ETIMEDOUT") return end({ result: "timed-out", text: error.message });
        end({ result: REFUSED.has(error.code ?? "") ? "refused" : "unreachable", text: error.message });
      });
      clock.sleep(PROBE_TIMEOUT_MS, over.signal).then(
        () => end({ result: "timed-out", text: `no answer from ${ip}:${port} within ${PROBE_TIMEOUT_MS / 1_000} s` }),
        () => undefined,
      );
    });
