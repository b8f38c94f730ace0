/** Whether a preStop call on this node would reach the hold server: found out by dials that go the same way. */
import { request } from "node:http";
import { connect, isIPv6 } from "node:net";
import type { Clock } from "../../common/clock.ts";
import type { HoldProof } from "../../common/holds.ts";

export type ProofDeps = {
  /** Of the node itself; where the rule leads nobody else there. undefined: only Pods' addresses are tried. */
  readonly nodeAddress: string | undefined;
  readonly port: number;
  /** Of this process, and what stands before those of others. */
  readonly nonce: string;
  /** Addresses of Pods in the set. */
  readonly pods: () => readonly string[];
  /** Why there can be none. */
  readonly fault: () => string | undefined;
  /** After every look. */
  readonly onProof: (proof: HoldProof) => void;
  readonly clock: Clock;
};

/** A dial takes 1 to 2 ms. */
const EVERY_MS = 5_000;
/** The node's kernel answers at once; what takes longer is dropped on its way. */
const TIMEOUT_MS = 1_000;
/** One dial that fails may have met a table that is just being made. */
const FAILURES = 2;
/** Both agents of an update answer, and both are right. */
export const NONCE_HEADER = "x-clb-direct-hold";
export const PROBE_PATH = "/probe";

/** Dials again and again until the signal aborts; never rejects. */
export async function watchProof(deps: ProofDeps, signal: AbortSignal): Promise<void> {
  const { clock } = deps;
  let failures = 0;
  let turn = 0;
  while (!signal.aborted) {
    const pods = deps.pods();
    const pod = pods[turn++ % Math.max(1, pods.length)];
    const targets = [deps.nodeAddress, pod].filter((address) => address !== undefined);
    const because = deps.fault() ?? (await firstFault(deps, targets, signal));
    if (signal.aborted) return;
    failures = because === "" ? 0 : failures + 1;
    if (because === "" || failures >= FAILURES) deps.onProof({ proven: because === "", because });
    await clock.sleep(because === "" ? EVERY_MS : TIMEOUT_MS, signal).catch(() => undefined);
  }
}

async function firstFault(deps: ProofDeps, targets: readonly string[], signal: AbortSignal): Promise<string> {
  if (targets.length === 0) return "no address to dial: set NODE_IP";
  for (const address of targets) {
    const fault = await dial(address, deps);
    if (fault === NO_WAY && address !== deps.nodeAddress) continue; // that Pod's network is gone: it says nothing of the rule
    if (fault !== "" || signal.aborted) return fault === NO_WAY ? `no way to ${address}` : fault;
  }
  return "";
}

/** What a dial met; "" where a hold server answered. */
function dial(address: string, { port, nonce }: ProofDeps): Promise<string> {
  const at = `${isIPv6(address) ? `[${address}]` : address}:${port}`;
  return new Promise((resolve) => {
    // The signal covers the connection as well, which a request's own timeout does not.
    const call = request({ host: address, port, path: PROBE_PATH, agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) }, (response) => {
      const answered = response.headers[NONCE_HEADER];
      response.resume();
      const isOurs = answered === nonce || (typeof answered === "string" && answered.startsWith(KIND));
      resolve(isOurs ? "" : `somebody else answers at ${at} (status ${response.statusCode})`);
    });
    call.once("error", (error: NodeJS.ErrnoException) =>
      resolve(
        UNREACHABLE.has(error.code ?? "")
          ? NO_WAY
          : error.name === "AbortError"
            ? `no answer from ${at} within ${TIMEOUT_MS / 1_000} s`
            : error.message,
      ),
    );
    call.end();
  });
}

/** Whether another hold server of this node listens there, e.g. that of the agent which replaces this one; in doubt it does. */
export function answersAt(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    const end = (answers: boolean): void => {
      socket.destroy();
      resolve(answers);
    };
    socket.once("connect", () => end(true)).once("timeout", () => end(true));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code !== "ECONNREFUSED"));
  });
}

const UNREACHABLE = new Set(["EHOSTUNREACH", "ENETUNREACH"]);
const NO_WAY = "no way";

/** Every hold server's nonce begins so, e.g. "hold-1f0c9a2b". */
export const KIND = "hold-";
