import type { Socket } from "node:net";
import { ChannelCredentials } from "@grpc/grpc-js";

/** What grpc-js calls for each of its connections; it is declared, but not documented. */
const CONNECTOR = "_createSecureConnector";

/**
 * Credentials of a CA bundle; those of the last one are kept, for reading certificates is what costs most in connecting anew. Connections that
 * are under way end with their channel.
 */
export function makeCredentials(): (caBundle: Buffer) => ChannelCredentials {
  let known: { readonly caBundle: Buffer; readonly credentials: ChannelCredentials } | undefined;
  return (caBundle) => {
    if (known === undefined || !known.caBundle.equals(caBundle))
      known = { caBundle, credentials: endingWithChannel(ChannelCredentials.createSsl(caBundle)) };
    return known.credentials;
  };
}

/**
 * A channel of grpc-js (1.14) that is closed before it is connected goes on connecting, and one that was refused tries once more a second
 * later: nobody wants that connection any more, yet the coordinator would shake hands with it and keep a place for it. After its restart there
 * were as many of these as agents. `destroy` is called when the channel has been closed.
 */
function endingWithChannel(credentials: ChannelCredentials): ChannelCredentials {
  const create = credentials[CONNECTOR].bind(credentials);
  credentials[CONNECTOR] = (...channel) => {
    const connector = create(...channel);
    const underWay = new Set<Socket>();
    let isOver = false;
    return {
      connect: async (socket) => {
        underWay.add(socket);
        try {
          if (isOver) throw new Error("the channel was closed");
          return await connector.connect(socket);
        } finally {
          underWay.delete(socket);
          if (isOver) socket.destroy();
        }
      },
      waitForReady: () => connector.waitForReady(),
      getCallCredentials: () => connector.getCallCredentials(),
      destroy: () => {
        isOver = true;
        for (const socket of underWay) socket.destroy();
        connector.destroy();
      },
    };
  };
  return credentials;
}
