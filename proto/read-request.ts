import { BinaryReader } from "@bufbuild/protobuf/wire";
import { ConnectRequest } from "./gen/clb/direct/v1/node_stream.ts";

/** Texts kept for sharing, a power of two; each takes the place of another one. 4 096 of at most 64 characters are 0.4 MB. Own choice. */
const SLOTS = 4_096;
/** Names, labels and addresses; what is longer hardly comes again. */
const LONGEST = 64;

/**
 * Decodes what agents say. The Pods of a cluster tell the same names of labels, Namespaces and ports again and again: each such text is made once and
 * then found by its bytes. The library makes an array of all characters for each text: a quarter of what an agent's arrival allocated.
 */
export function makeReadRequest(): (bytes: Buffer) => ConnectRequest {
  const texts = Array.from({ length: SLOTS }, () => "");
  return (bytes) => ConnectRequest.decode(new SharingReader(bytes, texts));
}

class SharingReader extends BinaryReader {
  readonly #bytes: Buffer;
  readonly #texts: string[];

  constructor(bytes: Buffer, texts: string[]) {
    super(bytes);
    this.#bytes = bytes;
    this.#texts = texts;
  }

  override string(strict?: boolean): string {
    const before = this.pos;
    const length = this.uint32();
    const end = this.pos + length;
    const text = length <= LONGEST && end <= this.len ? this.#shared(this.pos, end) : undefined;
    if (text !== undefined) {
      this.pos = end;
      return text;
    }
    this.pos = before;
    return super.string(strict);
  }

  /** undefined where it is not ASCII. */
  #shared(start: number, end: number): string | undefined {
    const bytes = this.#bytes;
    let hash = end - start;
    for (let at = start; at < end; at++) {
      const byte = bytes[at] ?? NOT_ASCII;
      if (byte >= NOT_ASCII) return undefined;
      hash = (Math.imul(hash, 31) + byte) | 0;
    }
    const slot = (hash ^ (hash >>> 12)) & (SLOTS - 1);
    const known = this.#texts[slot] ?? "";
    if (isAt(bytes, start, end, known)) return known;
    const text = bytes.toString("latin1", start, end);
    this.#texts[slot] = text;
    return text;
  }
}

const NOT_ASCII = 0x80;

function isAt(bytes: Buffer, start: number, end: number, text: string): boolean {
  if (text.length !== end - start) return false;
  for (let at = start; at < end; at++) if (bytes[at] !== text.charCodeAt(at - start)) return false;
  return true;
}
