import { connect } from "node:net";

/** `kept`: one request after the other on each connection; `new`: a connection for each request. */
export type LoadMode = "kept" | "new";

export type LoadResult = { readonly perSecond: number; readonly requests: number; readonly failures: number };

const CONNECTIONS = 32;

/** As many small requests as possible, by a client that costs as little as possible: it only looks at the end of each answer. */
export async function load(asked: { host: string; port: number; mode: LoadMode; seconds: number }): Promise<LoadResult> {
  const { host, port, mode, seconds } = asked;
  const closing = mode === "new" ? "Connection: close\r\n" : "";
  const request = Buffer.from(`GET / HTTP/1.1\r\nHost: bench.example\r\n${closing}\r\n`);
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1000;
  let requests = 0;
  let failures = 0;

  const connection = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect({ host, port, noDelay: true });
      let waits = true;
      socket.on("connect", () => socket.write(request));
      socket.on("data", (data) => {
        if (data.at(-1) !== 0x6b) return; // the "k" of "ok"
        requests++;
        waits = mode === "kept" && performance.now() < endMs;
        if (waits) socket.write(request);
        else if (mode === "kept") socket.destroy();
      });
      socket.on("error", () => undefined);
      socket.on("close", () => {
        if (waits) failures++;
        resolve();
      });
    });
  const client = async (): Promise<void> => {
    while (performance.now() < endMs) await connection();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, client));
  return { perSecond: (requests * 1000) / (performance.now() - startedMs), requests, failures };
}
