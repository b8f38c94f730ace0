import { chmodSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import type { Logger } from "../../common/log.ts";
import { type FromAgent, type FromHold, lineOf, makeLines, readFromAgent } from "./messages.ts";

export type AgentSocketDeps = {
  /** E.g. "/run/clb-direct/hold.sock". */
  readonly path: string;
  /** An agent has connected: what it has to know. */
  readonly greet: () => readonly FromHold[];
  readonly onMessage: (message: FromAgent) => void;
  readonly log: Logger;
};

export interface AgentSocket {
  start(): Promise<void>;
  say(message: FromHold): void;
  stop(): void;
}

/** The agent runs as somebody else, in the same Pod; nobody else sees the folder. */
const MODE = 0o666;

/** Where the agent of this Pod connects; the last one counts, an earlier one is of a container that has ended. */
export function makeAgentSocket({ path, greet, onMessage, log }: AgentSocketDeps): AgentSocket {
  let agent: Socket | undefined;
  const server = createServer((socket) => {
    agent?.destroy();
    agent = socket;
    const lines = makeLines((line) => onMessage(readFromAgent(line)));
    socket.setEncoding("utf8").on("error", () => undefined);
    socket.on("data", (chunk) => {
      try {
        lines(String(chunk));
      } catch (err) {
        log.error({ err }, "the agent said what is not understood: are its image and this one the same?");
        socket.destroy();
      }
    });
    socket.once("close", () => {
      if (agent === socket) agent = undefined;
    });
    for (const message of greet()) socket.write(lineOf(message));
    log.info("agent connected");
  });
  return {
    start: () =>
      new Promise((resolve, reject) => {
        rmSync(path, { force: true }); // of a container that has ended
        server.once("error", reject);
        server.listen(path, () => {
          chmodSync(path, MODE);
          resolve();
        });
      }),
    say: (message) => void agent?.write(lineOf(message)),
    stop: () => {
      server.close();
      agent?.destroy();
    },
  };
}
