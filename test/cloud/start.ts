import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { makeAdminServer } from "./admin-server.ts";
import { makeApiServer } from "./api-server.ts";
import { type Cloud, makeCloud } from "./cloud.ts";
import type { CloudOptions } from "./options.ts";

export type StartOptions = CloudOptions & {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0, the default, takes a free port. */
  readonly port?: number;
  readonly adminPort?: number;
};

export type StartedCloud = {
  /** For the SDK's `httpProfile.endpoint` (with `protocol: "http://"`), e.g. "127.0.0.1:41234". */
  readonly endpoint: string;
  /** E.g. "http://127.0.0.1:41235/_admin". */
  readonly adminUrl: string;
  readonly cloud: Cloud;
  stop(): Promise<void>;
};

/** An emulated cloud with its API and its admin pages over HTTP. Rejects if a port is taken. */
export async function startCloud(options: StartOptions = {}): Promise<StartedCloud> {
  const { host = "127.0.0.1", port = 0, adminPort = 0, ...rest } = options;
  const cloud = makeCloud(rest);
  const api = makeApiServer({ cloud, wallMs: options.wallMs ?? Date.now });
  const admin = makeAdminServer(cloud);
  await listen(api, host, port);
  await listen(admin, host, adminPort).catch(async (error: unknown) => {
    await close(api);
    throw error;
  });
  return {
    endpoint: `${host}:${portOf(api)}`,
    adminUrl: `http://${host}:${portOf(admin)}/_admin`,
    cloud,
    stop: async () => {
      await cloud.stop();
      await Promise.all([close(api), close(admin)]);
    },
  };
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port; // it listens on TCP

const listen = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject).listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });

const close = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
