import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Cloud, makeCloud } from "../cloud.ts";
import { makeAdminServer } from "../http/admin-server.ts";
import { makeApiServer } from "../http/api-server.ts";
import { makeTls } from "../http/tls.ts";
import type { CloudOptions } from "../runtime/options.ts";
import { makeMetadataServer } from "../services/cvm/metadata.ts";

export type StartOptions = CloudOptions & {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0, the default, takes a free port. */
  readonly port?: number;
  readonly adminPort?: number;
  /** Serves HTTPS as well, under any host name; 0 takes a free port. */
  readonly tlsPort?: number;
  /** A metadata service for each instance, from this port upwards; 0 takes free ones. Left out: none. */
  readonly metadataPort?: number;
};

export type StartedCloud = {
  /** For the SDK's `httpProfile.endpoint` (with `protocol: "http://"`), e.g. "127.0.0.1:41234". */
  readonly endpoint: string;
  /** E.g. "http://127.0.0.1:41235/_admin". */
  readonly adminUrl: string;
  /** Where HTTPS is served, and the authority to trust (PEM). */
  readonly tls: { readonly endpoint: string; readonly caPem: string } | undefined;
  /** By instance, e.g. "ins-node0001" -> "http://127.0.0.1:41236/latest/meta-data/". */
  readonly metadata: ReadonlyMap<string, string>;
  readonly cloud: Cloud;
  stop(): Promise<void>;
};

/** An emulated cloud with its API, its admin pages and its metadata services over HTTP. Rejects if a port is taken. */
export async function startCloud(options: StartOptions = {}): Promise<StartedCloud> {
  const { host = "127.0.0.1", port = 0, adminPort = 0, tlsPort, metadataPort, ...rest } = options;
  const wallMs = options.wallMs ?? Date.now;
  const cloud = makeCloud(rest);
  const servers: Server[] = [];
  const stop = async (): Promise<void> => {
    await cloud.stop();
    await Promise.all(servers.map(close));
  };
  const open = async (server: Server, wanted: number, flag: string): Promise<string> => {
    await listen(server, host, wanted).catch((cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === "EADDRINUSE" ? `is taken; give another one with ${flag}, 0 for any` : `cannot be listened on (${cause.code})`;
      throw new Error(`${host}:${wanted} ${why}`, { cause });
    });
    servers.push(server);
    return `${host}:${(server.address() as AddressInfo).port}`; // it listens on TCP
  };
  try {
    const endpoint = await open(makeApiServer({ cloud, wallMs }), port, "--port");
    const admin = await open(makeAdminServer(cloud), adminPort, "--admin-port");
    const tls = tlsPort === undefined ? undefined : await makeTls([host], wallMs());
    const secure = tls === undefined ? undefined : await open(makeApiServer({ cloud, wallMs }, tls.options), tlsPort ?? 0, "--tls-port");
    const metadata = new Map<string, string>();
    const deps = { network: cloud.network, keyring: cloud.keyring, region: options.region ?? "ap-guangzhou" };
    for (const id of metadataPort === undefined ? [] : cloud.network.instances.keys()) {
      const wanted = metadataPort === 0 ? 0 : (metadataPort ?? 0) + metadata.size;
      const at = await open(makeMetadataServer(deps, id), wanted, "--metadata-port");
      metadata.set(id, `http://${at}/latest/meta-data/`);
    }
    return {
      endpoint,
      adminUrl: `http://${admin}/_admin`,
      tls: tls === undefined || secure === undefined ? undefined : { endpoint: secure, caPem: tls.caPem },
      metadata,
      cloud,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

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
