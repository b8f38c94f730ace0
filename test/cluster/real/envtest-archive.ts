/**
 * etcd and kube-apiserver from the archive that controller-tools publishes for envtest: an index names each archive with its SHA-512
 * (`releases: {v1.36.0: {envtest-v1.36.0-linux-amd64.tar.gz: {hash, selfLink}}}`), which holds controller-tools/envtest/{etcd,…}.
 */
import { spawnSync } from "node:child_process";
import { createHash, type Hash } from "node:crypto";
import { createWriteStream, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parse } from "yaml";
import * as z from "zod";
import { binaryFault } from "./binary-file.ts";
import { isAlive } from "./files.ts";
import { BuildError } from "./go-build.ts";
import type { BinaryName, KubernetesMinor } from "./modules.ts";

/** What of us the archive has (and kubectl, which nobody here needs). */
const IN_ARCHIVE = ["etcd", "kube-apiserver"] as const satisfies readonly BinaryName[];
export const isInArchive = (name: BinaryName): name is (typeof IN_ARCHIVE)[number] => IN_ARCHIVE.some((one) => one === name);

const INDEX = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml";
const INDEX_TIMEOUT_MS = 10_000;
/** 60 MB take so long at 1.6 Mbit/s; slower than a build. */
const ARCHIVE_TIMEOUT_MS = 300_000;
const PROGRESS_MS = 2_000;
const TEMPORARY = ".archive-";

const Index = z.object({ releases: z.record(z.string(), z.record(z.string(), z.object({ hash: z.string(), selfLink: z.string() }))) });
type Release = { readonly version: string; readonly hash: string; readonly url: string };

export type ArchiveOptions = {
  readonly kubernetes: KubernetesMinor;
  /** The cache; a folder per release appears in it, e.g. "envtest-v1.36.2-linux-x64". */
  readonly cache: string;
  readonly progress: (line: string) => void;
  /** ENVTEST_INDEX_URL replaces the official index; "" means that nothing is downloaded. */
  readonly env: NodeJS.ProcessEnv;
};

/** Folders of the cache that came from an archive of that minor, newest first. */
export function archiveFolders(cache: string, kubernetes: KubernetesMinor): readonly string[] {
  const ending = `-${process.platform}-${process.arch}`;
  const names = (() => {
    try {
      return readdirSync(cache);
    } catch {
      return []; // no cache yet
    }
  })();
  const found = names.filter((name) => name.startsWith(`envtest-v${kubernetes}.`) && name.endsWith(ending));
  return found.sort((a, b) => b.localeCompare(a, "en", { numeric: true })).map((name) => join(cache, name));
}

/**
 * Downloads, checks and unpacks the newest archive of that minor. Gives the reason where there is none to be had, e.g. without Internet,
 * so that a build may follow; rejects with BuildError for what a build would only hide: wrong checksum, wrong architecture, a full disk.
 */
export async function fetchArchive({ kubernetes, cache, progress, env }: ArchiveOptions): Promise<string | undefined> {
  const index = env["ENVTEST_INDEX_URL"] ?? INDEX;
  if (index === "") return undefined; // not wanted
  const release = await newest(index, kubernetes);
  if (typeof release === "string") return release;
  const name = `envtest-${release.version}-${process.platform}-${process.arch}`;
  let temporary: string | undefined;
  try {
    mkdirSync(cache, { recursive: true });
    for (const left of readdirSync(cache).filter((one) => one.startsWith(TEMPORARY) && !isAlive(Number(one.split("-").at(-2)))))
      rmSync(join(cache, left), { recursive: true, force: true });
    temporary = mkdtempSync(join(cache, `${TEMPORARY}${process.pid}-`));
    const file = join(temporary, "archive.tar.gz");
    const unreachable = await download(release, file, progress);
    if (unreachable !== undefined) return unreachable;
    unpack(file, temporary, release);
    rmSync(file);
    rmSync(join(cache, name), { recursive: true, force: true });
    renameSync(temporary, join(cache, name));
    return undefined;
  } catch (error) {
    throw asBuildError(error, cache);
  } finally {
    if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true });
  }
}

/** Go's name of this machine, as the archives have it. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64", ppc64: "ppc64le", s390x: "s390x" };

/** The newest patch release of that minor for this machine, or why there is none. */
async function newest(index: string, kubernetes: KubernetesMinor): Promise<Release | string> {
  const text = await fetchText(index);
  if ("fault" in text) return `the envtest index ${index} cannot be read (${text.fault})`;
  const read = Index.safeParse(parsed(text.body));
  if (!read.success) return `${index} is no envtest index (${z.prettifyError(read.error).split("\n")[0]})`;
  const arch = ARCHITECTURES[process.arch] ?? process.arch;
  const releases = Object.entries(read.data.releases).flatMap(([version, archives]) => {
    const found = archives[`envtest-${version}-${process.platform}-${arch}.tar.gz`];
    return version.startsWith(`v${kubernetes}.`) && found !== undefined ? [{ version, hash: found.hash, url: found.selfLink }] : [];
  });
  const [first] = releases.sort((a, b) => b.version.localeCompare(a.version, "en", { numeric: true }));
  return first ?? `${index} has no archive of Kubernetes ${kubernetes} for ${process.platform}-${arch}`;
}

