import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { KubeClient } from "../../common/kubernetes/requests.ts";

type Listed = {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly status?: {
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly containerID?: string;
      readonly state?: { readonly running?: object };
    }[];
  };
};

/** Of one container; `workingSet` is what counts against a limit, `file` the part of `rss` that is pages of files, such as Node itself. */
export type Memory = {
  readonly pod: string;
  readonly container: string;
  readonly workingSet: number;
  readonly rss: number;
  readonly file: number;
};

const MEBIBYTE = 2 ** 20;

/** First process of each container of a Namespace that runs, by the control groups of this machine, on which the nodes are. Throws Error where one is not found. */
export async function processesOf(
  admin: KubeClient,
  namespace: string,
): Promise<readonly { readonly pod: string; readonly container: string; readonly pid: number }[]> {
  const { items } = await admin.list<Listed>(`/api/v1/namespaces/${namespace}/pods`);
  return items.flatMap(({ metadata, status }) =>
    (status?.containerStatuses ?? []).flatMap(({ name, containerID = "", state }) => {
      if (state?.running === undefined || metadata.deletionTimestamp !== undefined) return [];
      const id = containerID.split("//").at(-1) ?? "";
      const pid = readdirSync("/proc").find((entry) => /^\d+$/.test(entry) && id !== "" && groupOf(entry)?.includes(id));
      if (pid === undefined) throw new Error(`${metadata.name}: no process of container ${name} (${containerID}) is found`);
      return { pod: metadata.name, container: name, pid: Number(pid) };
    }),
  );
}

/** MiB of every container of a Namespace. Throws Error where the process of one is not found. */
export async function memoryOf(admin: KubeClient, namespace: string): Promise<readonly Memory[]> {
  return (await processesOf(admin, namespace)).map(({ pod, container, pid }) => {
    const process = String(pid);
    const rss = residentOf(process, "VmRSS");
    return { pod, container, workingSet: workingSetOf(groupOf(process) ?? ""), rss, file: residentOf(process, "RssFile") };
  });
}

const read = (file: string): string => (existsSync(file) ? readFileSync(file, "utf8") : "");

/** Path of a process in the hierarchy that counts memory: that of version 1 where there is one, else that of version 2. */
function groupOf(pid: string): string | undefined {
  const lines = read(`/proc/${pid}/cgroup`).split("\n");
  return (lines.find((line) => /^\d+:[^:]*\bmemory\b/.test(line)) ?? lines.find((line) => line.startsWith("0::")))?.split(":").at(-1);
}

/** As the kubelet counts it: all of it but pages of files that were not used lately. */
function workingSetOf(group: string): number {
  for (const [root, usage, inactive] of [
    ["/sys/fs/cgroup/memory", "memory.usage_in_bytes", "total_inactive_file"],
    ["/sys/fs/cgroup", "memory.current", "inactive_file"],
    ["/sys/fs/cgroup/unified", "memory.current", "inactive_file"],
  ] as const) {
    const bytes = Number(read(join(root, group, usage)) || Number.NaN);
    const idle = Number(new RegExp(`^${inactive} (\\d+)$`, "m").exec(read(join(root, group, "memory.stat")))?.[1]);
    if (bytes > 0 && idle >= 0) return (bytes - idle) / MEBIBYTE;
  }
  return Number.NaN;
}

const residentOf = (pid: string, key: string): number =>
  Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(read(`/proc/${pid}/status`))?.[1]) / 1024;
