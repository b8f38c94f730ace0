/** A load generator without mercy: no retries; every reset, timeout and non-200 is a failure, kept with its cause and its connection. */
import { Agent, type ClientRequest, request } from "node:http";
import { Agent as TlsAgent, request as tlsRequest } from "node:https";
import { TLSSocket } from "node:tls";
import { Pace } from "./pace.ts";

/** Where a request goes, and by whom it has to be answered, e.g. { port: 443, path: "/cart", host: "shop.example.com", pods: "cart-", ca: "…" }. */
export type Route = {
  readonly port: number;
  readonly path: string;
  /** As the header, and over TLS as the server's name. */
  readonly host: string;
  /** How the names of the Pods begin that may answer. */
  readonly pods: string;
  /** Over HTTPS: the authority that the server's certificate has to be of. */
  readonly ca?: string;
};

export type LoadOptions = {
  readonly host: string;
  readonly port: number;
  /** Requests per second, evenly spaced; half on new connections, half on kept ones. */
  readonly rate: number;
  /** Source address, so that the cloud can tell whose connection it was; undefined: any. */
  readonly localAddress: string | undefined;
  /** A request without an answer by then has failed; time in which this process stood still does not count. Default 2 s. */
  readonly timeoutMs?: number;
  /** Taken in turn; default: "/" at `port`, whoever answers. */
  readonly routes?: readonly Route[];
};

/** `pod` is the one that answered before on the same connection; a new connection that failed has none. */
export type Failure = {
  readonly atMs: number;
  readonly cause: string;
  readonly connection: "new" | "kept";
  readonly localPort: number | undefined;
  readonly pod: string | undefined;
};

export type LoadResult = {
  /** Sent. */
  readonly requests: number;
  /** Due, and never sent: this process stood still, or too many were in flight. */
  readonly unsent: number;
  readonly failures: readonly Failure[];
  /** Fewest requests sent in any full second. */
  readonly minRate: number;
  /** Answers by Pod. */
  readonly byPod: ReadonlyMap<string, number>;
  /** Serial numbers of the certificates that were shown. */
  readonly certificates: ReadonlySet<string>;
};

const TIMEOUT_MS = 2_000;
/** A kept connection lives so long at most; it gets no request that could outlive it by much. */
const KEPT_MS = 3_000;
const TICK_MS = 5;

export type Load = { readonly result: () => LoadResult; readonly stop: () => Promise<LoadResult> };

export function startLoad(options: LoadOptions): Load {
  const failures: Failure[] = [];
  const byPod = new Map<string, number>();
  const perSecond: number[] = [];
  const kept = (options.routes ?? [undefined]).map((route) => ({ route, connections: new KeptConnections(route) }));
  const certificates = new Set<string>();
  const running = new Set<Promise<void>>();
  const startedMs = performance.now();
  const pace = new Pace(options.rate, startedMs);
  let sent = 0;

  const sendOn = async (route: Route | undefined, connections: KeptConnections, connection: Kept | undefined): Promise<void> => {
    const { pod, cause: failed, localPort, certificate } = await send(options, route, connection, pace);
    const isStray = failed === undefined && route !== undefined && pod?.startsWith(route.pods) === false;
    const cause = isStray ? `answered by ${pod}` : failed;
    if (certificate !== undefined) certificates.add(certificate);
    if (pod !== undefined && cause === undefined) {
      byPod.set(pod, (byPod.get(pod) ?? 0) + 1);
      if (connection !== undefined) connections.giveBack(connection, pod);
      return;
    }
    const kind = connection === undefined ? "new" : "kept";
    failures.push({
      atMs: Date.now(),
      cause: cause ?? "an answer without a Pod's name",
      connection: kind,
      localPort,
      pod: connection?.pod,
    });
    connection?.agent.destroy();
  };
  const sendOne = (): void => {
    const elapsedMs = performance.now() - startedMs;
    const second = Math.floor(elapsedMs / 1000);
    perSecond[second] = (perSecond[second] ?? 0) + 1;
    const { route, connections } = kept[Math.floor(sent / 2) % kept.length] ?? {
      route: undefined,
      connections: new KeptConnections(undefined),
    };
    const connection = sent % 2 === 0 ? undefined : connections.take();
    sent += 1;
    const done = sendOn(route, connections, connection);
    running.add(done);
    void done.finally(() => running.delete(done));
  };
  const timer = setInterval(() => {
    for (let due = pace.take(performance.now(), running.size); due > 0; due -= 1) sendOne();
  }, TICK_MS);

  const result = (): LoadResult => {
    const full = Array.from({ length: Math.floor((performance.now() - startedMs) / 1000) }, (_, second) => perSecond[second] ?? 0);
    return { requests: sent, unsent: pace.unsent, failures, minRate: full.length === 0 ? 0 : Math.min(...full), byPod, certificates };
  };
  let final: LoadResult | undefined;
  return {
    result: () => final ?? result(),
    stop: async () => {
      clearInterval(timer);
      final ??= result();
      await Promise.all(running);
      for (const { connections } of kept) connections.close();
      return { ...final, failures };
    },
  };
}

