import { Server, ServerCredentials } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";

/** grpc.health.v1 on a plaintext port of its own: the kubelet's probe cannot speak TLS (toolchain.md §7). */
export interface HealthServer {
  /** `setStatus(name, "SERVING" | "NOT_SERVING")`; `addToServer` puts the same answers on another server as well. */
  readonly health: HealthImplementation;
  /** Resolves with the port. Rejects when the address cannot be bound. */
  start(): Promise<number>;
  stop(): void;
}

/**
 * `names` are NOT_SERVING until set; `""` means that this process is fit, e.g. ["", "ready"]. Other names answer NOT_FOUND.
 * `host` e.g. "0.0.0.0"; port 0 takes a free one.
 */
export function makeHealthServer(deps: { readonly host: string; readonly port: number; readonly names: readonly string[] }): HealthServer {
  const health = new HealthImplementation(Object.fromEntries(deps.names.map((name) => [name, "NOT_SERVING" as const])));
  const server = new Server();
  health.addToServer(server);
  const host = deps.host.includes(":") ? `[${deps.host}]` : deps.host;
  return {
    health,
    start: () =>
      new Promise((resolve, reject) => {
        server.bindAsync(`${host}:${deps.port}`, ServerCredentials.createInsecure(), (error, port) => {
          if (error === null) resolve(port);
          else reject(error);
        });
      }),
    stop: () => server.forceShutdown(), // a Watch never ends by itself
  };
}
