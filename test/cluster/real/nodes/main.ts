/**
 * A real control plane with real nodes as a process, as root inside the harness's network namespace: `node test/cluster/network.ts -- node
 * test/cluster/real/nodes/main.ts --slot 3 [--nodes node-a,node-b] [--kubeconfig FILE] [--kubernetes 1.36] [--directory DIR] [--json]
 * [--exit-with-parent]`. With --json it prints one line when the Nodes take Pods: that of ../main.ts, and "nodes" (with "enter": what to put
 * before a command line that is to run on the node's network) and "range" (for the emulated cloud's --backend-cidr).
 * The binaries must be there already: prepare.ts --nodes builds them.
 */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { enterCommand } from "../../namespace.ts";
import { addressPlan } from "../../network.ts";
import { findControlPlane } from "../binaries.ts";
import { ADMIN } from "../certificates.ts";
import { type RealCluster, startControlPlane } from "../control-plane.ts";
import { DEFAULT_MINOR, kubernetesMinor } from "../modules.ts";
import { findNodes } from "./requirements.ts";
import { FLAGS_FOR_REAL_NODES, type RealNode, type RealNodes, startRealNodes } from "./start.ts";

const { values } = parseArgs({
  options: {
    slot: { type: "string" },
    nodes: { type: "string", default: "node-a,node-b" },
    kubeconfig: { type: "string" },
    kubernetes: { type: "string", default: DEFAULT_MINOR },
    directory: { type: "string" },
    json: { type: "boolean", default: false },
    "exit-with-parent": { type: "boolean", default: false },
  },
});

/** The line that --json prints. */
export type ReadyLine = Pick<RealCluster, "url" | "caPem" | "version" | "directory" | "auditLog"> & {
  readonly ready: true;
  readonly kubeconfig: string;
  /** E.g. "10.245.3.0/24". */
  readonly range: string;
  readonly nodes: readonly (RealNode & { readonly enter: readonly string[] })[];
};

type Started = { readonly cluster: RealCluster; readonly nodes: RealNodes };

async function start(): Promise<Started> {
  if (values.slot === undefined) throw new Error("--slot NUMBER is needed, 1 to 249");
  const plan = addressPlan(Number(values.slot));
  const kubernetes = kubernetesMinor(values.kubernetes);
  const found = await findNodes({ kubernetes });
  if (found.kind === "missing") throw new Error(found.reason);
  const control = await findControlPlane({ kubernetes });
  if (control.kind === "missing") throw new Error(control.reason);
  const directory = values.directory === undefined ? {} : { directory: values.directory };
  const cluster = await startControlPlane({ plan, binaries: control.binaries, flags: FLAGS_FOR_REAL_NODES, ...directory });
  try {
    const names = values.nodes.split(",");
    const nodes = await startRealNodes({
      cluster,
      plan,
      nodes: names,
      binaries: found.binaries,
      directory: join(cluster.directory, "nodes"),
    });
    return { cluster, nodes };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

async function readyLine({ cluster, nodes }: Started): Promise<ReadyLine> {
  const own = await cluster.kubeconfigFile(ADMIN);
  if (values.kubeconfig !== undefined) await copyFile(own, values.kubeconfig);
  const { url, caPem, version, directory, auditLog } = cluster;
  const described = nodes.nodes.map((node) => ({ ...node, enter: nodes.enter(node.name) }));
  const kubeconfig = values.kubeconfig ?? own;
  return { ready: true, url, caPem, version, kubeconfig, directory, auditLog, range: nodes.range, nodes: described };
}

const over = Promise.withResolvers<void>();
process.once("SIGTERM", over.resolve).once("SIGINT", over.resolve).once("SIGHUP", over.resolve);
// The parent holds the other end of stdin: however it ends, this process reads the end of it.
if (values["exit-with-parent"]) process.stdin.once("end", over.resolve).once("close", over.resolve).resume();

try {
  const started = await start();
  const line = await readyLine(started);
  process.stdout.write(
    values.json
      ? `${JSON.stringify(line)}\n`
      : `Kubernetes ${line.version} at ${line.url}; Ctrl-C ends it. From another terminal:\n  ${enterCommand(process.pid)} kubectl --kubeconfig ${line.kubeconfig} get nodes -o wide\n`,
  );
  await over.promise;
  try {
    await started.nodes.stop();
  } finally {
    await started.cluster.stop();
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  process.stdin.destroy();
}
