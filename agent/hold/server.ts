import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Clock } from "../../common/clock.ts";
import { listen } from "../../common/listener.ts";
import type { Logger } from "../../common/log.ts";
import { HOLD_PATH } from "../../common/names.ts";
import type { Waiting } from "./holds.ts";
import { NONCE_HEADER, PROBE_PATH } from "./proof.ts";

export type HoldServerDeps = {
  /** Where it listens, e.g. ["127.0.0.1", "::1"]; those that the machine has not are left out, but for the first. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly nonce: string;
  /** As in Holds. */
  readonly dial: (address: string, token: string, waiting: Waiting) => (() => void) | undefined;
  readonly clock: Pick<Clock, "now">;
  readonly log: Logger;
};

export interface HoldServer {
  /** Resolves with the port. Rejects where it is taken by somebody who does not share it. */
  start(): Promise<number>;
  /** Resolves when no more calls are taken; those that wait go on. `onEnd` is called when they were answered. */
  close(onEnd: () => void): Promise<void>;
  /** It takes no more calls, and all were answered. */
  readonly isOver: boolean;
}

/** A kubelet sends its few lines at once. */
const HEADERS_MS = 5_000;
/** Containers of all Pods that a node can have (TKE: 256), each with a call of its own, and as much again. */
const MOST_CONNECTIONS = 2_048;

/** Anybody on the node may ask with any token: one line so often, with how many there were. Milliseconds; own choice. */
const TELL_EVERY_MS = 60_000;

/** Tells of calls with a token that no Pod has, at a bounded rate. */
function makeUnknown({ clock, log }: Pick<HoldServerDeps, "clock" | "log">): (address: string) => void {
  let toldAtMs = Number.NEGATIVE_INFINITY;
  let unsaid = 0;
  return (address) => {
    unsaid += 1;
    if (clock.now() - toldAtMs < TELL_EVERY_MS) return;
    log.warn({ address, calls: unsaid }, "preStop call with a token that no Pod of this node has");
    toldAtMs = clock.now();
    unsaid = 0;
  };
}

/** HTTP for the kubelet alone: `/hold/<token>` waits, `/probe` tells who answers. An update has two of these on one port. */
export function makeHoldServer(deps: HoldServerDeps): HoldServer {
  const servers: Server[] = [];
  const onUnknown = makeUnknown(deps);
  let isOver = false;
  const make = (): Server => {
    const server = createServer({ headersTimeout: HEADERS_MS, requestTimeout: HEADERS_MS, connectionsCheckingInterval: 1_000 });
    server.on("request", (request, response) => answer(request, response, deps, onUnknown));
    server.maxConnections = MOST_CONNECTIONS;
    server.timeout = 0; // a call waits for as long as its hold
    return server;
  };
  return {
    async start() {
      let { port } = deps;
      for (const [index, host] of deps.hosts.entries()) {
        const server = make();
        try {
          port = await listen(server, { host, port, shared: true });
          servers.push(server);
        } catch (error) {
          if (index === 0) throw error;
          deps.log.info({ host, why: error instanceof Error ? error.message : String(error) }, "no hold server there");
        }
      }
      return port;
    },
    async close(onEnd) {
      // The kernel resets whom it has connected and this process has not met yet. After a turn of the loop that is hardly anybody.
      for (let turns = 0; turns < 2; turns++) await new Promise((resolve) => setImmediate(resolve));
      let open = servers.length;
      const closed = (): void => {
        open -= 1;
        isOver = open === 0;
        onEnd();
      };
      for (const server of servers) server.close(closed);
      isOver = open === 0;
    },
    get isOver() {
      return isOver;
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse, deps: HoldServerDeps, onUnknown: (address: string) => void): void {
  request.resume();
  // Nothing may stay open: this server's end would wait for it, and the next call has to find the agent of an update.
  const say = (status: number, text: string): void => {
    response.writeHead(status, { "Content-Type": "text/plain", Connection: "close", [NONCE_HEADER]: deps.nonce }).end(`${text}\n`);
  };
  response.on("error", () => undefined);
  const path = (request.url ?? "").replace(/^\/+/, "/"); // kubelets before 1.25 put two slashes there
  if (path === PROBE_PATH) return say(200, "hold server");
  const token = path.startsWith(HOLD_PATH) ? path.slice(HOLD_PATH.length) : "";
  const address = addressIn(request.headers.host ?? "");
  if (token === "") return say(404, `no such path; there are ${HOLD_PATH}<token> and ${PROBE_PATH}`);
  const hangUp = deps.dial(address, token, { answer: (text) => say(200, text) });
  if (hangUp === undefined) {
    onUnknown(address);
    return say(404, "no such token");
  }
  response.once("close", hangUp);
}

/** "10.0.3.7:15999" -> "10.0.3.7"; "[fd00::7]:15999" -> "fd00::7". */
function addressIn(host: string): string {
  const [, v6, v4] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d+)?$/.exec(host) ?? [];
  return v6 ?? v4 ?? "";
}
