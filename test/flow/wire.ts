/** A cable between one process and the API server: a TCP proxy that knows nothing of TLS and can be torn or cut. */
import { connect, createServer, type Socket } from "node:net";
import { reset } from "../reset.ts";

export type Wire = {
  /** E.g. "https://10.244.3.203:41234". */
  readonly url: string;
  /** Every connection breaks, wherever in a message it is; new ones are made at once. */
  readonly tear: () => void;
  /** No byte passes any more in either direction, as when packets are lost; the result mends it. */
  readonly cut: () => () => void;
  readonly stop: () => Promise<void>;
};

/** Listens on the host of `url`, on a port of its own. */
export async function makeWire(url: string): Promise<Wire> {
  const { hostname: host, port } = new URL(url);
  const sockets = new Set<Socket>();
  let isCut = false;
  const keep = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    if (isCut) socket.pause();
    socket.on("data", (chunk) => void (other.write(chunk) || socket.pause()));
    socket.on("drain", () => void (isCut || other.resume()));
    socket.on("end", () => other.end()).on("error", () => reset(other));
    socket.on("close", () => {
      sockets.delete(socket);
      other.destroy();
    });
  };
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host, port: Number(port), allowHalfOpen: true });
    keep(near, far);
    keep(far, near);
    if (isCut) near.pause();
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen({ host, port: 0 }, resolve));
  const address = server.address();
  const own = typeof address === "object" && address !== null ? address.port : 0;
  const tear = (): void => {
    for (const socket of sockets) reset(socket);
  };
  return {
    url: `https://${host}:${own}`,
    tear,
    cut: () => {
      isCut = true;
      for (const socket of sockets) socket.pause();
      return () => {
        isCut = false;
        for (const socket of sockets) socket.resume();
      };
    },
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      tear();
      await closed;
    },
  };
}
