import assert from "node:assert/strict";
import { type ListenOptions, Server } from "node:net";
import { test } from "node:test";
import { listen } from "../../common/listener.ts";

test("a thousand connections that come at once wait for a busy process, instead of being dropped by the kernel", async (t) => {
  const server = new Server();
  t.after(() => server.close());
  const asked: ListenOptions[] = [];
  const real = server.listen.bind(server);
  t.mock.method(server, "listen", (options: ListenOptions, done: () => void) => {
    asked.push(options);
    return real(options, done);
  });
  assert.ok((await listen(server, { host: "127.0.0.1", port: 0, shared: false })) > 0);
  assert.ok((asked[0]?.backlog ?? 511) >= 4_096, "Node's default is 511");
});
