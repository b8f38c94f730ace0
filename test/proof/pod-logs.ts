/** What the containers of a Namespace say, kept beyond their Pods: an update or a deletion takes a Pod's log with it. */
import { appendFileSync, closeSync, fstatSync, mkdirSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

type Followed = { readonly file: number; readonly copy: string };

const EVERY_MS = 250;
const PODS = "var/log/pods";
const CHUNK = Buffer.alloc(1 << 16);

/**
 * Copies the logs of a Namespace's containers to `directory`, e.g. node-a/clb-direct_clb-direct-agent-x7k2p_5e21…/hold/0.log; `nodes` with a
 * network such as "/proc/4711/ns/net", whose process sees the node's files. A log is read to its end also where it was removed meanwhile. The
 * result ends it.
 */
export function followPodLogs(options: {
  readonly nodes: readonly { readonly name: string; readonly netns: string }[];
  readonly namespace: string;
  readonly directory: string;
}): () => void {
  const followed = new Map<string, Followed>();
  const look = (): void => {
    for (const { name, netns } of options.nodes) {
      const root = join(dirname(dirname(netns)), "root", PODS);
      for (const path of logsIn(root, options.namespace)) {
        try {
          const key = `${name} ${statSync(join(root, path)).ino}`;
          if (followed.has(key)) continue;
          const copy = join(options.directory, name, path);
          mkdirSync(dirname(copy), { recursive: true });
          followed.set(key, { file: openSync(join(root, path), "r"), copy });
        } catch {
          // it went meanwhile
        }
      }
    }
    for (const [key, one] of followed) {
      copyRest(one);
      if (fstatSync(one.file).nlink > 0) continue;
      closeSync(one.file);
      followed.delete(key);
    }
  };
  const timer = setInterval(look, EVERY_MS);
  return () => {
    clearInterval(timer);
    look();
    for (const { file } of followed.values()) closeSync(file);
    followed.clear();
  };
}

function logsIn(root: string, namespace: string): readonly string[] {
  try {
    return readdirSync(root)
      .filter((folder) => folder.startsWith(`${namespace}_`))
      .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((path) => join(folder, path)))
      .filter((path) => path.endsWith(".log"));
  } catch {
    return []; // no Pod yet, or one that goes just now
  }
}

function copyRest({ file, copy }: Followed): void {
  for (let size = readSync(file, CHUNK); size > 0; size = readSync(file, CHUNK)) appendFileSync(copy, CHUNK.subarray(0, size));
}
