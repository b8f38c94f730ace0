/**
 * Small processes beside the coordinator; the argument says which. Ends with its parent.
 * `control` does nothing but measure how late its own event loop is; `floor-server` holds idle HTTP/2 sessions under TLS, `stream-server`
 * acknowledges snapshots that come over them, and `floor-client` opens them.
 */
import { once } from "node:events";
import { type ClientHttp2Session, connect, createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { issueAuthority, issueServing, type Material } from "../../coordinator/tls/certificate.ts";
import type { HelperAnswer, HelperQuestion } from "./helpers.ts";

/** As prom-client has it, so that both are the same measure: an undisturbed loop shows a little more than this. */
const RESOLUTION_MS = 10;
/** Handshakes under way. */
const TOGETHER = 50;

const [, , role] = process.argv;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
const sessions: ClientHttp2Session[] = [];

async function answer(question: HelperQuestion): Promise<HelperAnswer> {
  switch (question.kind) {
    case "delay": {
      const p99Ms = delay.percentile(99) / 1e6;
      delay.reset();
      return { kind: "delay", p99Ms };
    }
    case "listen": {
      const authority = await issueAuthority(Date.now());
      const leaf = await issueServing(authority, ["localhost"], ["127.0.0.1"], Date.now());
      const port = await (role === "stream-server" ? (await import("./streams.ts")).acknowledge(leaf) : holdSessions(leaf));
      return { kind: "listening", port, caPem: authority.certPem };
    }
    case "connect": {
      const { sessions: wanted, pods, port, caPem } = question;
      const open = pods === 0 ? openSession : await (await import("./streams.ts")).tell(pods);
      for (let begin = 0; begin < wanted; begin += TOGETHER)
        await Promise.all(Array.from({ length: Math.min(TOGETHER, wanted - begin) }, (_, n) => open(begin + n, port, caPem)));
      return { kind: "connected" };
    }
    case "usage": {
      const { user, system } = process.cpuUsage();
      return { kind: "usage", rssBytes: process.memoryUsage().rss, cpuSeconds: (user + system) / 1e6 };
    }
    default:
      return question satisfies never;
  }
}

async function holdSessions({ certPem: cert, keyPem: key }: Material): Promise<number> {
  const server = createSecureServer({ cert, key });
  server.on("sessionError", () => undefined).listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function openSession(_index: number, port: number, ca: string): Promise<void> {
  const session = connect(`https://localhost:${port}`, { ca, host: "127.0.0.1" });
  sessions.push(session);
  await once(session, "connect");
}

if (role === "control") delay.enable();
process.on("message", (question: HelperQuestion) => {
  void answer(question).then(
    (told) => process.send?.(told),
    (error: unknown) => process.send?.({ kind: "failed", reason: String(error) } satisfies HelperAnswer),
  );
});
process.once("disconnect", () => process.exit(0));
