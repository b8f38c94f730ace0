import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createPlain, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTls } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What the server does with one request. */
export type Step = (answer: ServerResponse, request: IncomingMessage) => void;

/** A request as it came, e.g. { method: "GET", url: "/api/v1/pods?limit=500", watch: false }. */
export type Seen = {
  readonly method: string;
  readonly url: URL;
  readonly watch: boolean;
  readonly headers: IncomingMessage["headers"];
  body: string;
};

export interface ScriptedServer {
  readonly url: string;
  readonly seen: Seen[];
  /** Taken one by one; when used up, requests get 500 and watches stay open in silence. */
  readonly requests: Step[];
  readonly watches: Step[];
  /** Answers to lists of one object, which ask how far the server is; when used up, it is further than anybody was. */
  readonly questions: Step[];
  /** Connections ever opened, and those open now. */
  readonly connections: { readonly total: number; readonly open: number };
  /** Path of a kubeconfig that leads here. */
  readonly kubeconfig: string;
  /** A directory of this server, removed on close. */
  readonly directory: string;
  close(): Promise<void>;
}

const FAR = 1_000_000;

/** An HTTP server on 127.0.0.1 that answers by script, for failures that no real API server shows on demand. */
export async function startScriptedServer(tls?: { readonly cert: string; readonly key: string }): Promise<ScriptedServer> {
  const directory = mkdtempSync(join(tmpdir(), "scripted-server-"));
  const [seen, requests, watches, questions]: [Seen[], Step[], Step[], Step[]] = [[], [], [], []];
  let total = 0;
  const open = new Set<Socket>();
  const serve: RequestListener = (request, answer) => {
    const url = new URL(request.url ?? "/", "http://server");
    const watch = url.searchParams.get("watch") === "true";
    const isQuestion = !watch && url.searchParams.get("limit") === "1";
    const entry: Seen = { method: request.method ?? "", url, watch, headers: request.headers, body: "" };
    seen.push(entry);
    request.setEncoding("utf8").on("data", (text: string) => (entry.body += text));
    const script = watch ? watches : isQuestion ? questions : requests;
    const usual = watch ? stream([]) : isQuestion ? list(FAR, []) : status(500, "script is over");
    request.on("end", () => (script.shift() ?? usual)(answer, request));
  };
  const server = tls === undefined ? createPlain(serve) : createTls(tls, serve);
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    total += 1;
    socket.on("close", () => open.delete(socket)).on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
  const kubeconfig = join(directory, "kubeconfig");
  writeFileSync(kubeconfig, kubeconfigFor(url));
  return {
    url,
    seen,
    requests,
    watches,
    questions,
    connections: {
      get total() {
        return total;
      },
      get open() {
        return open.size;
      },
    },
    kubeconfig,
    directory,
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true });
    },
  };
}

/** JSON is YAML. `insecure-skip-tls-verify` because the library refuses plain http without it. */
function kubeconfigFor(server: string): string {
  return JSON.stringify({
    clusters: [{ name: "c", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "u", user: { token: "from-kubeconfig" } }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  });
}

export const json =
  (body: unknown, code = 200): Step =>
  (answer) => {
    answer.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
export const status =
  (code: number, text: string, headers: Record<string, string> = {}): Step =>
  (answer) => {
    answer.writeHead(code, { "content-type": "text/plain", ...headers }).end(text);
  };
export const list = (resourceVersion: number, items: readonly unknown[], next?: string): Step =>
  json({ kind: "PodList", metadata: { resourceVersion: String(resourceVersion), ...(next !== undefined && { continue: next }) }, items });
/** The connection breaks without an answer. */
export const reset: Step = (_answer, request) => request.socket.resetAndDestroy();
/** Accepted, never answered. */
export const frozen: Step = () => undefined;

/** A watch that delivers events and then stays open, ends in order, breaks, or breaks within a line. */
export const stream =
  (events: readonly { type: string; object: unknown }[], then: "open" | "end" | "reset" | "half line" = "open"): Step =>
  (answer, request) => {
    answer.writeHead(200, { "content-type": "application/json" });
    answer.flushHeaders();
    const text = events.map((event) => `${JSON.stringify(event)}\n`).join("");
    if (then === "open") answer.write(text);
    if (then === "end") answer.end(text);
    if (then === "half line") answer.end(`${text}{"type":"ADDED","object":{"metadata":{"uid":"ha`);
    if (then === "reset") answer.write(text, () => setTimeout(() => request.socket.resetAndDestroy(), 20)); // let the text arrive first
  };

/** e.g. aPod("a", 7) is Pod "a" with UID "uid-a" at resourceVersion 7. */
export const aPod = (name: string, resourceVersion: number, uid = `uid-${name}`): { metadata: Record<string, string> } => ({
  metadata: { name, namespace: "shop", uid, resourceVersion: String(resourceVersion) },
});
export const event = (type: string, object: unknown): { type: string; object: unknown } => ({ type, object });
export const bookmark = (resourceVersion: number): { type: string; object: unknown } =>
  event("BOOKMARK", { metadata: { resourceVersion: String(resourceVersion) } });
export const expired = event("ERROR", { kind: "Status", code: 410, reason: "Expired", message: "too old resource version: 1 (1338)" });

/** Waits until something holds; fails after 5 s. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries += 1) {
    if (tries > 1_000) throw new Error(`still not true after 5 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
