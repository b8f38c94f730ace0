import { type Agent, type ClientRequest, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import type { FailureCause } from "../journal.ts";
import type { ListenerRecord, RuleRecord, TargetRecord } from "../state.ts";
import { requestHeaders, responseHeaders } from "./forwarded-headers.ts";
import type { FrontDeps, Live } from "./front.ts";
import { answerPlainly, clientOf, schemeOf } from "./http-requests.ts";
import { DEFAULT_COOKIE, setCookie } from "./session-cookie.ts";
import type { ConnectionRecord } from "./traffic-log.ts";

/** How long a backend may be silent before it has failed; real ms. Source: clb-api.md §4.4 (214/15171). */
const READ_TIMEOUT_MS = 60_000;

/** Where connections to backends come from. */
export type Agents = { readonly pick: (listener: ListenerRecord, rule: RuleRecord) => Agent };

type Setting = {
  readonly listener: ListenerRecord;
  readonly rule: RuleRecord;
  readonly live: Set<Live>;
  readonly deps: FrontDeps;
  readonly agents: Agents;
};

/** One request, its backend (or backends, as long as none has accepted), and the answer. */
export class Exchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #setting: Setting;
  readonly #record: ConnectionRecord;
  readonly #hasBody: boolean;
  readonly #tried = new Set<TargetRecord>();

  constructor(request: IncomingMessage, response: ServerResponse, setting: Setting) {
    this.#request = request;
    this.#response = response;
    this.#setting = setting;
    this.#record = setting.deps.traffic.begin(setting.rule, clientOf(request));
    this.#hasBody = request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined;
  }

  async attempt(): Promise<void> {
    const { rule, listener, deps } = this.#setting;
    const { clientAddress: address } = this.#record;
    const cookie = { header: this.#request.headers.cookie, name: rule.cookieName ?? DEFAULT_COOKIE };
    const target = deps.choose(rule, { address, cookie, tried: this.#tried }, deps.clock.now());
    if (target === undefined) {
      deps.traffic.fail(this.#record, "no-backend", "");
      return this.#refuse(502);
    }
    // Kept connections serve many clients, so they cannot have a client's address.
    const known = listener.keepalive ? undefined : deps.sources.of(address);
    this.#send(target, known instanceof Promise ? await known : known);
  }

  #send(target: TargetRecord, localAddress: string | undefined): void {
    const { listener, rule, live, deps, agents } = this.#setting;
    const { method = "GET", url: path = "/", rawHeaders, httpVersion } = this.#request;
    const scheme = schemeOf(this.#request);
    const hop = { clientAddress: this.#record.clientAddress, scheme, httpVersion, keepAlive: listener.keepalive } as const;
    const send = rule.forwardType === "HTTPS" ? httpsRequest : httpRequest;
    const asking = send({
      agent: agents.pick(listener, rule),
      host: target.ip,
      port: target.port,
      method,
      path,
      headers: requestHeaders(rawHeaders, hop),
      setDefaultHeaders: false,
      ...(localAddress !== undefined && { localAddress }),
    });
    const bytes = bytesOf(asking);
    const accounting = deps.traffic.assign(this.#record, target, bytes);
    const one: Live = { target, bytes, end: () => this.#cut(asking) };
    live.add(one);
    asking.once("close", () => {
      live.delete(one);
      accounting.done();
    });
    this.#watch(asking, target, localAddress);
  }

  #watch(asking: ClientRequest, target: TargetRecord, localAddress: string | undefined): void {
    const { deps } = this.#setting;
    const onClientGone = (): void => void asking.destroy();
    this.#response.once("close", onClientGone);
    let connected = false;
    asking.setTimeout(deps.connectTimeoutMs, () => asking.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })));
    const onConnected = (): void => {
      connected = true;
      asking.setTimeout(READ_TIMEOUT_MS);
      if (this.#hasBody) this.#request.pipe(asking);
    };
    asking.once("socket", (socket) => {
      if (socket.connecting) socket.once("connect", onConnected);
      else onConnected();
    });
    if (!this.#hasBody) asking.end();
    asking.once("response", (answer) => {
      deps.passive.succeeded(target);
      this.#pass(answer, target);
    });
    asking.on("error", (error: NodeJS.ErrnoException) => {
      this.#response.off("close", onClientGone);
      const code = error.code ?? error.message;
      if (this.#response.closed || this.#record.cause === "unbound") return;
      if (!connected && localAddress !== undefined && isTaken(code)) return this.#send(target, undefined);
      this.#failed(target, code === "ETIMEDOUT" ? "timeout" : connected ? "reset" : "refused", code, !connected || this.#isStale(asking));
    });
  }

  /** A kept connection that the backend ended at the same moment: nothing was answered, and there is no body to send twice. */
  #isStale(asking: ClientRequest): boolean {
    return asking.reusedSocket && !this.#hasBody && !this.#response.headersSent;
  }

  /** The next backend if this one has had nothing of the request; else the client is told. */
  #failed(target: TargetRecord, cause: FailureCause, code: string, untouched: boolean): void {
    const { deps, rule } = this.#setting;
    deps.passive.failed(target, deps.clock.now());
    this.#tried.add(target);
    const another = untouched && this.#tried.size < rule.targets.size;
    deps.traffic.fail(this.#record, cause, code, another ? "kept" : undefined);
    if (another) void this.attempt();
    else this.#refuse(cause === "timeout" ? 504 : 502);
  }

  #pass(answer: IncomingMessage, target: TargetRecord): void {
    const { rule, deps } = this.#setting;
    const persistent = rule.sessionExpireTime > 0 && rule.scheduler === "WRR";
    const cookie = persistent ? setCookie(rule.cookieName ?? DEFAULT_COOKIE, target, rule.sessionExpireTime) : undefined;
    this.#response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? "", responseHeaders(answer.rawHeaders, cookie));
    answer.pipe(this.#response);
    answer.once("end", () => deps.traffic.end(this.#record));
    answer.once("error", (error: NodeJS.ErrnoException) => {
      if (!this.#response.closed) deps.traffic.fail(this.#record, "reset", error.code ?? error.message);
      this.#response.destroy();
    });
  }

  /** Unbound: an answer that has begun breaks off, another request gets 502. */
  #cut(asking: ClientRequest): void {
    this.#setting.deps.traffic.fail(this.#record, "unbound", "");
    this.#refuse(502);
    asking.destroy();
  }

  #refuse(status: number): void {
    this.#setting.deps.traffic.end(this.#record);
    if (this.#response.headersSent) this.#response.destroy();
    else answerPlainly(this.#response, status);
  }
}

/** Of this request alone; the socket may have served others before. */
function bytesOf(asking: ClientRequest): () => { to: number; from: number } {
  let before = { to: 0, from: 0 };
  asking.once("socket", ({ bytesWritten: to, bytesRead: from }) => {
    before = { to, from };
  });
  return () => {
    const { bytesWritten = 0, bytesRead = 0 } = asking.socket ?? {};
    return { to: bytesWritten - before.to, from: bytesRead - before.from };
  };
}

const isTaken = (code: string): boolean => code === "EADDRNOTAVAIL" || code === "EADDRINUSE";
