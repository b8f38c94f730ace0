/**
 * The real control plane as a process, inside the harness's network namespace: `node test/cluster/network.ts -- node
 * test/cluster/real/main.ts --slot 3 [--kubeconfig FILE] [--kubernetes 1.36] [--directory DIR] [--nodes node-a,node-b] [--json] [--exit-with-parent]`.
 * With --json it prints one line when it is ready: {"ready":true,"url":"https://10.244.3.203:6443","version":"v1.36.3",…}.
 * The binaries must be there already: prepare.ts builds them.
 */
import { copyFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { enterCommand } from "../namespace.ts";
import { addressPlan } from "../network.ts";
import { findControlPlane } from "./binaries.ts";
import { ADMIN, kubeletUser } from "./certificates.ts";
import { type RealCluster, startControlPlane } from "./control-plane.ts";
import { DEFAULT_MINOR, kubernetesMinor } from "./modules.ts";

const { values } = parseArgs({
  options: {
    kubeconfig: { type: "string" },
    slot: { type: "string" },
    kubernetes: { type: "string", default: DEFAULT_MINOR },
    directory: { type: "string" },
    nodes: { type: "string", default: "" },
    json: { type: "boolean", default: false },
    "exit-with-parent": { type: "boolean", default: false },
  },
});

/** Kubeconfig files for the kubelets of --nodes. */
const kubelets: Record<string, string> = {};

/** The line for a second terminal. */
const kubectlLine = (file: string): string => `${enterCommand(process.pid)} kubectl --kubeconfig ${file}`;

async function start(): Promise<{ cluster: RealCluster; kubeconfig: string }> {
  if (values.slot === undefined) throw new Error("--slot NUMBER is needed, 1 to 124");
  const found = await findControlPlane({ kubernetes: kubernetesMinor(values.kubernetes) });
  if (found.kind === "missing") throw new Error(found.reason);
  const directory = values.directory === undefined ? {} : { directory: values.directory };
  const cluster = await startControlPlane({ plan: addressPlan(Number(values.slot)), binaries: found.binaries, ...directory });
  const own = await cluster.kubeconfigFile(ADMIN);
  if (values.kubeconfig !== undefined) await copyFile(own, values.kubeconfig);
  for (const node of values.nodes.split(",").filter((name) => name !== ""))
    kubelets[node] = await cluster.kubeconfigFile(kubeletUser(node));
  return { cluster, kubeconfig: values.kubeconfig ?? own };
}

const over = Promise.withResolvers<void>();
process.once("SIGTERM", over.resolve).once("SIGINT", over.resolve).once("SIGHUP", over.resolve);
// The parent holds the other end of stdin: however it ends, this process reads the end of it.
if (values["exit-with-parent"]) process.stdin.once("end", over.resolve).once("close", over.resolve).resume();

try {
  const { cluster, kubeconfig } = await start();
  const { url, caPem, version, directory, auditLog } = cluster;
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ ready: true, url, caPem, version, kubeconfig, directory, auditLog, kubelets })}\n`
      : `Kubernetes ${version} at ${url}; Ctrl-C ends it. From another terminal:\n  ${kubectlLine(kubeconfig)} get nodes\n`,
  );
  await over.promise;
  await cluster.stop();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  process.stdin.destroy();
}
