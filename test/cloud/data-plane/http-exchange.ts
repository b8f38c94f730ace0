import type { IncomingMessage, ServerResponse } from "node:http";
import type { FailureCause } from "../journal/journal.ts";
import type { ListenerRecord, RuleRecord, TargetRecord } from "../model/account.ts";
import type { Wire, Wires } from "./backend-wire.ts";
import { requestHeaders, responseHeaders } from "./forwarded-headers.ts";
import type { FrontDeps, Live } from "./front.ts";
import { answerPlainly, clientOf, requestHead, schemeOf } from "./http-requests.ts";
import type { AnswerHead } from "./response-parser.ts";
import { DEFAULT_COOKIE, setCookie } from "./session-cookie.ts";
import type { ConnectionRecord } from "./traffic-log.ts";

type Setting = {
  readonly listener: ListenerRecord;
  readonly rule: RuleRecord;
  readonly live: Set<Live>;
  readonly deps: FrontDeps;
  readonly wires: Wires;
};

/** One request, its backend (or backends, as long as none has accepted), and the answer. */
export class Exchange {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #setting: Setting;
  readonly #record: ConnectionRecord;
  readonly #hasBody: boolean;
  readonly #tried = new Set<TargetRecord>();
  /** Ends the attempt that runs; undefined between attempts and when all is over. */
  #abandon: (() => void) | undefined;

  constructor(request: IncomingMessage, response: ServerResponse, setting: Setting) {
    this.#request = request;
    this.#response = response;
    this.#setting = setting;
    this.#record = setting.deps.traffic.begin(setting.rule, clientOf(request));
    this.#hasBody = request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined;
    response.once("close", () => this.#abandon?.()); // the client is gone, or has everything
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
    if (this.#response.closed) return this.#setting.deps.traffic.end(this.#record);
    const { listener, rule, live, deps, wires } = this.#setting;
    const { method = "GET", rawHeaders, httpVersion } = this.#request;
    const wire = wires.take({ host: target.ip, port: target.port, localAddress, isTls: rule.forwardType === "HTTPS" }, listener.keepalive);
    const { bytesWritten, bytesRead } = wire.socket;
    const bytes = () => ({ to: wire.socket.bytesWritten - bytesWritten, from: wire.socket.bytesRead - bytesRead });
    const accounting = deps.traffic.assign(this.#record, target, bytes);
    const one: Live = { target, bytes, end: () => this.#cut() };
    live.add(one);
    const over = (): void => {
      this.#abandon = undefined;
      live.delete(one);
      accounting.done();
    };
    this.#abandon = () => {
      over();
      wire.destroy();
      deps.traffic.end(this.#record);
    };
    const scheme = schemeOf(this.#request);
    const hop = { clientAddress: this.#record.clientAddress, scheme, httpVersion, keepAlive: listener.keepalive } as const;
    wire.ask(method, requestHead(this.#request, requestHeaders(rawHeaders, hop)), {
      connected: () => void (this.#hasBody && this.#sendBody(wire)),
      head: (head) => this.#answer(head, target, wire),
      body: (data) => this.#response.write(data),
      end: () => {
        over();
        deps.traffic.end(this.#record);
        this.#response.end();
      },
      failed: (code) => {
        over();
        this.#failed({ target, code, wire, isBound: localAddress !== undefined });
      },
    });
  }

  /** Node has taken the chunks out of their frames. */
  #sendBody({ socket }: Wire): void {
    const isChunked = this.#request.headers["transfer-encoding"] !== undefined;
    this.#request.on("data", (data: Buffer) => {
      if (socket.destroyed || data.length === 0) return;
      if (isChunked) socket.write(`${data.length.toString(16)}\r\n`, "latin1");
      const flows = socket.write(data);
      if (isChunked) socket.write("\r\n", "latin1");
      if (flows) return;
      this.#request.pause();
      socket.once("drain", () => this.#request.resume());
    });
    if (isChunked) this.#request.once("end", () => void (socket.destroyed || socket.write("0\r\n\r\n", "latin1")));
  }

  #answer({ status, message, rawHeaders }: AnswerHead, target: TargetRecord, wire: Wire): void {
    const { rule, deps } = this.#setting;
    deps.passive.succeeded(target);
    const persistent = rule.sessionExpireTime > 0 && rule.scheduler === "WRR";
    const cookie = persistent ? setCookie(rule.cookieName ?? DEFAULT_COOKIE, target, rule.sessionExpireTime) : undefined;
    this.#response.on("drain", () => wire.resume());
    this.#response.writeHead(status, message, responseHeaders(rawHeaders, cookie));
  }

  /** The next backend if this one has had nothing of the request; else the client is told. */
  #failed({ target, code, wire, isBound }: { target: TargetRecord; code: string; wire: Wire; isBound: boolean }): void {
    const { deps, rule } = this.#setting;
    // The port of the bound address is taken: the system may find a free one on another address.
    if (isBound && (code === "EADDRNOTAVAIL" || code === "EADDRINUSE")) return this.#send(target, undefined);
    // The backend ended a kept connection at the same moment: nothing was answered, and what changes nothing twice may be sent again.
    const isRepeatable = !this.#hasBody && this.#request.method !== "POST" && this.#request.method !== "PATCH";
    if (wire.isReused && isRepeatable && !this.#response.headersSent) return this.#send(target, undefined);
    const cause: FailureCause = code === "ETIMEDOUT" ? "timeout" : wire.isConnected ? "reset" : "refused";
    deps.passive.failed(target, deps.clock.now());
    this.#tried.add(target);
    const another = !wire.isConnected && this.#tried.size < rule.targets.size;
    deps.traffic.fail(this.#record, cause, code, another ? "kept" : undefined);
    if (another) void this.attempt();
    else this.#refuse(cause === "timeout" ? 504 : 502);
  }

  /** Unbound: an answer that has begun breaks off, another request gets 502. */
  #cut(): void {
    this.#setting.deps.traffic.fail(this.#record, "unbound", "");
    this.#abandon?.();
    this.#refuse(502);
  }

  #refuse(status: number): void {
    this.#setting.deps.traffic.end(this.#record);
    if (this.#response.headersSent) this.#response.destroy();
    else answerPlainly(this.#response, status);
  }
}
