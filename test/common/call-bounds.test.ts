import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:http2";
import { type TestContext, test } from "node:test";
import {
  ChannelCredentials,
  Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from "@grpc/grpc-js";
import { boundCalls } from "../../common/call-bounds.ts";
import { Health } from "../../common/health.ts";
import { HealthClient } from "../../proto/gen/grpc/health/v1/health.ts";
import { until } from "../agent/until.ts";
import { aFakeClock } from "../coordinator/pods.ts";

const CHECK = "/grpc.health.v1.Health/Check";

/** A server with the health service; `kept` has what grpc-js keeps of each call's headers. */
async function aServer(t: TestContext) {
  const clock = aFakeClock();
  const kept: Metadata[] = [];
  const interceptor: ServerInterceptor = (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, letIn) => {
            kept.push(metadata);
            letIn(metadata);
          },
        }),
    });
  const server = new Server({ interceptors: [interceptor] });
  const health = new Health([""]);
  health.addToServer(server);
  let port: number | undefined;
  const unbound = boundCalls(server, () => port, clock);
  port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
  );
  const client = new HealthClient(`127.0.0.1:${port}`, ChannelCredentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  const session = connect(`http://127.0.0.1:${port}`);
  t.after(() => {
    unbound();
    client.close();
    session.destroy();
    server.forceShutdown();
  });
  const check = (headers: Readonly<Record<string, string | Buffer>>) =>
    new Promise<string>((resolve) => {
      const metadata = new Metadata();
      for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
      client.check({ service: "" }, metadata, (error) => resolve(error === null ? "OK" : `${status[error.code]}: ${error.details}`));
    });
  /** A call without grpc-js. */
  const call = (path: string, headers: Readonly<Record<string, string>> = {}) =>
    session.request(
      { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers },
      { endStream: false },
    );
  return { check, call, kept, clock };
}

test("a call has headers of 16 KiB at most; one that has more is told so, and nothing of them is kept", async (t) => {
  const { check, kept } = await aServer(t);
  assert.equal(await check({ authorization: `Bearer ${"t".repeat(8_192)}` }), "OK", "a token of 8 kB");
  assert.match(
    await check({ "x-more": "a".repeat(40_000) }),
    /^RESOURCE_EXHAUSTED: the headers of a call have at most 16384 bytes, these have 40\d\d\d$/,
  );
  assert.match(await check({ authorization: `Bearer ${"t".repeat(20_000)}` }), /^RESOURCE_EXHAUSTED: /);
  assert.deepEqual(
    kept.map((metadata) => metadata.get("x-more").length + metadata.get("authorization").length),
    [1, 0, 0],
  );
});

test("of a call's headers only those are kept that anybody reads", async (t) => {
  const { check, call, kept } = await aServer(t);
  assert.equal(await check({ authorization: "Bearer t", "user-agent": "somebody", "x-bin": Buffer.alloc(9_000) }), "OK");
  const commas = call(CHECK, { "y-bin": ",".repeat(9_000), authorization: "Bearer \u00e9" }); // an array of 9 001 Buffers, and a line in the log
  commas.end(Buffer.alloc(5));
  await once(commas, "response");
  assert.deepEqual(
    kept.map((metadata) => Object.keys(metadata.getMap())),
    [["authorization"], []],
  );
});

test("a call that is refused for its headers ends, also where its sender sends on", async (t) => {
  const { call } = await aServer(t);
  const refused = call("/clb.direct.v1.NodeStreamService/Connect", { "x-more": "a".repeat(20_000) });
  refused.on("error", () => undefined).resume();
  const [headers] = await once(refused, "response");
  assert.equal(headers["grpc-status"], String(status.RESOURCE_EXHAUSTED));
  await until(() => refused.closed);
});

test("a request for a health status has 4 kB at most", async (t) => {
  const { call } = await aServer(t);
  const large = call(CHECK);
  const ended = new Promise((resolve) => large.once("error", resolve));
  large.write(Buffer.from([0, 0, 15, 0, 0])); // 983 kB are to come
  large.write(Buffer.alloc(5_000));
  await ended;
  assert.equal(large.rstCode, 11); // ENHANCE_YOUR_CALM
});

test("a request for a health status that does not end within 10 s is ended; a watch whose request did goes on", async (t) => {
  const { call, clock } = await aServer(t);
  const watch = call("/grpc.health.v1.Health/Watch").resume();
  watch.end(Buffer.alloc(5));
  await once(watch, "response");
  const slow = call(CHECK);
  const ended = new Promise((resolve) => slow.once("close", resolve).once("error", resolve));
  slow.write(Buffer.alloc(2));
  const checked = call(CHECK).resume();
  checked.end(Buffer.alloc(5));
  await once(checked, "response"); // the slow one has come before
  await clock.advance(10_000);
  await ended;
  assert.equal(slow.rstCode, 8); // CANCEL
  assert.equal(watch.closed, false);
});
