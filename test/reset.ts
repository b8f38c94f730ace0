import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/**
 * By RST; a TLS connection has no reset of its own and just ends. So does one whose end is already on its way: resetting it then leaves a
 * request in libuv that never completes, and the process spins instead of exiting (seen on Node 24.21).
 */
export function reset(socket: Socket): void {
  if (socket instanceof TLSSocket || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
