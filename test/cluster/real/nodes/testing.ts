/** What the tests of real nodes share: whether they can run, a cluster with two nodes, and what is left of one. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { KubeClient } from "../../../../common/kubernetes/requests.ts";
import { type AddressPlan, addressPlan, claimSlot, type SlotClaim } from "../../network.ts";
import { until } from "../../process.ts";
import { findControlPlane } from "../binaries.ts";
import { ADMIN } from "../certificates.ts";
import { networkFault, type RealCluster, startControlPlane } from "../control-plane.ts";
import { nodeNetwork } from "./addresses.ts";
import { findNodes } from "./requirements.ts";
import { run } from "./run.ts";
import { FLAGS_FOR_REAL_NODES, type RealNodes, type RealNodesOptions, startRealNodes } from "./start.ts";

export const NODE_NAMES = ["node-a", "node-b"];

/** Why no test with real nodes can run here; false: it can. For the `skip` option of a test. */
export async function realNodesSkip(): Promise<string | false> {
  if (process.env["REAL_NODES"] === "0") return "no real nodes are wanted here: REAL_NODES=0";
  const nodes = await findNodes();
  if (nodes.kind === "missing") return nodes.reason;
  const control = await findControlPlane();
  return control.kind === "missing" ? control.reason : (networkFault(addressPlan(1)) ?? false);
}

export type TestNodes = {
  readonly slot: SlotClaim;
  readonly cluster: RealCluster;
  readonly nodes: RealNodes;
  readonly admin: KubeClient;
  readonly stop: () => Promise<void>;
};

type TestNodesOptions = Pick<RealNodesOptions, "isTke" | "logind"> & { readonly names?: readonly string[] };

export async function startTestNodes({ names = NODE_NAMES, ...how }: TestNodesOptions = {}): Promise<TestNodes> {
  const [control, found] = [await findControlPlane(), await findNodes()];
  if (control.kind === "missing") throw new Error(control.reason);
  if (found.kind === "missing") throw new Error(found.reason);
  const slot = await claimSlot();
  const cluster = await startControlPlane({ plan: slot.plan, binaries: control.binaries, flags: FLAGS_FOR_REAL_NODES });
  const end = async (): Promise<void> => {
    await cluster.stop();
    await slot.release();
  };
  try {
    const directory = join(cluster.directory, "nodes");
    const nodes = await startRealNodes({ cluster, plan: slot.plan, nodes: names, binaries: found.binaries, directory, ...how });
    const stop = async (): Promise<void> => {
      try {
        await nodes.stop();
      } finally {
        await end(); // a control plane that runs on would keep the test file from ending
      }
    };
    return { slot, cluster, nodes, admin: await cluster.client(ADMIN), stop };
  } catch (error) {
    await end();
    throw error;
  }
}

/** A new namespace in which Pods can be created. */
export async function makeNamespace(admin: KubeClient, name: string): Promise<void> {
  await admin.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  const account = `/api/v1/namespaces/${name}/serviceaccounts/default`;
  await until(`ServiceAccount default of ${name}`, () =>
    admin.get(account).then(
      () => true,
      () => false,
    ),
  );
}

const KINDS = ["net", "mnt", "pid", "cgroup"] as const;

/** Namespaces of a process, e.g. ["net:[4026532281]", …]; none of one that is gone. */
export const namespacesOf = (pid: number | string): readonly string[] =>
  KINDS.flatMap((kind) => {
    try {
      return [readlinkSync(`/proc/${pid}/ns/${kind}`)];
    } catch {
      return [];
    }
  });

/** Command lines of processes in any of those namespaces. */
export function processesIn(namespaces: readonly string[]): readonly string[] {
  const wanted = new Set(namespaces);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && namespacesOf(name).some((namespace) => wanted.has(namespace)))
    .map((pid) => (existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ") : pid));
}

/**
 * Links and routes of that slot in this network namespace, e.g. ["clbd3", "10.245.3.64/26 via 10.245.3.2 dev clbd3"]; not those of other real
 * nodes, which may run beside these and share the namespace.
 */
export async function networkOf({ slot }: Pick<AddressPlan, "slot">): Promise<readonly string[]> {
  const { bridge, range } = nodeNetwork({ slot }, NODE_NAMES);
  const isOurs = new RegExp(`^${bridge}(?!\\d)`);
  const links = (await run(["ip", "-brief", "link"])).split("\n").filter((line) => isOurs.test(line));
  const routes = (await run(["ip", "route", "show", "table", "all", "root", range])).split("\n").filter((line) => line !== "");
  return [...links, ...routes];
}

/** Mounts that are seen here and have to do with containers or with that directory. */
export const mountsOf = (directory: string): readonly string[] =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(directory) || /containerd|kubelet|netns/.test(line));