/** A hash is text, even one that looks like a number. */
function parsed(yaml: string): unknown {
  try {
    return parse(yaml, { schema: "failsafe", logLevel: "silent" });
  } catch {
    return undefined; // a page of HTML, say
  }
}

async function fetchText(url: string): Promise<{ readonly body: string } | { readonly fault: string }> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(INDEX_TIMEOUT_MS) });
    return answer.ok ? { body: await answer.text() } : { fault: `HTTP ${answer.status}` };
  } catch (error) {
    return { fault: causeOf(error) };
  }
}

/** `fetch failed` says nothing; its cause does. */
function causeOf(error: unknown): string {
  const { message, cause } = error instanceof Error ? error : new Error(String(error));
  return cause instanceof Error ? cause.message : message;
}

/** The reason where the archive cannot be reached; throws BuildError where what came is not what the index promises. */
async function download({ version, hash, url }: Release, file: string, progress: (line: string) => void): Promise<string | undefined> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(ARCHIVE_TIMEOUT_MS) }).catch((error: unknown) => causeOf(error));
  if (typeof answer === "string") return `the envtest archive ${url} cannot be reached (${answer})`;
  if (!answer.ok || answer.body === null) return `the envtest archive ${url} cannot be had: HTTP ${answer.status}`;
  const promised = Number(answer.headers.get("content-length") ?? Number.NaN);
  const sum = createHash("sha512");
  let came = 0;
  const told = (): string => `${megabytes(came)}${Number.isNaN(promised) ? "" : ` of ${megabytes(promised)}`} MB`;
  const timer = setInterval(() => progress(`downloading envtest ${version}: ${told()}`), PROGRESS_MS);
  try {
    await pipeline(
      Readable.fromWeb(answer.body),
      counted(sum, (bytes) => (came += bytes)),
      createWriteStream(file),
    );
  } catch (error) {
    if (isFull(error)) throw error;
    throw new BuildError(
      `the envtest archive ${url} is truncated: it broke off after ${came} of ${promised} bytes (${causeOf(error)}); run it again`,
    );
  } finally {
    clearInterval(timer);
  }
  const found = sum.digest("hex");
  if (found !== hash)
    throw new BuildError(
      `the envtest archive ${url} has a wrong checksum: SHA-512 ${found.slice(0, 16)}… instead of ${hash.slice(0, 16)}…; run it again, or set ENVTEST_INDEX_URL= to build with Go`,
    );
  return undefined;
}

const megabytes = (bytes: number): number => Math.round(bytes / 1_000_000);

const counted = (sum: Hash, count: (bytes: number) => void) =>
  async function* (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      sum.update(chunk);
      count(chunk.length);
      yield chunk;
    }
  };

/** Only what is ours of it, without its folders. */
function unpack(file: string, folder: string, { version, url }: Release): void {
  const names = IN_ARCHIVE.map((name) => `controller-tools/envtest/${name}`);
  const { status, stderr } = spawnSync("tar", ["-xzf", file, "-C", folder, "--strip-components=2", ...names], { encoding: "utf8" });
  if (/no space left|quota exceeded/i.test(stderr)) throw Object.assign(new Error(stderr.trim()), { code: "ENOSPC" });
  if (status !== 0) throw new BuildError(`the envtest archive ${url} cannot be unpacked: ${stderr.trim().split("\n")[0]}`);
  for (const name of IN_ARCHIVE) {
    const fault = binaryFault(join(folder, name));
    if (fault !== undefined)
      throw new BuildError(`${name} of the envtest archive ${version} ${fault}; set ENVTEST_INDEX_URL= to build with Go`);
  }
}

const isFull = (error: unknown): boolean => ["ENOSPC", "EDQUOT"].includes(String((error as NodeJS.ErrnoException).code));

function asBuildError(error: unknown, cache: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (isFull(error)) return new BuildError(`no disk space for the envtest archive in ${cache} (${message}): it needs about 250 MB there`);
  if (code === "EACCES" || code === "EROFS" || code === "ENOTDIR")
    return new BuildError(`the cache ${cache} cannot be made (${message}): set XDG_CACHE_HOME to a writable folder`);
  return error;
}
