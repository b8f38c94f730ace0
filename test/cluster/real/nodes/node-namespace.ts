/**
 * One node's namespaces: network, mounts, processes and control groups. The kernel ends everything in them when their first process ends: containers,
 * shims, kubelet, mounts, links, nftables tables; and that one ends with this process, however this process ends.
 */
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { lastLines, type RunningProcess, until } from "../../process.ts";
import { startChild } from "../child.ts";
import { nodePath } from "./requirements.ts";

/** Runs `each` with $target for every hierarchy of control groups. */
const inHierarchies = (each: string): string => `while read -r source target type rest; do
  case $type in cgroup | cgroup2) if [ -d "$target/$group" ]; then ${each}; fi ;; esac
done < /proc/mounts`;

/**
 * Joins the node's control group and makes it the root that those inside see: without quality-of-service groups, no setting of the kubelet
 * puts containers below a group of its own.
 */
const JOIN = `set -e; group="$1"; shift
${inHierarchies('echo 0 > "$target/$group/cgroup.procs"')}
exec unshare --cgroup sh -c "$@"`;

/** Steps aside, as version 2 wants no process in a group that has groups below it. */
const STEP_ASIDE = `set -e; group="$1"; shift
${inHierarchies('echo 0 > "$target/$group/init/cgroup.procs"')}
exec unshare --net --mount --pid --fork --kill-child=KILL sh -c "$@"`;

/**
 * Own /run, /var/lib and /var/log in memory, so that nothing is left on disk and default paths do not collide. Says its process id as the
 * outside sees it, while /proc is still the outside's. As it ignores SIGCHLD, processes that others leave to it (shims) are reaped.
 */
const INIT = `set -e; group="$1"
read -r pid rest < /proc/self/stat
mount -t proc proc /proc
${inHierarchies('mount --bind "$target/$group" "$target"')}
for directory in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs $directory; done
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo "$pid" > "$2.new" && mv "$2.new" "$2"
trap '' CHLD
exec sleep infinity`;

/** Enters one node's network; sysfs, too, shows the devices of the network namespace in which it was mounted. */
const AGENT = 'mount -t sysfs sysfs /sys && exec "$@"';

export type NodeNamespace = {
  /** Of the first process, e.g. 4711. */
  readonly pid: number;
  /** E.g. "/proc/4711/ns/net". */
  readonly netns: string;
  /** Command line to put before one that is to run as a process of the node (kubelet, containerd, ctr). */
  readonly inside: readonly string[];
  /** Command line to put before one that shares only the node's network, as a hostNetwork Pod does; files and processes are ours. */
  readonly onNetwork: readonly string[];
  /** Ends all that runs in it and waits for it. */
  readonly stop: () => Promise<void>;
};

const START_MS = 10_000;

/** `name` e.g. "node-a"; its log goes to `directory`; `cgroup` is there already. */
export async function startNamespace(name: string, directory: string, cgroup: string): Promise<NodeNamespace> {
  const logFile = join(directory, "namespace.log");
  const pidFile = join(directory, "pid");
  await rm(pidFile, { force: true });
  const args = ["-c", JOIN, "sh", cgroup, STEP_ASIDE, "sh", cgroup, INIT, "sh", cgroup, pidFile];
  const holder = startChild({ name, file: "sh", args, logFile, graceMs: 0, env: { PATH: nodePath() } });
  const missing = (): string => `namespaces of ${name} are not there:\n${lastLines(logFile)}`;
  const pid = await until(missing, () => firstPid(holder, pidFile), START_MS).catch(async (error: unknown) => {
    await holder.stop();
    throw error;
  });
  return {
    pid,
    netns: `/proc/${pid}/ns/net`,
    inside: ["nsenter", "--target", String(pid), "--cgroup", "--net", "--mount", "--pid", "--"],
    // Their process is in none of the namespaces that end with the node, so it ends with us.
    onNetwork: [
      "setpriv",
      "--pdeathsig",
      "KILL",
      "nsenter",
      `--net=/proc/${pid}/ns/net`,
      "--",
      "unshare",
      "--mount",
      "sh",
      "-c",
      AGENT,
      "sh",
    ],
    stop: async () => {
      if (!holder.hasExited()) process.kill(pid, "SIGKILL"); // the holder ends only when all that was inside has been reaped
      await holder.exited;
    },
  };
}

function firstPid(holder: RunningProcess, pidFile: string): number {
  if (holder.hasExited()) throw new Error(`namespaces of ${holder.name} cannot be made:\n${lastLines(holder.logFile)}`);
  try {
    return Number(readFileSync(pidFile, "utf8"));
  } catch {
    return 0; // not written yet
  }
}
