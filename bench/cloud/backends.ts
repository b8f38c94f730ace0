import { createServer } from "node:http";

/** Backends of the data-plane benchmark, in a process of their own: small answers on the given addresses. Says "ready"; ends with its parent. */
const [port = "", ...addresses] = process.argv.slice(2);

const listening = addresses.map(
  (host) =>
    new Promise<void>((resolve, reject) => {
      const server = createServer((_request, response) => {
        response.writeHead(200, { "content-type": "text/plain", "content-length": "2" });
        response.end("ok");
      });
      server.once("error", reject).listen({ host, port: Number(port), backlog: 1024 }, resolve);
    }),
);
process.once("disconnect", () => process.exit(0));
await Promise.all(listening);
process.send?.("ready");
