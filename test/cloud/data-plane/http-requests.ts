import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import { TLSSocket } from "node:tls";
import type { ListenerRecord, RuleRecord } from "../model/account.ts";
import { bareHost, matchDomain, matchRule, plainPath } from "./match-rule.ts";
import type { Client } from "./traffic-log.ts";

/** The rule for a request, or where to send the client: an absolute URL with its query. */
export function route(request: IncomingMessage, listener: ListenerRecord) {
  const { url = "/", headers } = request;
  const { host = "" } = headers;
  const found = matchRule(listener.rules.values(), listener.defaultDomain, host, plainPath(url));
  if (found.kind === "rule" && found.rule.rewrite !== undefined)
    return { kind: "redirect", code: found.rule.rewrite.code, path: rewritten(found.rule.rewrite, host, url) } as const;
  if (found.kind !== "redirect") return found;
  const query = url.includes("?") ? url.slice(url.indexOf("?")) : "";
  return { ...found, code: 301, path: `${schemeOf(request)}://${host}${encodeURI(found.path)}${query}` };
}

const USUAL_PORTS: Readonly<Record<string, number>> = { HTTP: 80, HTTPS: 443 };

/** A wildcard leads to the very host that was asked for. */
function rewritten({ to: { listener, rule }, takeUrl }: NonNullable<RuleRecord["rewrite"]>, host: string, url: string): string {
  const bare = bareHost(host);
  const domain = matchDomain(rule.domains, bare) === undefined ? (rule.domains[0] ?? bare) : bare;
  const port = listener.port === USUAL_PORTS[listener.protocol] ? "" : `:${listener.port}`;
  return `${listener.protocol.toLowerCase()}://${domain}${port}${takeUrl ? url : rule.url.replace(/^[=~^* ]+/, "")}`;
}

/** An answer of the load balancer itself. */
export function answerPlainly(response: ServerResponse, status: number): void {
  const body = `<html><body><h1>${status} ${STATUS_CODES[status]}</h1></body></html>\n`;
  response.writeHead(status, { "Content-Type": "text/html", "Content-Length": body.length }).end(body);
}

export const clientOf = ({ socket }: IncomingMessage): Client => ({ address: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 });

export const schemeOf = ({ socket }: IncomingMessage): "http" | "https" => (socket instanceof TLSSocket ? "https" : "http");

/** Request line and headers as bytes. */
export function requestHead({ method = "GET", url = "/" }: IncomingMessage, headers: readonly string[]): string {
  let head = `${method} ${url} HTTP/1.1\r\n`;
  for (let index = 0; index + 1 < headers.length; index += 2) head += `${headers[index]}: ${headers[index + 1]}\r\n`;
  return `${head}\r\n`;
}
