import { createHash } from "node:crypto";

/** One entry, e.g. { path: "usr/bin/ip", mode: 0o755, content } or { path: "bin", link: "usr/bin" }; a folder ends with "/". */
export type TarEntry =
  | { readonly path: string; readonly mode?: number; readonly content?: Uint8Array; readonly link?: undefined }
  | { readonly path: string; readonly link: string };

const BLOCK = 512;

/** A tar file of these entries, root's, all of the same time: the same entries give the same bytes. Throws RangeError for a path over 255 bytes. */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const blocks: Uint8Array[] = [];
  for (const entry of entries) {
    const content = (entry.link === undefined ? entry.content : undefined) ?? new Uint8Array();
    blocks.push(headerOf(entry, content.length), content, new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK));
  }
  return Buffer.concat([...blocks, new Uint8Array(2 * BLOCK)]);
}

function headerOf(entry: TarEntry, size: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  const { name, prefix } = split(entry.path);
  const isFolder = entry.path.endsWith("/");
  const type = entry.link === undefined ? (isFolder ? "5" : "0") : "2";
  const mode = entry.link === undefined ? (entry.mode ?? (isFolder ? 0o755 : 0o644)) : 0o777;
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, "0")}\0`;
  header.write(name, 0);
  header.write(octal(mode, 7), 100);
  header.write(octal(0, 7), 108); // owner
  header.write(octal(0, 7), 116); // group
  header.write(octal(size, 11), 124);
  header.write(octal(0, 11), 136); // time
  header.write(" ".repeat(8), 148);
  header.write(type, 156);
  header.write(entry.link ?? "", 157);
  header.write("ustar\x0000", 257);
  header.write(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

/** A path over 100 bytes is told in two parts. */
function split(path: string): { readonly name: string; readonly prefix: string } {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: "" };
  const at = [...path.matchAll(/\/(?=.)/g)].map(({ index }) => index).find((index) => Buffer.byteLength(path.slice(index + 1)) <= 100);
  if (at === undefined || at > 155) throw new RangeError(`${path} is too long for a tar file`);
  return { name: path.slice(at + 1), prefix: path.slice(0, at) };
}

/** E.g. "sha256:9f86…". */
export const digestOf = (content: Uint8Array): string => `sha256:${createHash("sha256").update(content).digest("hex")}`;
