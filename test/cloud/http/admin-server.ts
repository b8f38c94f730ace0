import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Cloud } from "../cloud.ts";
import { type Fault, parseFaultScript } from "../faults/script.ts";
import { JOURNAL_KINDS, type JournalQuery } from "../journal/journal.ts";
import { CloudError } from "../model/errors.ts";
import { healthIn, loadBalancerIn } from "./admin-bodies.ts";

/** `body` is the JSON object that was sent, `text` what was sent as it came. */
type Route = (query: URLSearchParams, body: () => object, text: string) => unknown;

/** Journal, state, counts and faults for tests and tools, unsigned: keep it on loopback. Not listening yet. */
export function makeAdminServer(cloud: Cloud): Server {
  const routes: Readonly<Record<string, Route>> = {
    "GET /_admin/journal": (query) => ({
      lastSeq: cloud.journal.lastSeq,
      dropped: cloud.journal.dropped,
      entries: cloud.journal.query(journalQuery(query)),
    }),
    "GET /_admin/state": () => cloud.state(),
    "GET /_admin/time": () => cloud.time(),
    "GET /_admin/counts": () => cloud.counts(),
    "GET /_admin/connections": (query) => {
      const [address, listenerId] = [query.get("clientAddress"), query.get("listenerId")];
      const port = Number(query.get("clientPort"));
      if (!Number.isInteger(port) || port < 1) throw new TypeError("connections needs clientPort, e.g. /connections?clientPort=40312");
      return {
        connections: cloud.connectionsOf({ port, ...(address !== null && { address }), ...(listenerId !== null && { listenerId }) }),
      };
    },
    "GET /_admin/faults": () => ({ faults: cloud.faults.list() }),
    "POST /_admin/faults": (_query, body) => {
      cloud.faults.add(body() as Fault); // checked there
      return { faults: cloud.faults.list() };
    },
    "PUT /_admin/faults": (_query, _body, text) => {
      cloud.faults.replace(parseFaultScript(text, "faults"));
      return { faults: cloud.faults.list() };
    },
    "DELETE /_admin/faults": () => {
      cloud.faults.clear();
      return { faults: [] };
    },
    "POST /_admin/load-balancers": (_query, _body, text) => cloud.addLoadBalancer(loadBalancerIn(text)),
    "POST /_admin/health": (_query, _body, text) => {
      const { status, ...target } = healthIn(text);
      cloud.setHealth(target, status);
      return {};
    },
  };
  return createServer((request, response) => {
    void respond(routes, request, response);
  });
}

async function respond(routes: Readonly<Record<string, Route>>, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const { status, result } = await answer(routes, request);
    const body = Buffer.from(JSON.stringify(result));
    response.writeHead(status, { "content-type": "application/json", "content-length": body.length }).end(body);
  } catch {
    request.socket.destroy(); // the client left in the middle of its request
  }
}

async function answer(routes: Readonly<Record<string, Route>>, request: IncomingMessage): Promise<{ status: number; result: unknown }> {
  const url = new URL(request.url ?? "/", "http://admin");
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const route = routes[`${request.method} ${url.pathname}`];
  if (route === undefined) return { status: 404, result: { error: `no such page; there are ${Object.keys(routes).join(", ")}` } };
  try {
    const text = Buffer.concat(chunks).toString("utf8");
    return { status: 200, result: route(url.searchParams, () => objectIn(text), text) };
  } catch (error) {
    const wrongInput = error instanceof TypeError || error instanceof SyntaxError || error instanceof CloudError;
    return { status: wrongInput ? 400 : 500, result: { error: String(error) } };
  }
}

/** Throws a SyntaxError or TypeError if the text is no JSON object; nothing is an empty one. */
function objectIn(text: string): object {
  const body: unknown = text === "" ? {} : JSON.parse(text);
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw new TypeError(`the body must be a JSON object, got ${text}`);
  return body;
}

const NUMBERS = ["since", "limit", "from", "until"] as const;
const WORDS = ["kind", "action", "caller", "loadBalancer", "code"] as const;
/** Entries in one answer unless asked otherwise. */
const PAGE = 10_000;

/** E.g. "kind=call&action=BatchRegisterTargets&since=100". Throws a TypeError that names the parameter which is unknown or has a wrong value. */
function journalQuery(query: URLSearchParams): JournalQuery {
  const wanted: Record<string, string | number> = { limit: PAGE };
  for (const [name, value] of query) {
    if (name === "kind" && !JOURNAL_KINDS.some((kind) => kind === value))
      throw new TypeError(`kind must be one of ${JOURNAL_KINDS.join(", ")}, got "${value}"`);
    if (WORDS.some((word) => word === name)) wanted[name] = value;
    else if (!NUMBERS.some((number) => number === name))
      throw new TypeError(`the journal has no parameter ${name}; there are ${[...WORDS, ...NUMBERS].join(", ")}`);
    else if (value === "" || !(Number(value) >= 0 && Number.isFinite(Number(value))))
      throw new TypeError(`${name} must be a number from 0, got "${value}"`);
    else wanted[name] = Number(value);
  }
  return wanted;
}
