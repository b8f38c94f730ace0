import type { Socket } from "node:net";
import { reset } from "../../reset.ts";
import type { FailureCause } from "../journal/journal.ts";
import type { ListenerRecord } from "../model/account.ts";

/** What is left of a client when its listener goes; below TLS there may be a handshake that never ended. */
export function drop(client: Socket, { protocol }: Pick<ListenerRecord, "protocol">): void {
  if (protocol === "TCP_SSL" || protocol === "HTTPS") client.destroy();
  else reset(client);
}

/**
 * Pipes both ways once `backend` is connected; half-closes pass through. Whichever side breaks, the other one sees a reset.
 * `onFailed`: the backend never accepted; the client is left as it is. `onBroken`: it broke off while the client was there.
 */
export function join(from: {
  readonly client: Socket;
  readonly backend: Socket;
  readonly connectTimeoutMs: number;
  readonly onConnected: () => void;
  readonly onFailed: (cause: FailureCause, code: string) => void;
  readonly onBroken: (cause: FailureCause, code: string) => void;
}): void {
  const { client, backend } = from;
  let connected = false;
  const onClientClose = (): void => {
    // Soon, not at once: what is still on its way to the other side must arrive.
    if (connected && client.errored === null) backend.destroySoon();
    else if (connected) reset(backend);
    else backend.destroy();
  };
  client.once("close", onClientClose);
  // A socket's own timer, not the Clock: this is about real sockets, which exist only in real time.
  backend.setTimeout(from.connectTimeoutMs, () => backend.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })));
  backend.once("connect", () => {
    connected = true;
    backend.setTimeout(0);
    from.onConnected();
    backend.once("close", () => client.destroySoon());
    client.pipe(backend);
    backend.pipe(client);
  });
  backend.on("error", (error: NodeJS.ErrnoException) => {
    const code = error.code ?? error.message;
    if (connected) {
      if (!client.destroyed) from.onBroken(code === "ETIMEDOUT" ? "timeout" : "reset", code);
      reset(client);
    } else {
      client.off("close", onClientClose);
      from.onFailed(code === "ETIMEDOUT" ? "timeout" : "refused", code);
    }
  });
}
