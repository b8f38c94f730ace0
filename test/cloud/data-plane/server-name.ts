import type { Socket } from "node:net";

/** A client says more than that only by mistake. */
const MOST_BYTES = 65_536;
const HANDSHAKE = 0x16;
const SERVER_NAME = 0;

/** Reads the name that a TLS client asks for ("" if none) and leaves all its bytes unread. Calls back once, and never if the client goes before. */
export function readServerName(socket: Socket, then: (name: string) => void): void {
  const chunks: Buffer[] = [];
  const hear = (chunk: Buffer): void => {
    chunks.push(chunk);
    const said = Buffer.concat(chunks);
    if (said.length < MOST_BYTES && !isComplete(said)) return;
    socket.off("data", hear);
    socket.pause();
    socket.unshift(said);
    then(serverNameIn(said));
  };
  socket.on("data", hear);
}

/** The first record is there, or this is no TLS. */
const isComplete = (said: Buffer): boolean =>
  (said.length > 0 && said[0] !== HANDSHAKE) || (said.length >= 5 && said.length >= 5 + said.readUInt16BE(3));

/** Of a ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3); "" where there is none or it cannot be read. */
function serverNameIn(said: Buffer): string {
  try {
    let at = 5 + 4 + 2 + 32; // record, handshake, version, random
    at += 1 + said.readUInt8(at); // session id
    at += 2 + said.readUInt16BE(at); // ciphers
    at += 1 + said.readUInt8(at); // compression
    const end = at + 2 + said.readUInt16BE(at);
    for (at += 2; at < end; at += 4 + said.readUInt16BE(at + 2)) {
      if (said.readUInt16BE(at) !== SERVER_NAME) continue;
      const name = at + 4 + 2 + 1; // extension, list, type of name
      return said.toString("latin1", name + 2, name + 2 + said.readUInt16BE(name));
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return "";
}
