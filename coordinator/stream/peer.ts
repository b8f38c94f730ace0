/** The other end of a connection, as `call.getPeer()` of a stream has it, e.g. "10.0.3.7:40312". */
export const peerOf = (socket: { readonly remoteAddress?: string | undefined; readonly remotePort?: number | undefined }): string =>
  `${socket.remoteAddress}:${socket.remotePort}`;

/** E.g. "10.0.3.7" of "10.0.3.7:40312". */
export const addressOf = (peer: string): string => peer.slice(0, Math.max(0, peer.lastIndexOf(":")));