type Kept = { readonly agent: Agent; readonly bornMs: number; pod: string | undefined };

/** Connections that carry one request after the other until they are 3 s old. */
class KeptConnections {
  readonly #idle: Kept[] = [];
  readonly #route: Route | undefined;

  constructor(route: Route | undefined) {
    this.#route = route;
  }

  take(): Kept {
    for (let one = this.#idle.shift(); one !== undefined; one = this.#idle.shift()) {
      if (performance.now() - one.bornMs < KEPT_MS) return one;
      one.agent.destroy();
    }
    const Kind = this.#route?.ca === undefined ? Agent : TlsAgent;
    return { agent: new Kind({ keepAlive: true, maxSockets: 1 }), bornMs: performance.now(), pod: undefined };
  }

  giveBack(connection: Kept, pod: string): void {
    connection.pod = pod;
    if (performance.now() - connection.bornMs < KEPT_MS) this.#idle.push(connection);
    else connection.agent.destroy();
  }

  close(): void {
    for (const { agent } of this.#idle) agent.destroy();
  }
}

type Outcome = {
  readonly cause: string | undefined;
  readonly pod: string | undefined;
  readonly localPort: number | undefined;
  readonly certificate?: string | undefined;
};

function send(options: LoadOptions, route: Route | undefined, connection: Kept | undefined, pace: Pace): Promise<Outcome> {
  const { host, port, localAddress, timeoutMs = TIMEOUT_MS } = options;
  return new Promise((resolve) => {
    const agent = connection?.agent ?? false;
    const local = localAddress === undefined ? {} : { localAddress };
    const headers = { ...(route && { host: route.host }), ...(connection === undefined && { connection: "close" }) };
    const plain = { host, port: route?.port ?? port, path: route?.path ?? "/", agent, ...local, headers };
    const call: ClientRequest = route?.ca === undefined ? request(plain) : tlsRequest({ ...plain, ca: route.ca, servername: route.host });
    let localPort: number | undefined;
    let certificate: string | undefined;
    const end = (cause: string | undefined, pod?: string): void => {
      clearTimeout(timer);
      resolve({ cause, pod, localPort, certificate });
    };
    let pausedMs = pace.pausedMs;
    const giveUp = (): void => {
      const missedMs = pace.pausedMs - pausedMs;
      pausedMs += missedMs;
      if (missedMs > 0) return void (timer = setTimeout(giveUp, missedMs)); // the answer may have come meanwhile, unread
      end(`timeout after ${timeoutMs} ms`);
      call.destroy();
    };
    let timer = setTimeout(giveUp, timeoutMs);
    call.once("socket", (socket) => {
      localPort = socket.localPort;
      if (socket.connecting) socket.once("connect", () => (localPort = socket.localPort));
    });
    call.once("response", (response) => {
      const pod = response.headers["x-pod"];
      if (response.socket instanceof TLSSocket) certificate = response.socket.getPeerCertificate().serialNumber;
      response.once("error", (error) => end(causeOf(error)));
      response.once("end", () =>
        end(response.statusCode === 200 ? undefined : `status ${response.statusCode}`, typeof pod === "string" ? pod : undefined),
      );
      response.resume();
    });
    call.once("error", (error) => end(causeOf(error)));
    call.end();
  });
}

const causeOf = (error: NodeJS.ErrnoException): string => error.code ?? error.message;
