/** Builds binaries of a pinned Go module into the cache: whole or not at all, one build at a time, its output kept. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { binaryFault } from "./binary-file.ts";
import { type BinaryName, type GoModule, installedName, packageOf } from "./modules.ts";

export type BuildOptions = {
  readonly module: GoModule;
  readonly names: readonly BinaryName[];
  /** Folder of this module in the cache; the binaries appear in it by their names, the log as build.log. */
  readonly directory: string;
  /** One line at a time, e.g. "building kubernetes v1.36.3: 812 packages, 45 s". */
  readonly progress: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
};

/** Why a build is not possible or failed; the message names the fix. */
export class BuildError extends Error {
  override readonly name = "BuildError";
}

/** Looked for on PATH; all but Go are in util-linux. */
const TOOLS = { go: "go", setpriv: "setpriv", flock: "flock" } as const;
const PROGRESS_MS = 10_000;
const TEMPORARY = ".build-";

/** Rejects with BuildError. A build that is killed leaves only a temporary folder, which the next one removes. */
export async function buildBinaries(options: BuildOptions): Promise<void> {
  const { module, names, directory, progress, env = process.env } = options;
  if (spawnSync(TOOLS.go, ["version"], { env }).status !== 0)
    throw new BuildError(`no Go toolchain on PATH to build ${names.join(", ")}: install Go (https://go.dev/dl), or set KUBEBUILDER_ASSETS`);
  try {
    mkdirSync(directory, { recursive: true });
  } catch (error) {
    throw new BuildError(`the cache ${directory} cannot be made (${(error as Error).message}): set XDG_CACHE_HOME to a writable folder`);
  }
  const unlock = await lock(join(directory, "lock"), () => progress(`waiting for another build of ${module.key}`));
  try {
    for (const left of readdirSync(directory).filter((name) => name.startsWith(TEMPORARY)))
      rmSync(join(directory, left), { recursive: true, force: true });
    const wanted = names.filter((name) => binaryFault(join(directory, name)) !== undefined); // the build that we waited for may have made them
    if (wanted.length > 0) await install({ ...options, names: wanted, env });
  } finally {
    unlock();
  }
}

async function install({ module, names, directory, progress, env }: BuildOptions): Promise<void> {
  const temporary = mkdtempSync(join(directory, TEMPORARY));
  const logFile = join(directory, "build.log");
  const log = openSync(logFile, "w");
  const goes = [TOOLS.go, "install", "-v", "-trimpath", "-ldflags", module.linkerFlags, ...names.map(packageOf)];
  progress(`building ${names.join(", ")} ${module.version} with Go, some minutes when nothing is cached; log: ${logFile}`);
  // The death of this process ends the build as well.
  const child = spawn(TOOLS.setpriv, ["--pdeathsig", "TERM", "nice", "-n", "19", ...goes], {
    cwd: module.directory,
    env: { ...env, GOBIN: temporary, CGO_ENABLED: "0", GOFLAGS: "-mod=readonly", GOWORK: "off" },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  try {
    const code = await watchBuild(child, () => progress(`building ${module.key}: ${countPackages(logFile)} packages so far`));
    if (code !== 0) throw new BuildError(faultOf(readFileSync(logFile, "utf8"), logFile, env ?? process.env));
    for (const name of names) renameSync(join(temporary, installedName(name)), join(directory, name));
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** Resolves with the exit code; 127 where it could not be started. */
async function watchBuild(child: ChildProcess, tell: () => void): Promise<number> {
  const timer = setInterval(tell, PROGRESS_MS);
  try {
    const ended = Promise.withResolvers<number>();
    child.once("exit", (code) => ended.resolve(code ?? 128)).once("error", () => ended.resolve(127));
    return await ended.promise;
  } finally {
    clearInterval(timer);
  }
}

/** `go install -v` names each package that it compiles on a line of its own; its own words begin with "go:". */
const countPackages = (file: string): number =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => /^[\w.-]+\S*$/.test(line)).length;

/** What went wrong by the log of `go install`, and what helps. */
export function faultOf(log: string, logFile: string, env: NodeJS.ProcessEnv): string {
  const lines = log.trim().split("\n");
  const line = (pattern: RegExp): string | undefined => lines.find((text) => pattern.test(text))?.trim();
  const full = line(/no space left on device|disk quota exceeded/i);
  if (full !== undefined)
    return `no disk space for the build (${full}): it needs about 6 GB in GOCACHE, GOMODCACHE and the cache together; log: ${logFile}`;
  const memory = line(/signal: killed|cannot allocate memory/i);
  if (memory !== undefined) return `the build was killed (${memory}): it needs about 2 GiB of memory; log: ${logFile}`;
  const toolchain = line(/requires go >= |toolchain not available/);
  if (toolchain !== undefined)
    return `the Go toolchain is too old (${toolchain}): install a newer one (https://go.dev/dl); log: ${logFile}`;
  const proxy = line(/dial tcp|no such host|connection refused|i\/o timeout|module lookup disabled|server response|proxyconnect/i);
  if (proxy !== undefined)
    return `Go modules cannot be downloaded (${proxy}): set GOPROXY (now ${env["GOPROXY"] ?? "Go's default"}) to a proxy that can be reached; log: ${logFile}`;
  return `the build failed; log: ${logFile}\n${lines.slice(-8).join("\n")}`;
}

/** Holds a lock of the file system that ends with this process, however that ends: `cat` in it reads the end of our pipe. */
async function lock(file: string, waiting: () => void): Promise<() => void> {
  const holder = spawn(TOOLS.flock, [file, "sh", "-c", "echo locked; exec cat"], { stdio: ["pipe", "pipe", "ignore"] });
  holder.stdin.on("error", () => undefined);
  const timer = setTimeout(waiting, 500);
  try {
    await Promise.race([
      once(holder.stdout, "data"),
      once(holder, "exit").then(() =>
        Promise.reject(new BuildError(`${file} cannot be locked: is the cache writable, is flock (util-linux) installed?`)),
      ),
    ]);
  } finally {
    clearTimeout(timer);
  }
  return () => holder.stdin.end();
}
