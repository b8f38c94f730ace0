/** Finds the binaries of a real cluster: KUBEBUILDER_ASSETS, the project's cache, the envtest archive, `go install` of the pinned modules. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { binaryFault } from "./binary-file.ts";
import { archiveFolders, fetchArchive, isInArchive } from "./envtest-archive.ts";
import { BuildError, buildBinaries } from "./go-build.ts";
import { type BinaryName, CONTROL_PLANE, DEFAULT_MINOR, type KubernetesMinor, moduleOf } from "./modules.ts";

/** Paths by name, e.g. { etcd: "/home/me/.cache/clb-direct/kubernetes-v1.36.3-linux-x64-1f0c9a2b/etcd" }. */
type Binaries<Name extends BinaryName = BinaryName> = Readonly<Record<Name, string>>;
export type ControlPlaneBinaries = Binaries<(typeof CONTROL_PLANE)[number]>;

export type Found<Name extends BinaryName> =
  | { readonly kind: "found"; readonly binaries: Binaries<Name> }
  /** `reason` names the fix; a test is skipped with it. */
  | { readonly kind: "missing"; readonly reason: string };

export type FindOptions = {
  readonly kubernetes?: KubernetesMinor;
  /** Whether missing ones are downloaded or built (minutes, needs the network, so outside the harness's namespace). Default false. */
  readonly build?: boolean;
  readonly progress?: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
};

/** What builds everything that is missing. */
const PREPARE = `node ${relative(process.cwd(), fileURLToPath(new URL("prepare.ts", import.meta.url)))}`;

/**
 * Each name from the first place that has it. A folder named by KUBEBUILDER_ASSETS may lack some (the envtest archive has etcd and
 * kube-apiserver only), but what it has must be whole and of the chosen version.
 */
export async function findBinaries<Name extends BinaryName>(names: readonly Name[], options: FindOptions = {}): Promise<Found<Name>> {
  const { kubernetes = DEFAULT_MINOR, build = false, progress = () => undefined, env = process.env } = options;
  if (process.platform !== "linux") return { kind: "missing", reason: `a real cluster needs Linux, this is ${process.platform}` };
  const found = new Map<Name, string>();
  const fault = takeAssets(names, kubernetes, env["KUBEBUILDER_ASSETS"], found);
  if (fault !== undefined) return { kind: "missing", reason: fault };
  const fromCache = (): Absent =>
    names.flatMap((name) => {
      const file = found.has(name) ? undefined : cachedFile(name, kubernetes, env);
      const broken = file === undefined ? undefined : binaryFault(file);
      if (file !== undefined && broken === undefined) found.set(name, file);
      return broken === undefined ? [] : [{ name, fault: `${name} ${broken}` }];
    });
  const absent = fromCache();
  if (absent.length > 0) {
    const reason = await fill(absent, { kubernetes, build, progress, env });
    if (reason !== undefined) return { kind: "missing", reason };
    fromCache();
  }
  return { kind: "found", binaries: Object.fromEntries(found) as Record<Name, string> }; // every name was put into it
}

/** Binaries of the control plane; see findBinaries. */
export const findControlPlane = (options: FindOptions = {}): Promise<Found<(typeof CONTROL_PLANE)[number]>> =>
  findBinaries(CONTROL_PLANE, options);

/** Puts what the folder has into `found`; the fault of the first thing that is wrong with it. */
function takeAssets<Name extends BinaryName>(
  names: readonly Name[],
  kubernetes: KubernetesMinor,
  assets: string | undefined,
  found: Map<Name, string>,
): string | undefined {
  if (assets === undefined || assets === "") return undefined;
  const fix = "correct or unset KUBEBUILDER_ASSETS";
  if (!existsSync(assets)) return `KUBEBUILDER_ASSETS=${assets}: there is no such folder; ${fix}`;
  for (const name of names) {
    const file = join(assets, name);
    if (!existsSync(file)) continue;
    const fault = binaryFault(file);
    if (fault !== undefined) return `${file} ${fault}; ${fix}`;
    const minor = name.startsWith("kube") ? minorOf(file) : undefined;
    if (minor !== undefined && minor !== kubernetes)
      return `${file} is Kubernetes ${minor}, asked for is ${kubernetes}; ${fix}, or choose --kubernetes ${minor}`;
    found.set(name, file);
  }
  return undefined;
}

/** E.g. "1.36" of a binary that answers "Kubernetes v1.36.3". */
const minorOf = (file: string): string =>
  spawnSync(file, ["--version"], { encoding: "utf8" }).stdout?.match(/v(\d+\.\d+)\./)?.[1] ?? "of an unknown version";

/** Outside the work tree. */
function cacheRoot(env: NodeJS.ProcessEnv): string {
  const base = env["XDG_CACHE_HOME"];
  const home = base !== undefined && base !== "" ? base : join(env["HOME"] ?? homedir(), ".cache");
  return join(home, "clb-direct");
}

/** A folder per module, version and platform. */
const cacheDirectory = (name: BinaryName, kubernetes: KubernetesMinor, env: NodeJS.ProcessEnv): string =>
  join(cacheRoot(env), moduleOf(name, kubernetes).key);

/** What was built, or else what an archive brought; where neither is, the place of what would be built. */
function cachedFile(name: BinaryName, kubernetes: KubernetesMinor, env: NodeJS.ProcessEnv): string {
  const built = join(cacheDirectory(name, kubernetes, env), name);
  const archived = isInArchive(name) ? archiveFolders(cacheRoot(env), kubernetes).map((folder) => join(folder, name)) : [];
  return [built, ...archived].find((file) => binaryFault(file) === undefined) ?? built;
}

type Absent = readonly { readonly name: BinaryName; readonly fault: string }[];

/** Downloads what is absent and builds the rest, module by module; the reason where that may not be or fails. */
async function fill(absent: Absent, { kubernetes, build, progress, env }: Required<FindOptions>): Promise<string | undefined> {
  const chosen = kubernetes === DEFAULT_MINOR ? "" : ` --kubernetes ${kubernetes}`;
  const modules = new Map(absent.map(({ name }) => [cacheDirectory(name, kubernetes, env), moduleOf(name, kubernetes)]));
  if (!build) {
    const faults = absent.map(({ fault }) => fault).join(", ");
    return `${faults} in ${[...modules.keys()].join(" and ")}. Run: ${PREPARE}${chosen}`;
  }
  const wanted = absent.map(({ name }) => name);
  let noArchive: string | undefined;
  try {
    if (wanted.some(isInArchive)) noArchive = await fetchArchive({ kubernetes, cache: cacheRoot(env), progress, env });
    if (noArchive !== undefined) progress(noArchive);
    const left = wanted.filter((name) => binaryFault(cachedFile(name, kubernetes, env)) !== undefined);
    for (const [directory, module] of modules) {
      const names = left.filter((name) => cacheDirectory(name, kubernetes, env) === directory);
      if (names.length > 0) await buildBinaries({ module, names, directory, progress, env });
    }
    return undefined;
  } catch (error) {
    if (error instanceof BuildError) return noArchive === undefined ? error.message : `${error.message}; ${noArchive}`;
    throw error;
  }
}
