/** Strangers that hammer on the agents' port, as a process: `node strangers-child.ts <host:port> <CA file> <how many> <token file>`. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { ChannelCredentials, Metadata } from "@grpc/grpc-js";
import { COORDINATOR_SERVICE, DEFAULT_NAMESPACE } from "../../common/names.ts";
import { NodeStreamServiceClient } from "../../proto/gen/clb/direct/v1/node_stream.ts";

const [address = "", caFile = "", count = "0", tokenFile = ""] = process.argv.slice(2);
const credentials = ChannelCredentials.createSsl(readFileSync(caFile));
const serverName = `${COORDINATOR_SERVICE}.${DEFAULT_NAMESPACE}.svc`;
const options = {
  "grpc.ssl_target_name_override": serverName,
  "grpc.default_authority": serverName,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": 0,
};
/** Some are as large as an earlier version took them; of all, they would take this process's memory instead. */
const LARGE = { strangers: 50, bytes: 4_000_000 };
const SMALL_BYTES = 50_000;
const helloOf = (bytes: number) => ({ protocolVersion: 1, nodeName: "node-a", instanceId: "x".repeat(bytes) });
const [large, small] = [helloOf(LARGE.bytes), helloOf(SMALL_BYTES)];
const real = readFileSync(tokenFile, "utf8").trim().split(".");

/** None, one that only looks like an agent's, or a new one of that kind each time. */
function tokenOf(stranger: number): string | undefined {
  if (stranger % 3 === 0) return undefined;
  const signature = stranger % 3 === 1 ? "c2ln" : randomBytes(32).toString("base64url");
  return `${real[0]}.${real[1]}.${signature}`;
}

async function hammer(stranger: number): Promise<never> {
  for (;;) {
    const client = new NodeStreamServiceClient(address, credentials, options);
    const metadata = new Metadata();
    const token = tokenOf(stranger);
    if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
    const call = client.connect(metadata);
    const ended = new Promise<void>((resolve) => call.on("status", () => resolve()));
    call.on("error", () => undefined).on("data", () => undefined);
    call.write({ body: { $case: "hello", value: stranger < LARGE.strangers ? large : small } });
    await ended;
    client.close();
  }
}

await Promise.all(Array.from({ length: Number(count) }, (_, stranger) => hammer(stranger)));
