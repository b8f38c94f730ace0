/** The application in a simulated Pod: a real HTTP server on the Pod's own address, one listener per declared TCP port. */
import { createServer, type Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Container } from "./objects.ts";

export type Application = {
  /** Settles when every port listens, STARTUP_SECONDS (default 2) after the start; rejects if one cannot. */
  readonly ready: Promise<void>;
  /**
   * SIGTERM: refuses new connections and ends at once, resetting open ones; with GRACEFUL "true" it finishes running requests first, with
   * STOPPING_SECONDS it takes so long to end after that.
   * Settles when the application has ended.
   */
  readonly terminate: () => Promise<void>;
  /** SIGKILL. */
  readonly kill: () => void;
};

/** A load balancer or a client closes idle connections, never the application: it would cut a request that is on its way. */
const KEEP_ALIVE_MS = 75_000;
const DEFAULT_STARTUP_SECONDS = 2;

/** `address` is undefined for a Pod in the host's network: it serves nothing here. Environment: STARTUP_SECONDS, STOPPING_SECONDS, GRACEFUL. */
export function startApplication(container: Container, pod: string, address: string | undefined): Application {
  const setting = (name: string): string | undefined => container.env?.find((entry) => entry.name === name)?.value;
  const ports = (container.ports ?? []).filter(({ protocol = "TCP" }) => protocol === "TCP").map(({ containerPort }) => containerPort);
  const servers = address === undefined ? [] : ports.map(() => makeServer(pod));
  const over = new AbortController();
  const ready = sleep(Number(setting("STARTUP_SECONDS") ?? DEFAULT_STARTUP_SECONDS) * 1000, undefined, { signal: over.signal }).then(
    async () => void (await Promise.all(servers.map((server, index) => listen(server, ports[index] ?? 0, address ?? "")))),
  );
  ready.catch(() => undefined); // whoever waits for it is told; nobody may be waiting any more
  const kill = (): void => {
    over.abort();
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  };
  const terminate = async (): Promise<void> => {
    if (setting("GRACEFUL") !== "true") kill();
    over.abort();
    await Promise.all([
      sleep(Number(setting("STOPPING_SECONDS") ?? 0) * 1000, undefined, { ref: false }),
      ...servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    ]);
  };
  return { ready, terminate, kill };
}

function makeServer(pod: string): Server {
  const server = createServer((request, response) => {
    request.resume();
    if (!server.listening) response.setHeader("connection", "close"); // terminating gracefully: this is the last answer on the connection
    const source = request.socket.remoteAddress ?? "";
    response.writeHead(200, { "content-type": "text/plain", "x-pod": pod, "x-source": source }).end(`${pod}\n`);
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  return server;
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: 511 }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
