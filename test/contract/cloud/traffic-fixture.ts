import assert from "node:assert/strict";
import { once } from "node:events";
import { type Agent, createServer, type IncomingMessage, type RequestListener, request, type Server } from "node:http";
import { request as tlsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import type { CreateListenerRequest, RuleInput } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { FAST_CHECK, hurried, withCloud } from "./fixture.ts";

export type Backend = { readonly ip: string; readonly port: number; readonly weight?: number };
type Health = "Alive" | "Dead" | "Unknown";
type CloudOptions = Parameters<typeof withCloud>[1];

/** A load balancer with one listener on port 8000 and health by script; time runs twenty times as fast. */
async function withListener(t: TestContext, asked: Partial<CreateListenerRequest>, options: CloudOptions = {}) {
  const started = await withCloud(t, { clock: hurried(), health: "scripted", ...options });
  const { cloud, sdk, done } = started;
  const { loadBalancerId: LoadBalancerId, vip } = cloud.addLoadBalancer();
  const created = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [8000], Protocol: "TCP", ...asked }));
  const [ListenerId = ""] = created.ListenerIds ?? [];
  const bindTo = async (locationId: string, health: Health, backends: readonly Backend[]): Promise<void> => {
    const place = locationId === "" ? { ListenerId } : { ListenerId, LocationId: locationId };
    const Targets = backends.map(({ ip, port, weight = 10 }) => ({ ...place, EniIp: ip, Port: port, Weight: weight }));
    const { FailListenerIdSet, Message } = await sdk.BatchRegisterTargets({ LoadBalancerId, Targets });
    assert.deepEqual(FailListenerIdSet, [], Message);
    for (const { ip, port } of backends)
      cloud.setHealth({ loadBalancerId: LoadBalancerId, listenerId: ListenerId, locationId, ip, port }, health);
  };
  return { ...started, LoadBalancerId, ListenerId, vip, bindTo };
}

/** A layer-4 listener; `bind` makes backends healthy. */
export async function layer4(t: TestContext, asked: Partial<CreateListenerRequest> = {}, options: CloudOptions = {}) {
  const started = await withListener(t, { HealthCheck: FAST_CHECK, ...asked }, options);
  return { ...started, bind: (...backends: Backend[]) => started.bindTo("", "Alive", backends) };
}

/** A layer-7 listener with rules, "e.com /" if none are given; `bind` binds to the first one. */
export async function layer7(
  t: TestContext,
  asked: { readonly listener?: Partial<CreateListenerRequest>; readonly rules?: RuleInput[]; readonly options?: CloudOptions } = {},
) {
  const started = await withListener(t, { Protocol: "HTTP", ...asked.listener }, asked.options);
  const { sdk, done, LoadBalancerId, ListenerId } = started;
  const Rules = asked.rules ?? [{ Domain: "e.com", Url: "/" }];
  const { LocationIds = [] } = await done(await sdk.CreateRule({ LoadBalancerId, ListenerId, Rules }));
  const [first = ""] = LocationIds;
  return { ...started, LocationIds, bind: (...backends: Backend[]) => started.bindTo(first, "Alive", backends) };
}

/** What a backend got, and how often it was connected to. */
export type HttpBackend = Backend & {
  readonly seen: IncomingMessage[];
  readonly connections: Set<Socket>;
  /** Where each connection came from. */
  readonly sources: string[];
  readonly server: Server;
};

/** Answers with its address unless `answer` says otherwise. */
export async function httpBackend(t: TestContext, ip: string, answer?: RequestListener): Promise<HttpBackend> {
  const seen: IncomingMessage[] = [];
  const connections = new Set<Socket>();
  const server = createServer((incoming, response) => {
    seen.push(incoming);
    if (answer === undefined) response.end(ip);
    else answer(incoming, response);
  });
  const sources: string[] = [];
  server.on("connection", (socket) => {
    connections.add(socket);
    sources.push(socket.remoteAddress ?? "");
  });
  await new Promise<void>((resolve) => void server.listen(0, ip, resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { ip, port: portOf(server), seen, connections, sources, server };
}

export const portOf = (server: { address(): unknown }): number => {
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null && "port" in address && typeof address.port === "number");
  return address.port;
};

export type Answered = {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** Of the client's side. */
  readonly port: number | undefined;
};

type Asked = {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly agent?: Agent | false;
  readonly localAddress?: string;
  /** Over TLS, whatever the certificate; the name asked for. */
  readonly tls?: string;
};

/** One request to port 8000 of the VIP for host "e.com". Rejects when the connection breaks. */
export async function ask(vip: string, asked: Asked = {}): Promise<Answered> {
  const { path = "/", method = "GET", headers = {}, body, agent = false, localAddress, tls } = asked;
  const common = { host: vip, port: 8000, path, method, agent, headers: { host: "e.com", ...headers } };
  const options = { ...common, ...(localAddress !== undefined && { localAddress }) };
  const asking = tls === undefined ? request(options) : tlsRequest({ ...options, servername: tls, rejectUnauthorized: false });
  asking.end(body);
  const [answer] = (await once(asking, "response")) as [IncomingMessage]; // as Node's documentation says
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    body: Buffer.concat(chunks).toString(),
    port: asking.socket?.localPort,
  };
}

/** One client connection; `say` gives the answer or why there was none. */
export function dial(host: string, port = 8000, localAddress?: string) {
  const socket: Socket = connect({ host, port, ...(localAddress !== undefined && { localAddress }) });
  const ended = new Promise<string>((resolve) => {
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error")).once("close", () => resolve("closed"));
  });
  const say = async (text: string): Promise<string> => {
    const answered = once(socket, "data").then(([data]) => String(data));
    answered.catch(() => undefined);
    socket.write(text);
    return Promise.race([answered, ended]);
  };
  return { socket, ended, say };
}
