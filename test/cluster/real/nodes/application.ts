/**
 * Builds the sample application, which is the pause container as well, and what stands in for logind: one static binary each, standard
 * library only, so they need no network.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { binaryFault } from "../binary-file.ts";

/** Looked for on PATH. */
const GO = "go";
/** By their folders here. */
const PROGRAMS = { app: "the sample application", logind: "the stand-in for systemd-logind" } as const;

export type ApplicationFound = { readonly kind: "found"; readonly file: string } | { readonly kind: "missing"; readonly reason: string };

/**
 * E.g. "/home/me/.cache/clb-direct/app-linux-x64-5f2c01d9/app", named after its source; built where it is not there: some seconds, half a
 * minute where Go's own cache is empty. Two builds at once do no harm: each brings its result in whole.
 */
export const findApplication = (env: NodeJS.ProcessEnv = process.env): ApplicationFound => findProgram("app", env);
export const findLogind = (env: NodeJS.ProcessEnv = process.env): ApplicationFound => findProgram("logind", env);

function findProgram(name: keyof typeof PROGRAMS, env: NodeJS.ProcessEnv): ApplicationFound {
  const source = fileURLToPath(new URL(name, import.meta.url));
  const directory = join(cacheHome(env), "clb-direct", `${name}-${process.platform}-${process.arch}-${hashOf(source)}`);
  const file = join(directory, name);
  if (binaryFault(file) === undefined) return { kind: "found", file };
  const temporary = join(directory, `.build-${process.pid}`);
  try {
    mkdirSync(directory, { recursive: true });
    const { error, status, stderr } = spawnSync(GO, ["build", "-trimpath", "-ldflags", "-s -w", "-o", temporary, "."], {
      cwd: source,
      env: { ...env, CGO_ENABLED: "0", GOFLAGS: "-buildvcs=false", GOWORK: "off", GOTOOLCHAIN: "local", GOPROXY: "off" },
      encoding: "utf8",
    });
    if (error !== undefined)
      return { kind: "missing", reason: `no Go toolchain on PATH to build ${PROGRAMS[name]}: install Go (https://go.dev/dl)` };
    if (status !== 0) return { kind: "missing", reason: `${PROGRAMS[name]} (${source}) cannot be built:\n${stderr.trim()}` };
    renameSync(temporary, file);
    return { kind: "found", file };
  } catch (error) {
    return { kind: "missing", reason: `the cache ${directory} cannot be written (${(error as Error).message}): set XDG_CACHE_HOME` };
  } finally {
    rmSync(temporary, { force: true });
  }
}

function cacheHome(env: NodeJS.ProcessEnv): string {
  const base = env["XDG_CACHE_HOME"];
  return base !== undefined && base !== "" ? base : join(env["HOME"] ?? homedir(), ".cache");
}

function hashOf(source: string): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(source).toSorted()) hash.update(readFileSync(join(source, name)));
  return hash.digest("hex").slice(0, 8);
}
