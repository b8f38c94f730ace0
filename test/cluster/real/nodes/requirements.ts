/** Whether this machine can run real nodes: root, the apt packages, the binaries; each fault names its fix. */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { join } from "node:path";
import { type FindOptions, findBinaries } from "../binaries.ts";
import { NODE } from "../modules.ts";
import { findApplication } from "./application.ts";
import { cgroupFault } from "./cgroups.ts";
import { CNI_PLUGINS } from "./configuration.ts";

/** Paths by name; `application` is the binary of the sample application. */
export type NodeBinaries = Readonly<Record<(typeof NODE)[number] | "application", string>>;

export type NodesFound =
  | { readonly kind: "found"; readonly binaries: NodeBinaries }
  /** `reason` names the fix; a test is skipped with it. */
  | { readonly kind: "missing"; readonly reason: string };

/** Packages of Debian and Ubuntu, and what of each is needed here: a program on PATH or a file. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  runc: ["runc"],
  "containernetworking-plugins": ["ptp", "host-local", "loopback"].map((name) => join(CNI_PLUGINS, name)),
  nftables: ["nft"],
  iproute2: ["ip"],
};

/** Debian puts some of them where a user's PATH does not look. */
const ADMIN_PATHS = ["/usr/sbin", "/sbin"];

/** PATH as the nodes' programs get it. */
export const nodePath = (env: NodeJS.ProcessEnv = process.env): string => [env["PATH"] ?? "", ...ADMIN_PATHS].join(":");

/** E.g. ["runc", "nftables"]: packages of which something is missing. */
export function missingPackages(env: NodeJS.ProcessEnv = process.env): readonly string[] {
  const isThere = (wanted: string): boolean => (wanted.includes("/") ? existsSync(wanted) : isOnPath(wanted, env));
  return Object.keys(PACKAGES).filter((name) => !PACKAGES[name]?.every(isThere));
}

const isOnPath = (program: string, env: NodeJS.ProcessEnv): boolean =>
  nodePath(env)
    .split(":")
    .some((folder) => isExecutable(join(folder, program)));

const installed = (packages: readonly string[]): string =>
  `Run: apt-get update && apt-get install -y --no-install-recommends ${packages.join(" ")}`;

/** Of a program whose package has its name, e.g. "iptables", and that only some need; undefined where it is there. */
export const programFault = (program: string, env: NodeJS.ProcessEnv = process.env): string | undefined =>
  isOnPath(program, env) ? undefined : `there is no ${program} on PATH. ${installed([program])}`;

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Why no real nodes can run on this machine, the binaries apart; undefined: they can. */
export function machineFault(env: NodeJS.ProcessEnv = process.env, uid: number | undefined = process.getuid?.()): string | undefined {
  if (process.platform !== "linux") return `real nodes need Linux, this is ${process.platform}`;
  if (uid !== 0) return "real nodes need root (containers, mounts, network namespaces): run it as root, or use simulated nodes";
  const missing = missingPackages(env);
  if (missing.length === 0) return undefined;
  return `real nodes need ${missing.join(", ")}. ${installed(missing)}`;
}

const TRY = ["unshare", "--net", "--mount", "--pid", "--fork", "true"] as const;

/** Tried, since root in a container or in a user namespace of its own may do less than root. */
function rightsFault(): string | undefined {
  const [file, ...args] = TRY;
  const { error, status, stderr } = spawnSync(file, args, { encoding: "utf8" });
  const fault = error?.message ?? (status === 0 ? cgroupFault() : stderr.trim());
  return fault === undefined ? undefined : `real nodes need to make namespaces and control groups (${fault}): use simulated nodes`;
}

/** Everything that startRealNodes needs; with `build`, the Go binaries that are missing are built (minutes). */
export async function findNodes(options: FindOptions = {}): Promise<NodesFound> {
  const { env = process.env } = options;
  const fault = machineFault(env) ?? rightsFault();
  if (fault !== undefined) return { kind: "missing", reason: fault };
  const found = await findBinaries(NODE, options);
  // prepare.ts builds the binaries of nodes only where it is told to
  if (found.kind === "missing") return { kind: "missing", reason: found.reason.replace(/(prepare\.ts)(?!.*--nodes)/, "$1 --nodes") };
  const application = findApplication(env);
  return application.kind === "found" ? { kind: "found", binaries: { ...found.binaries, application: application.file } } : application;
}
