import type { Clock } from "../common/clock.ts";
import { Health } from "../common/health.ts";
import { makeHealthServer } from "../common/health-server.ts";
import type { Part } from "../common/lifecycle.ts";
import type { Logger } from "../common/log.ts";
import { READY_HEALTH } from "../common/names.ts";
import { AGENT_FILES, StateFiles } from "./adapters/state-files.ts";

export type ProbesDeps = {
  readonly listenHost: string;
  readonly healthPort: number;
  readonly stateDirectory: string | undefined;
  /** Whether a coordinator has acknowledged a snapshot on a link that lives. */
  readonly isAcknowledged: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
};

export type Probes = {
  /** To be called when a link's state has changed. */
  readonly onState: () => void;
  /** Starts first. */
  readonly server: Part;
  /** Starts last: then the process is fit. */
  readonly fit: Part;
};

/** What the kubelet and monitoring ask: gRPC health, on a port that the agent of an update has too, and the files of this Pod alone. */
export function makeProbes({ listenHost: host, healthPort: port, stateDirectory, isAcknowledged, clock, log }: ProbesDeps): Probes {
  const health = new Health(["", READY_HEALTH]);
  const files = new StateFiles(stateDirectory, AGENT_FILES);
  const server = makeHealthServer({ host, port, shared: true, health, clock });
  const start = async (): Promise<void> => log.info({ port: await server.start() }, "health server listens");
  return {
    onState: () => {
      health.setStatus(READY_HEALTH, isAcknowledged() ? "SERVING" : "NOT_SERVING");
      files.set("ready", isAcknowledged());
    },
    server: { name: "health server", start, stop: () => server.stop() },
    fit: {
      name: "health",
      start: () => {
        health.setStatus("", "SERVING");
        files.set("started", true);
      },
      stop: () => {
        health.setStatus("", "NOT_SERVING");
        files.set("ready", false);
      },
    },
  };
}
