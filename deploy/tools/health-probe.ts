/** grpc-health-probe, which the tests ask health with: built by Go where there is one. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const MODULE = "github.com/grpc-ecosystem/grpc-health-probe@v0.4.62";

/** `~/.cache/clb-direct/tools`. */
export const toolsDirectory = ({ XDG_CACHE_HOME: base, HOME: home }: NodeJS.ProcessEnv): string =>
  join(base || join(home ?? homedir(), ".cache"), "clb-direct", "tools");

/** Why it cannot be had; undefined: it is there. */
export function prepareHealthProbe(env: NodeJS.ProcessEnv): string | undefined {
  const directory = toolsDirectory(env);
  if (existsSync(join(directory, "grpc-health-probe"))) return undefined;
  mkdirSync(directory, { recursive: true });
  const built = spawnSync("go", ["install", MODULE], { env: { ...env, GOBIN: directory, CGO_ENABLED: "0" }, encoding: "utf8" });
  return built.status === 0 ? undefined : `${MODULE}: ${built.error?.message ?? built.stderr.trim().slice(-300)}`;
}
