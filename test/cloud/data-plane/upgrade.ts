import { type IncomingMessage, STATUS_CODES } from "node:http";
import { connect, type Socket } from "node:net";
import { reset } from "../../reset.ts";
import type { ListenerRecord, TargetRecord } from "../model/account.ts";
import { requestHeaders } from "./forwarded-headers.ts";
import { enlist, type FrontDeps, type Live } from "./front.ts";
import { clientOf, requestHead, route, schemeOf } from "./http-requests.ts";
import { join } from "./join.ts";
import { DEFAULT_COOKIE } from "./session-cookie.ts";
import type { ConnectionRecord } from "./traffic-log.ts";

type Setting = { readonly listener: ListenerRecord; readonly live: Set<Live>; readonly deps: FrontDeps };

/** WebSocket and the like: the request goes to a backend as it is, and from then on bytes pass both ways. */
export async function upgrade(request: IncomingMessage, client: Socket, head: Buffer, setting: Setting): Promise<void> {
  const { listener, live, deps } = setting;
  const found = route(request, listener);
  const rule = found.kind === "rule" ? found.rule : undefined;
  const record = deps.traffic.begin(rule ?? listener, clientOf(request));
  client.on("error", () => undefined).once("close", () => deps.traffic.end(record));
  if (rule === undefined) return refuse(client, 404);
  const { address } = clientOf(request);
  const cookie = { header: request.headers.cookie, name: rule.cookieName ?? DEFAULT_COOKIE };
  const target = deps.choose(rule, { address, cookie }, deps.clock.now());
  if (target === undefined) {
    deps.traffic.fail(record, "no-backend", "");
    return refuse(client, 502);
  }
  const known = listener.keepalive ? undefined : deps.sources.of(address);
  tunnel({ request, client, head, record, target, live, deps, localAddress: known instanceof Promise ? await known : known });
}

const refuse = (client: Socket, status: number): void =>
  void client.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);

function tunnel(from: {
  readonly request: IncomingMessage;
  readonly client: Socket;
  readonly head: Buffer;
  readonly record: ConnectionRecord;
  readonly target: TargetRecord;
  readonly live: Set<Live>;
  readonly deps: FrontDeps;
  readonly localAddress: string | undefined;
}): void {
  const { request, client, record, target, live, deps, localAddress } = from;
  const backend = connect({
    host: target.ip,
    port: target.port,
    noDelay: true,
    allowHalfOpen: true,
    ...(localAddress !== undefined && { localAddress }),
  });
  enlist({ live, traffic: deps.traffic }, record, target, backend, () => {
    deps.traffic.fail(record, "unbound", "");
    client.destroy();
    backend.destroy();
  });
  join({
    client,
    backend,
    connectTimeoutMs: deps.connectTimeoutMs,
    onConnected: () => {
      deps.passive.succeeded(target);
      backend.write(headOf(request), "latin1");
      if (from.head.length > 0) backend.write(from.head);
    },
    onFailed: (cause, code) => {
      deps.passive.failed(target, deps.clock.now());
      deps.traffic.fail(record, cause, code);
      if (client.destroyed) reset(client);
      else refuse(client, cause === "timeout" ? 504 : 502);
    },
    onBroken: (cause, code) => deps.traffic.fail(record, cause, code),
  });
}

function headOf(request: IncomingMessage): string {
  const { rawHeaders, headers, httpVersion } = request;
  const hop = { clientAddress: clientOf(request).address, scheme: schemeOf(request), httpVersion, keepAlive: true } as const;
  return requestHead(request, requestHeaders(rawHeaders, hop, headers.upgrade));
}
