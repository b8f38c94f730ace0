/** Somebody who speaks the agents' protocol to a real coordinator: with a node's stolen token, with another one, or with none. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { ChannelCredentials, type ClientDuplexStream, Metadata, status } from "@grpc/grpc-js";
import { COORDINATOR_SERVICE, DEFAULT_NAMESPACE, STREAM_PORT } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { type ConnectRequest, type ConnectResponse, NodeStreamServiceClient } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { toPodReport } from "../../proto/wire.ts";
import { until, type World } from "./world.ts";

type Body = NonNullable<ConnectRequest["body"]>;

export type Stranger = {
  /** What it was told, e.g. ["welcome", "ack"]. */
  readonly heard: string[];
  /** gRPC status and words of the end; undefined while it is connected. */
  readonly end: () => { readonly code: string; readonly details: string } | undefined;
  readonly say: (body: Body) => void;
  readonly hello: (node: string) => Promise<void>;
  /** The whole node, as one snapshot; resolves when it was acknowledged. */
  readonly claim: (pods: readonly PodFact[]) => Promise<void>;
  readonly close: () => void;
};

/** The files that the agent of a node has. */
const fileOf = (world: World, node: string, file: string): Promise<string> =>
  readFile(join(world.directory, `clb-direct-agent-${node}`, file), "utf8");

/** The stream token of a node's agent. */
export const stolenToken = (world: World, node: string): Promise<string> => fileOf(world, node, "stream-token");

/** Connects; `token` undefined: none is sent. */
export async function aStranger(t: TestContext, world: World, token: string | undefined): Promise<Stranger> {
  const serverName = `${COORDINATOR_SERVICE}.${DEFAULT_NAMESPACE}.svc`;
  const client = new NodeStreamServiceClient(
    `${world.plan.coordinator}:${STREAM_PORT}`,
    ChannelCredentials.createSsl(Buffer.from(await fileOf(world, "node-a", "bundle.crt"))),
    {
      "grpc.ssl_target_name_override": serverName,
      "grpc.default_authority": serverName,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_http_proxy": 0,
    },
  );
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  const call: ClientDuplexStream<ConnectRequest, ConnectResponse> = client.connect(metadata);
  const heard: string[] = [];
  let ended: ReturnType<Stranger["end"]>;
  let sequence = 0n;
  call
    .on("error", () => undefined)
    .on("status", ({ code, details }: { code: status; details: string }) => (ended = { code: status[code], details }))
    .on("data", ({ body }: ConnectResponse) => void heard.push(body?.$case ?? "nothing"));
  const close = (): void => {
    call.cancel();
    client.close();
  };
  t.after(close);
  const say = (body: Body): void => void call.write({ body });
  /** The next message of one of these kinds; the end of the stream counts as one. */
  const answer = async (...kinds: readonly string[]): Promise<string> => {
    const from = heard.length;
    const next = (): string | undefined => heard.slice(from).find((one) => kinds.includes(one)) ?? (ended && "end");
    return await until(`the stranger is told ${kinds.join(" or ")}`, next);
  };
  return {
    heard,
    end: () => ended,
    say,
    hello: async (nodeName) => {
      const told = answer("welcome");
      say({ $case: "hello", value: { protocolVersion: 1, nodeName, instanceId: "stranger" } });
      await told;
    },
    claim: async (pods) => {
      const snapshot = async (): Promise<string> => {
        const told = answer("ack", "resend");
        say({ $case: "snapshot", value: { sequence: ++sequence, pods: pods.map(toPodReport), more: false } });
        return await told;
      };
      if ((await snapshot()) === "resend") await snapshot(); // one that drops most of what was told is believed at the second time
    },
    close,
  };
}
