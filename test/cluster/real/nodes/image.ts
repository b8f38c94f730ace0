/** Makes container images without a container engine: a docker-archive for `ctr images import` around one static binary. */
import { createHash } from "node:crypto";

/** E.g. { tags: ["registry.example.com/web:1"], args: [] }; every image runs the same binary. */
export type Image = { readonly tags: readonly string[]; readonly args: readonly string[] };

type Entry = { readonly name: string; readonly mode: number; readonly content: Buffer };

const BLOCK = 512;
const BINARY = "app";

/** The tar with all images; they share the one layer. `arch` is Node's name, e.g. "x64". */
export function imageArchive(binary: Buffer, images: readonly Image[], arch: string = process.arch): Buffer {
  const layer = tar([{ name: BINARY, mode: 0o755, content: binary }]);
  const layerName = `${sha256(layer)}.tar`;
  const configs = images.map(({ args }) => {
    const content = json({
      architecture: arch === "x64" ? "amd64" : arch,
      os: "linux",
      config: { Entrypoint: [`/${BINARY}`], Cmd: args, WorkingDir: "/" },
      rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    });
    return { name: `${sha256(content)}.json`, mode: 0o644, content };
  });
  const manifest = images.map(({ tags }, index) => ({ Config: configs[index]?.name, RepoTags: tags, Layers: [layerName] }));
  return tar([
    ...new Map(configs.map((config) => [config.name, config])).values(),
    { name: layerName, mode: 0o644, content: layer },
    { name: "manifest.json", mode: 0o644, content: json(manifest) },
  ]);
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");

/** POSIX ustar with regular files only, owned by root, all from 1970: equal content gives equal bytes. */
export function tar(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ name, mode, content }) => [
    header(name, mode, content.length),
    content,
    Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** Throws RangeError on a name of more than 100 bytes. */
function header(name: string, mode: number, size: number): Buffer {
  if (Buffer.byteLength(name) > 100) throw new RangeError(`tar: the name ${name} is longer than 100 bytes`);
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): void =>
    void block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "ascii");
  block.write(name, 0, "utf8");
  octal(mode, 100, 8);
  octal(0, 108, 8); // user and group: root
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12); // time
  block.fill(" ", 148, 156); // the checksum counts as blanks in its own sum
  block.write("0", 156, "ascii"); // a regular file
  block.write("ustar\x0000", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "ascii");
  return block;
}
