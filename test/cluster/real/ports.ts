import { createServer } from "node:net";

/** Ports on the address of the control plane, which nobody else has. */
export const PORTS = { api: 6443, etcd: 2379, etcdPeer: 2380, controllerManager: 10_257, scheduler: 10_259 } as const;

/** Throws if one of the ports cannot be listened on, naming it and the fix. */
export async function checkPorts(address: string): Promise<void> {
  for (const [part, port] of Object.entries(PORTS)) {
    const code = await listenFault(address, port);
    if (code === "EADDRINUSE")
      throw new Error(`${address}:${port} (${part}) is in use: end what listens there (ss -ltnp), or choose another slot`);
    if (code === "EADDRNOTAVAIL") throw new Error(`${address} is not local here: run it with node test/cluster/network.ts -- <command …>`);
    if (code !== undefined) throw new Error(`${address}:${port} (${part}) cannot be listened on: ${code}`);
  }
}

const listenFault = (host: string, port: number): Promise<string | undefined> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
