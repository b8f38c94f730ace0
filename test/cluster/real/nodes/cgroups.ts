/** Control groups of the real nodes: the kernel ends processes, mounts and links with their namespaces, but not these. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../process.ts";

const ROOT = "/sys/fs/cgroup";
const NAME = "clb-direct-node-";

/** Name of a node's group below the root of each hierarchy, e.g. "clb-direct-node-4711-node-a"; 4711 is this process. */
export const cgroupOf = (node: string): string => `${NAME}${process.pid}-${node}`;

/** In every hierarchy (version 1 has several, version 2 one), with a group `init` in it for what runs beside the containers. */
export function makeCgroup(group: string): void {
  for (const hierarchy of hierarchies()) for (const path of [group, join(group, "init")]) makeIn(hierarchy, path);
}

function makeIn(hierarchy: string, path: string): void {
  const directory = join(hierarchy, path);
  mkdirSync(directory, { recursive: true });
  // Of version 1; an empty set of processors takes no process, and what is seen as the root has no parent to copy from.
  for (const file of ["cpuset.cpus", "cpuset.mems"])
    if (existsSync(join(hierarchy, file))) writeFileSync(join(directory, file), readFileSync(join(hierarchy, file)));
}

/** What was the last process may take a moment to leave its group. */
const BUSY_MS = 2_000;

/** Removes a group with all below it from every hierarchy. Its processes must have ended; rejects if one has not after 2 s. */
export async function removeCgroup(group: string): Promise<void> {
  for (const hierarchy of hierarchies())
    await until(`control group ${join(hierarchy, group)} has no processes`, () => removeTree(join(hierarchy, group)), BUSY_MS);
}

/** Removes what processes left that were killed. A group with a process in it has an owner that is not seen from here: it stays whole. */
export function sweepCgroups(): void {
  for (const hierarchy of hierarchies())
    for (const group of foldersIn(hierarchy).filter(isLeft)) if (!isPopulated(join(hierarchy, group))) removeTree(join(hierarchy, group));
}

/** Why no control group can be made here, e.g. in a container that sees them read-only; undefined: one can. */
export function cgroupFault(): string | undefined {
  const group = `${NAME}${process.pid}-probe`;
  if (hierarchies().length === 0) return `${ROOT} has no control groups`;
  try {
    makeCgroup(group);
  } catch (error) {
    return (error as Error).message;
  } finally {
    for (const hierarchy of hierarchies()) if (existsSync(join(hierarchy, group))) removeTree(join(hierarchy, group));
  }
  return undefined;
}

/** All groups of real nodes, whoever's, e.g. "/sys/fs/cgroup/pids/clb-direct-node-4711-node-a". */
export const nodeCgroups = (): readonly string[] =>
  hierarchies().flatMap((hierarchy) =>
    foldersIn(hierarchy)
      .filter((name) => name.startsWith(NAME))
      .map((name) => join(hierarchy, name)),
  );

/** A hierarchy's root is a mount of its own; in version 2 that is all of /sys/fs/cgroup. */
const hierarchies = (): readonly string[] =>
  existsSync(join(ROOT, "cgroup.procs"))
    ? [ROOT]
    : foldersIn(ROOT)
        .map((name) => join(ROOT, name))
        .filter((directory) => existsSync(join(directory, "cgroup.procs")));

function isLeft(name: string): boolean {
  const owner = new RegExp(`^${NAME}(\\d+)-`).exec(name)?.[1];
  return owner !== undefined && !isAlive(Number(owner));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** True if any process is in the group or below it. */
function isPopulated(directory: string): boolean {
  try {
    if (readFileSync(join(directory, "cgroup.procs"), "utf8") !== "") return true;
  } catch {
    return false; // it went meanwhile
  }
  return foldersIn(directory).some((name) => isPopulated(join(directory, name)));
}

function foldersIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return []; // it went meanwhile
  }
}

/** rmdir is how a group is removed; its files go with it. False where a process is still in it. */
function removeTree(directory: string): boolean {
  const below = foldersIn(directory).map((name) => removeTree(join(directory, name)));
  if (below.includes(false)) return false;
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return true;
    if (code === "EBUSY") return false;
    throw error;
  }
}
